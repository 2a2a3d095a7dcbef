"""Put the dashboards of this folder into a Superset that runs, in place of those that are there.

    python3 upgrade.py --superset https://superset.example.com --user admin --superset-password-file FILE \\
        --url clickhousedb://analyst@clickhouse.example.com:8123/callstream [--password-file FILE]

`superset import-dashboards` keeps datasets and charts that exist, so a newer version of a chart would not arrive.
Without --password-file the connection keeps the password that Superset has. Needs nothing but Python, and an admin.
"""

import argparse
import json
import sys
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPCookieProcessor, Request, build_opener
from uuid import uuid4

from bundle import FIRST_CONTACT_DAYS, BundleError, bundle, zipped

TIMEOUT_S = 120


class SupersetError(Exception):
    """Superset does not answer, or refuses."""


class Superset:
    """The API of a Superset, logged in. Raises `SupersetError`."""

    def __init__(self, address: str, user: str, password: str) -> None:
        if not address.startswith(("http://", "https://")):
            raise SupersetError("the address of Superset must begin with http:// or https://")
        self._address = address.rstrip("/")
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self._headers: dict[str, str] = {"Referer": self._address}
        facts = {"username": user, "password": password, "provider": "db", "refresh": False}
        token = self.post("/api/v1/security/login", facts)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"
        self._headers["X-CSRFToken"] = self.get("/api/v1/security/csrf_token/")["result"]

    def get(self, path: str) -> Any:
        """The answer to a question."""
        return self._ask(path, None, "application/json")

    def post(self, path: str, facts: object) -> Any:
        """The answer to JSON."""
        return self._ask(path, json.dumps(facts).encode(), "application/json")

    def import_assets(self, archive: bytes) -> None:
        """Import a bundle of the kind `assets`."""
        mark = uuid4().hex
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="bundle"; filename="callstream.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        )
        body = head.encode() + archive + f"\r\n--{mark}--\r\n".encode()
        self._ask("/api/v1/assets/import/", body, f"multipart/form-data; boundary={mark}")

    def _ask(self, path: str, body: bytes | None, content_type: str) -> Any:
        headers = self._headers | {"Content-Type": content_type, "Accept": "application/json"}
        request = Request(self._address + path, body, headers)  # noqa: S310 - http(s), see above
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                return json.loads(response.read())
        except HTTPError as error:
            told = error.read().decode(errors="replace")[:500]
            raise SupersetError(f"Superset answers {error.code} to {path.split('?')[0]}: {told}") from None
        except (URLError, OSError, ValueError) as error:
            raise SupersetError(f"Superset does not answer {path.split('?')[0]}: {type(error).__name__}") from None


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--superset", required=True, help="address of Superset")
    parser.add_argument("--user", required=True, help="an admin of Superset")
    parser.add_argument("--superset-password-file", type=Path, required=True, help="a file with that admin's password")
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
        password = options.password_file.read_text(encoding="utf-8").strip() if options.password_file else None
        archive = zipped(bundle(options.url, password, options.first_contact_days, kind="assets"))
        admin_password = options.superset_password_file.read_text(encoding="utf-8").strip()
        Superset(options.superset, options.user, admin_password).import_assets(archive)
    except (BundleError, SupersetError, OSError) as error:
        sys.stderr.write(f"upgrade.py: {error}\n")
        return 2
    sys.stdout.write(f"{options.superset} has the dashboards of this version\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
