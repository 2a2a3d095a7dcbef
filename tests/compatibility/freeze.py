"""Keep the messages of a release, so that the next ones are held against them.

    make freeze VERSION=0.3.0        (or: python -m tests.compatibility.freeze 0.3.0)

Run it in the commit that is to be tagged, and commit what it writes: `tests/compatibility/v0.3.0/schemas`, the JSON
Schemas of the messages, `examples`, the example messages by topic, and which
version of the analysis it is. Run again, it writes the folder of that version
anew. Folders of earlier releases stay: their messages lie in topics and buckets for more than a year and must be read.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from processors.judging.pipeline import ANALYSIS_VERSION
from schemas.contracts import message_schemas

COMPATIBILITY = Path(__file__).parent
ANALYSIS_VERSION_FILE = "analysis_version.txt"
"""What that release judged with; kept from 0.8.0 on."""
EXAMPLES = COMPATIBILITY.parent / "examples"

Version = tuple[int, ...]


def frozen_releases() -> dict[Version, Path]:
    """Every release that was kept, the oldest first, with its folder."""
    folders = (path for path in COMPATIBILITY.glob("v*") if path.is_dir())
    return dict(sorted((version_of(path.name.removeprefix("v")), path) for path in folders))


def version_of(text: str) -> Version:
    """0.2.0 as numbers. Raises `ValueError`."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", text):
        raise ValueError(f"{text or 'nothing'} is no version such as 0.2.0")
    return tuple(map(int, text.split(".")))


def freeze(version: str, target: Path = COMPATIBILITY) -> Path:
    """Write the schemas and examples of today as those of a version. Raises `ValueError`."""
    version_of(version)
    folder = target / f"v{version}"
    if folder.exists():
        shutil.rmtree(folder)
    schemas = folder / "schemas"
    schemas.mkdir(parents=True)
    for name, schema in message_schemas().items():
        (schemas / name).write_text(json.dumps(schema, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    shutil.copytree(EXAMPLES, folder / "examples")
    (folder / ANALYSIS_VERSION_FILE).write_text(f"{ANALYSIS_VERSION}\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    try:
        frozen = freeze(sys.argv[1] if len(sys.argv) == 2 else "")
    except ValueError as problem:
        raise SystemExit(f"{problem}; say: make freeze VERSION=0.3.0") from None
    sys.stdout.write(f"wrote {frozen}\n")
