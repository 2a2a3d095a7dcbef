"""The settings of one component, declared in its own file; `streams.settings` finds them and reads all as one list."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict


def _unset_when_empty(value: object) -> object:
    """An empty variable is no path: `Path("")` would be the folder that the process happens to run in."""
    return None if value == "" else value


def _with_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("it begins with the home folder of an unknown user") from None


LocalPath = Annotated[Path, BeforeValidator(_unset_when_empty), AfterValidator(_with_home)]
OptionalPath = Annotated[LocalPath | None, BeforeValidator(_unset_when_empty)]


class SettingsPart(BaseModel):
    """Fields are settings under the names that people write, and each says what it means in `description`.

    Every field has a default: a component that nobody uses must not ask for anything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=SettingsPart)


def part_of(parts: Iterable[SettingsPart], model: type[P]) -> P:
    """The settings of this model among `parts`; its defaults where it is not among them."""
    for part in parts:
        if isinstance(part, model):
            return part
    return model()
