"""Zip the dashboards of this folder into a file that Superset imports.

    python3 bundle.py --out callstream.zip --url clickhousedb://analyst@clickhouse.example.com:8123/callstream

Needs nothing but Python. The address goes into the bundle. The password does only with --password-file or the variable
SUPERSET_CLICKHOUSE_PASSWORD: then the file is a secret, readable for its owner alone, to be deleted after the import.
Without one the web page of Superset asks for the password; `superset import-dashboards` cannot ask, and refuses.
"""

import argparse
import os
import re
import sys
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlsplit
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

BUNDLE = Path(__file__).resolve().parent / "bundle"
ROOT = "callstream"
"""The folder inside the zip."""
PASSWORD_VARIABLE = "SUPERSET_CLICKHOUSE_PASSWORD"  # noqa: S105 - its name
FIRST_CONTACT_DAYS = 7
"""The window of first-contact resolution in the files."""

_MASK = "XXXXXXXXXX"
"""What Superset takes for a password that is not told."""
_METADATA = "version: 1.0.0\ntype: {kind}\ntimestamp: '2026-01-01T00:00:00+00:00'\n"


class BundleError(Exception):
    """What is asked for cannot be done."""


def connection(url: str, password: str | None) -> str:
    """The URL as Superset keeps it. Raises `BundleError`."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise BundleError("--url must be clickhousedb://user@host:port/database: its port is no number") from None
    if parts.scheme != "clickhousedb" or not parts.hostname or not parts.username or not parts.path.strip("/"):
        raise BundleError("--url must be clickhousedb://user@host:port/database")
    if parts.password is not None:
        raise BundleError(f"write no password into --url: use --password-file or {PASSWORD_VARIABLE}")
    host = f"{parts.hostname}:{port}" if port else parts.hostname
    secret = _MASK if password is None else quote(password, safe="")
    query = f"?{parts.query}" if parts.query else ""
    return f"clickhousedb://{parts.username}:{secret}@{host}{parts.path}{query}"


def bundle(
    url: str, password: str | None = None, first_contact_days: int = FIRST_CONTACT_DAYS, kind: str = "Dashboard"
) -> dict[str, str]:
    """Name inside the zip → content. `kind` is `Dashboard`, or `assets` for an import that replaces what is there."""
    files = {f"{ROOT}/metadata.yaml": _METADATA.format(kind=kind)}
    for path in sorted(BUNDLE.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        text = text.replace(f"window_days = {FIRST_CONTACT_DAYS})", f"window_days = {first_contact_days})")
        if path.parent.name == "databases":
            address = connection(url, password).replace("'", "''")
            text = re.sub(r"^sqlalchemy_uri: .*$", lambda _: f"sqlalchemy_uri: '{address}'", text, flags=re.M)  # noqa: B023
        files[f"{ROOT}/{path.relative_to(BUNDLE).as_posix()}"] = text
    return files


def zipped(files: dict[str, str]) -> bytes:
    """The zip; the same content gives the same bytes."""
    stream = BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(ZipInfo(name), text, ZIP_DEFLATED)
    return stream.getvalue()


def write(out: Path, content: bytes) -> None:
    """Readable for its owner alone, because it may hold a password."""
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(content)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the zip to write")
    parser.add_argument("--url", required=True, help="clickhousedb://user@host:port/database, without a password")
    parser.add_argument("--password-file", type=Path, help="a file that holds the password of that user")
    parser.add_argument(
        "--first-contact-days",
        type=int,
        default=FIRST_CONTACT_DAYS,
        help=f"the setting first_contact_days of callstream (default {FIRST_CONTACT_DAYS})",
    )
    options = parser.parse_args(arguments)
    try:
        password = (
            options.password_file.read_text(encoding="utf-8").strip()
            if options.password_file
            else os.environ.get(PASSWORD_VARIABLE)
        )
        write(options.out, zipped(bundle(options.url, password, options.first_contact_days)))
    except (BundleError, OSError) as error:
        sys.stderr.write(f"bundle.py: {error}\n")
        return 2
    told = "with" if password is not None else "without"
    sys.stdout.write(f"{options.out}: {told} the password\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
