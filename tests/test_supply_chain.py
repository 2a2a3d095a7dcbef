"""What CI and images install is what was looked at: lock files with hashes, licences, an audit that fails loudly."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.supply_chain.licences import EXCEPTIONS, LicenceError, page, require_free
from tests.support.cases import every_case

REPOSITORY = Path(__file__).parents[1]
REQUIREMENTS = REPOSITORY / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.lock"))
OWN = {"dev.lock": ["dev"], "embedded.lock": ["embedded"], "image.lock": ["sentences", "sherpa-onnx", "tracing"]}
"""Lock file → the extras of callstream that it is made of."""
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "python_version": "3.11"}
LINUX |= {
    "python_full_version": "3.11.7",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
_ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\\n", re.M)


def locked(lock: Path) -> dict[str, Requirement]:
    """Canonical name → what is installed, with its marker."""
    found: dict[str, Requirement] = {}
    for entry in _ENTRY.finditer(lock.read_text(encoding="utf-8")):
        marker = f" ; {entry['marker']}" if entry["marker"] else ""
        requirement = Requirement(f"{entry['name']}=={entry['version']}{marker}")
        # One that stands there in two versions, by marker: the one for Linux.
        if (
            not requirement.marker
            or requirement.marker.evaluate(LINUX)
            or canonicalize_name(entry["name"]) not in found
        ):
            found[canonicalize_name(entry["name"])] = requirement
    assert found
    return found


def version_of(requirement: Requirement) -> str:
    (pin,) = requirement.specifier
    return pin.version


def asked_for(extras: list[str]) -> dict[str, Requirement]:
    """What pyproject.toml asks for with these extras, those of others that it names included."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    ahead = list(extras)
    while ahead:
        for requirement in map(Requirement, project["optional-dependencies"][ahead.pop()]):
            if requirement.name == project["name"]:
                ahead += requirement.extras
            else:
                wanted.append(requirement)
    return {canonicalize_name(each.name): each for each in wanted}


def shipped() -> dict[str, str]:
    """Canonical name → version of all that an image or one machine has on Linux."""
    both = locked(REQUIREMENTS / "image.lock") | locked(REQUIREMENTS / "embedded.lock")
    return {name: version_of(each) for name, each in both.items() if not each.marker or each.marker.evaluate(LINUX)}


@pytest.mark.parametrize("name", OWN)
def test_a_lock_file_is_of_the_dependencies_of_today(name: str) -> None:
    lock, wanted = locked(REQUIREMENTS / name), asked_for(OWN[name])
    unmet = [
        str(each) for key, each in wanted.items() if key not in lock or version_of(lock[key]) not in each.specifier
    ]
    assert unmet == [], "run `make lock`"
    text = (REQUIREMENTS / name).read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9][\w.-]*==)", text, flags=re.M)[1:]
    named = {canonicalize_name(each.split("==")[0]) for each in blocks if "callstream (pyproject.toml)" in each}
    assert named == wanted.keys(), "run `make lock`: these are asked for no more, or not yet"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_in_a_lock_file_has_hashes_and_nothing_tells_of_a_machine(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if not line.startswith(" ") and not _ENTRY.match(line + "\n")] == []
    assert [line for line in lines if line.startswith(" ") and not re.search(r"--hash=sha256:[0-9a-f]{64}", line)] == []
    assert re.search(r"https?://|find-links|index-url|file:|^\s*-e ", text, re.M) is None


def test_what_ships_is_what_was_tested() -> None:
    tested = {name: version_of(each) for name, each in locked(REQUIREMENTS / "dev.lock").items()}
    assert {name: version for name, version in shipped().items() if tested.get(name) != version} == {}


def test_every_environment_of_make_that_ci_uses_is_installed_by_hashes() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    installs = re.findall(r"^\t.*?pip install.*$", makefile, re.M)
    by_hash = [line for line in installs if "--require-hashes" in line or "$(LOCKED)" in line]
    locks = {name for line in by_hash for name in re.findall(r"requirements/(\w+\.lock)", line)}
    assert locks == {path.name for path in LOCKS}
    # In environments of their own that CI does not make (make nightly), and callstream itself.
    others = [line for line in installs if line not in by_hash]
    assert [line for line in others if "--no-deps --no-build-isolation --editable ." not in line] == [
        line for line in others if ".venv-transformers" in line or ".venv-superset" in line
    ]
    assert "--require-hashes --no-build-isolation" in makefile
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert "make install" in ci
    assert "pip install" not in ci


def test_the_page_of_licences_has_what_ships() -> None:
    text = (REPOSITORY / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| (\S+) \| (.+) \|$", text, re.M)
    assert {canonicalize_name(name): version for name, version, _ in rows} == shipped(), "run `make licences`"
    for name, _, licence in rows:
        require_free(name, licence)


def test_what_is_installed_here_declares_no_licence_that_nobody_decided_about() -> None:
    with every_case() as cases:
        for name in shipped():
            try:
                about = metadata.metadata(name)
            except metadata.PackageNotFoundError:
                continue
            classifiers = [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
            # The field `License` may hold a whole text, which names other licences.
            declared = [*(about.get_all("License-Expression") or []), *(about.get_all("License") or [])]
            with cases.case(name):
                require_free(
                    name,
                    " ".join([each.splitlines()[0] for each in declared if each] + classifiers)
                    or "named in a file alone",
                )


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-or-later", "GNU Affero General Public License v3", "LGPLv2+", "", "UNKNOWN"]
)
def test_a_licence_that_nobody_decided_about_is_named(licence: str) -> None:
    with pytest.raises(LicenceError, match="chess"):
        page([{"Name": "chess", "Version": "1", "License": licence}])
    assert "| `av` | 1 |" in page([{"Name": "av", "Version": "1", "License": "GPL"}])


def test_exceptions_ship() -> None:
    assert EXCEPTIONS.keys() <= shipped().keys()


@pytest.mark.loopback
@pytest.mark.processes
def test_an_audit_that_reaches_no_advisories_fails(tmp_path: Path) -> None:
    """pip-audit without --strict says then that there are no known vulnerabilities."""
    recipe = re.search(r"^audit:.*\n\t@(.*)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.M)
    assert recipe is not None
    assert "pip-audit --strict --require-hashes --disable-pip" in recipe[1]
    program = Path(sys.executable).with_name("pip-audit")
    unreachable = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **unreachable}
    command = [str(program), "--strict", "--require-hashes", "--disable-pip", "-r", str(REQUIREMENTS / "build.lock")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0, done.stdout + done.stderr
    assert "No known vulnerabilities found" not in done.stdout + done.stderr
