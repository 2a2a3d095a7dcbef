"""Small JSON files by which processes on one machine tell each other how they are."""

import json
from pathlib import Path
from typing import Any, NoReturn


def write_whole(path: Path, content: object) -> None:
    """Whole, or not at all. Not synced: what it tells ends with the machine as well. Raises `OSError`."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    part.replace(path)


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in that file; None where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_number(name: str) -> NoReturn:
    """With NaN every comparison is false: nothing would ever be too old."""
    raise ValueError(name)
