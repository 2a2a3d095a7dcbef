"""What the repository says of itself is true."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]


def _files() -> list[Path]:
    """Every file that is tracked or about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    ).stdout.decode()
    return [path for name in listing.split("\0") if name and (path := REPOSITORY / name).is_file()]


FILES = _files()


def tree_paths(tree: str) -> list[str]:
    """The paths that a drawn tree names: one a line, nested by indentation, with or without lines drawn.

    What follows the name after a space is a comment.
    """
    paths: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in tree.splitlines():
        entry = line.lstrip(" │├└─")
        if not entry:
            continue
        column = len(line) - len(entry)
        while parents and parents[-1][0] >= column:
            parents.pop()
        name = entry.split()[0].rstrip("/")
        path = f"{parents[-1][1]}/{name}" if parents else name
        paths.append(path)
        parents.append((column, path))
    return paths


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        pytest.param("a/   first\n  b.py  second\nc\n", ["a", "a/b.py", "c"], id="indented"),
        pytest.param("a/\n├── b/\n│   └── c.py\n└── d.py\n", ["a", "a/b", "a/b/c.py", "a/d.py"], id="drawn"),
        pytest.param("a/b/ both\n\n  c.py\n", ["a/b", "a/b/c.py"], id="two folders on a line, and a blank line"),
    ],
)
def test_a_tree_is_read_as_people_read_it(tree: str, paths: list[str]) -> None:
    assert tree_paths(tree) == paths


def _tree_of_the_readme() -> list[str]:
    blocks = re.findall(r"^```tree\n(.*?)^```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 1, "README.md has one block ```tree with the folders of the repository"
    return tree_paths(blocks[0])


def test_every_path_in_the_tree_of_the_readme_exists() -> None:
    tracked = {path.relative_to(REPOSITORY) for path in FILES}
    known = {str(path) for file in tracked for path in (file, *file.parents)}
    assert [path for path in _tree_of_the_readme() if path not in known] == []


def test_every_top_level_folder_is_in_the_tree_of_the_readme() -> None:
    folders = {path.relative_to(REPOSITORY).parts[0] for path in FILES if path.parent != REPOSITORY}
    assert {name for name in folders if not name.startswith(".")} <= set(_tree_of_the_readme())


def test_no_module_is_called_by_what_it_is_not() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
    modules = [path.relative_to(REPOSITORY) for path in FILES if path.suffix == ".py"]
    assert [str(path) for path in modules if vague & {*path.parts[:-1], path.stem}] == []


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (REPOSITORY / "docs" / "adr").iterdir())
    assert [name for name in names if not re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)] == []
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_the_changelog_has_a_section_for_what_is_new() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?(Unreleased|\d+\.\d+\.\d+)\b", changelog, re.M)


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    machine_path = re.compile(rb"(?<![\w.*-])/(root|work)/")
    contents = {str(path.relative_to(REPOSITORY)): path.read_bytes() for path in FILES}
    text_files = {name: content for name, content in contents.items() if b"\0" not in content}
    assert [name for name, content in text_files.items() if machine_path.search(content)] == []


def test_every_dependency_has_its_line_and_every_line_its_dependency() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    names = {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements} - {project["name"]}
    record = (REPOSITORY / "docs" / "adr" / "0002-dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", record, re.M)) == names


def test_pre_commit_runs_the_commands_of_make_lint() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.M)
    assert recipe is not None
    commands = [line.strip().removeprefix("@").replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    configured = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [hook["entry"] for repository in configured["repos"] for hook in repository["hooks"]] == commands
