"""`python -m training.pins`: pin every file of weights that comes with callstream, as it is now."""

from pathlib import Path

from processors.file_digests import sha256_of
from processors.weight_files import PINS, PROCESSORS


def pins(folder: Path = PROCESSORS) -> str:
    """One line for each `.npz` below the folder, as `sha256sum` writes it."""
    files = sorted(folder.rglob("*.npz"))
    return "".join(f"{sha256_of(file)}  {file.relative_to(folder)}\n" for file in files)


if __name__ == "__main__":
    PINS.write_text(pins(), encoding="utf-8")
