"""Files that only their owner can read, written whole."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write the file anew; who reads it meanwhile sees the former one, whole."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def kept_secret(path: Path) -> str:
    """The secret in that file, of 64 hexadecimal digits; made at first use."""
    if not path.exists():
        write_private(path, secrets.token_hex(32))
    return path.read_text(encoding="utf-8").strip()
