"""Files of weights, as numpy writes them."""

import io
import json
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.errors import OperatorError

Model = TypeVar("Model")

PROCESSORS = Path(__file__).parent
PINS = PROCESSORS / "weights.sha256"
"""SHA-256 of every file of weights that comes with callstream, as `sha256sum` writes it; made by `training.pins`."""


class ChangedWeightsError(OperatorError):
    """Weights that come with callstream are not those that were pinned; the sentence says what to do."""


def read_arrays(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of an `.npz` file by name; None where it cannot be read, or is none. Objects in it are not loaded.

    Raises `ChangedWeightsError` for a file that comes with callstream and is another than was pinned.
    """
    try:
        content = file.read_bytes()
    except OSError:
        return None
    _require_pinned(file, content)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # zipfile, zlib and numpy each have their own errors for a damaged file
        return None


def load_model(
    file: Path,
    made_for: int,
    build: Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], Model],
    error: type[OperatorError],
    of_what: str,
) -> Model:
    """What `build` makes of the arrays of a file, of which `about` is JSON with the `format` that it was made for.

    Raises `error` where the file is none, or of another format, and `ChangedWeightsError`.
    """
    try:
        arrays = read_arrays(file) or {}
        about = json.loads(str(arrays["about"]))
        if about["format"] != made_for:
            raise error(f"{file} was made for another version of callstream: run `make heads`")
        return build(about, arrays)
    except (ValueError, KeyError, TypeError):
        raise error(f"{file} cannot be read as weights for {of_what}: run `make heads`") from None


def _require_pinned(file: Path, content: bytes) -> None:
    if not file.is_relative_to(PROCESSORS):
        return
    name = str(file.relative_to(PROCESSORS))
    if read_pins().get(name) != sha256(content).hexdigest():
        raise ChangedWeightsError(
            f"the weights {name} of callstream are damaged or were changed (their SHA-256 is not the pinned one): "
            "install callstream again; weights of your own belong into a folder of your own, and after `make heads` "
            "run `python -m training.pins`"
        )


@cache
def read_pins() -> dict[str, str]:
    """Path below `processors/` → SHA-256."""
    pairs = [line.split(maxsplit=1) for line in PINS.read_text(encoding="utf-8").splitlines()]
    return {name: digest for digest, name in pairs}
