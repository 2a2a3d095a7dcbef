"""What the repository says of itself is true."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer.main
import yaml
from click import Group

from schemas.errors import InvalidMessageError
from schemas.messages.outcome import OUTCOMES
from streams.cli.main import app
from streams.settings import CONFIG_VARIABLE, Settings, variable_of

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


PAGES = [path for path in FILES if path.suffix == ".md"]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def code_blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [block for name, block in _FENCED.findall(page.read_text(encoding="utf-8")) if name == language]


def anchors(page: Path) -> set[str]:
    """The names under which the headings of a page are linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(link)
    assert broken == []


@every_page
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    tests = {name for path in FILES if path.name.startswith("test_") for name in (path.stem, *_tests_of(path))}
    assert set(re.findall(r"\btest_\w+", page.read_text(encoding="utf-8"))) - tests == set()


def _tests_of(path: Path) -> list[str]:
    return re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))


@every_page
def test_every_variable_that_a_page_names_is_a_setting(page: Path) -> None:
    known = {CONFIG_VARIABLE, *map(variable_of, Settings.model_fields)}
    named = re.findall(r"\bCALLSTREAM_[A-Z0-9_]+\b", page.read_text(encoding="utf-8"))
    # The record of decision 0013 shows a misspelt one; NAME stands for any; the notes on upgrading name one that was.
    others = {"CALLSTREAM_CLICKHOUSE_UR", "CALLSTREAM_NAME", "CALLSTREAM_LEXICON_FOLDER"}
    assert set(named) - known - others == set()


@every_page
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) - targets == set()
    for words in re.findall(r"(?:`|^|/bin/)callstream ((?:[a-z]+ ?)+)", text, re.MULTILINE):
        group = typer.main.get_command(app)
        for word in words.split():
            if not isinstance(group, Group):
                break
            assert word in group.commands, f"callstream {words}"
            group = group.commands[word]


def test_the_readme_says_the_same_in_both_languages() -> None:
    english, chinese = (REPOSITORY / name for name in ("README.md", "README.zh-CN.md"))
    for language in ("bash", "sql"):
        assert code_blocks(chinese, language) == code_blocks(english, language)
    # What is printed is the same, too; only the tree is translated.
    assert code_blocks(chinese, "text")[:-1] == code_blocks(english, "text")
    assert _named(chinese) == _named(english)
    assert tree_paths(code_blocks(chinese, "text")[-1]) == tree_paths(code_blocks(english, "tree")[0])


def _named(page: Path) -> list[str]:
    """Tests that a page names, in its order."""
    return re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))


def test_operations_tell_what_to_do_about_every_outcome_and_reason() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \| `?(\w*)`? ?\|", page, re.MULTILINE))
    sources = [path.read_text(encoding="utf-8") for path in FILES if path.parts[-2] in ("processors", "streams")]
    unheard = re.compile(r"(?:Error\(|unheard\(call, )\"(\w+)\", \"(\w+)\"")
    given = {pair for source in sources for pair in unheard.findall(source)}
    refusals: list[type[InvalidMessageError]] = [InvalidMessageError, *InvalidMessageError.__subclasses__()]
    given |= {("refused", error.__name__) for error in refusals}
    (heard,) = re.findall(r'return "analyzed", "(\w+)" if .+ else "(\w+)"', "\n".join(sources))
    given |= {("analyzed", reason) for reason in heard} | {("pending", ""), ("purged", "")}
    assert {pair for pair in told if pair[0] in {*OUTCOMES, "pending"}} == given
