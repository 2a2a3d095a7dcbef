"""Where the example recordings lie."""

from pathlib import Path

from schemas.errors import OperatorError

EXAMPLE_TENANT = "demo"


class NoExamplesError(OperatorError):
    """There are no recordings where they were looked for."""


def example_recordings(folder: Path | None = None) -> list[Path]:
    """The recordings of a folder that have metadata beside them; without a folder, those that come with callstream.

    Raises `NoExamplesError`.
    """
    here = Path(__file__).resolve().parent
    folders = [folder] if folder else [here / "calls", here.parents[1] / "examples" / "calls"]
    for place in folders:
        found = sorted(
            path for path in place.glob("*") if path.suffix != ".json" and path.with_suffix(".json").is_file()
        )
        if found:
            return found
    raise NoExamplesError(f"no recordings with metadata (name.wav and name.json) in {folders[-1]}")
