"""Files of weights, as numpy writes them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_arrays(file: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of an `.npz` file by name; None where it cannot be read, or is none. Objects in it are not loaded."""
    try:
        # Opened here, because numpy leaves the file open when it is no archive.
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # zipfile, zlib and numpy each have their own errors for a damaged file
        return None
