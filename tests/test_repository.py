"""What the repository says of itself is true."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
import yaml
from click import Group

from processors.telephony.missing import NO_EVENT
from schemas.errors import InvalidMessageError
from schemas.messages.outcome import OUTCOMES
from streams.cli.main import app
from streams.settings import CONFIG_VARIABLE, setting_fields, variable_of
from tests.support.cases import every_case

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
PATHS = {str(path) for file in FILES for path in (file.relative_to(REPOSITORY), *file.relative_to(REPOSITORY).parents)}
"""Every file of the repository and every folder that holds one."""

PACKAGES = ("schemas", "processors", "streams")


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


def _drawn_tree() -> list[str]:
    blocks = code_blocks(REPOSITORY / "docs" / "development.md", "tree")
    assert len(blocks) == 1, "docs/development.md has one block ```tree with the folders of the repository"
    return tree_paths(blocks[0])


def test_every_path_in_the_drawn_tree_exists() -> None:
    assert [path for path in _drawn_tree() if path not in PATHS] == []


def test_every_top_level_folder_and_every_folder_of_the_packages_is_in_the_drawn_tree() -> None:
    parts = [path.relative_to(REPOSITORY).parts[:-1] for path in FILES if path.parent != REPOSITORY]
    folders = {folder[0] for folder in parts if not folder[0].startswith(".")}
    folders |= {"/".join(folder[:2]) for folder in parts if folder[0] in PACKAGES and len(folder) > 1}
    assert folders - set(_drawn_tree()) == set()


def test_no_module_is_called_by_what_it_is_not() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
    modules = [path.relative_to(REPOSITORY) for path in FILES if path.suffix == ".py"]
    assert [str(path) for path in modules if vague & {*path.parts[:-1], path.stem}] == []


def test_the_pure_part_holds_sql_in_two_folders_only() -> None:
    statement = re.compile(r"\b(SELECT|INSERT INTO|ALTER TABLE|(CREATE|DROP)( OR REPLACE)? (TABLE|VIEW))\b")
    folder = REPOSITORY / "processors"
    sources = [path for path in FILES if path.suffix == ".py" and path.is_relative_to(folder)]
    with_sql = {path.relative_to(folder).parts[0] for path in sources if statement.search(path.read_text("utf-8"))}
    assert with_sql == {"clickhouse", "kpi"}


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (REPOSITORY / "docs" / "adr").iterdir() if path.name != "index.md")
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
READMES = ("README.md", "README.zh-CN.md")
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def code_blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return [block for name, block in _FENCED.findall(page.read_text(encoding="utf-8")) if name == language]


def anchors(page: Path) -> set[str]:
    """The names under which the headings of a page are linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _relative_links(page: Path) -> list[tuple[Path, str]]:
    """Target and heading of each link of a page that leads into the repository."""
    links = re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", page.read_text(encoding="utf-8")))
    parts = [link.partition("#") for link in links if not re.match(r"[a-z]+:", link)]
    return [((page.parent / path).resolve() if path else page, heading) for path, _, heading in parts]


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    with every_case() as cases:
        for page in PAGES:
            with cases.case(page.relative_to(REPOSITORY)):
                assert [
                    (target, heading)
                    for target, heading in _relative_links(page)
                    if not target.exists() or (heading and heading not in anchors(target))
                ] == []


@pytest.mark.parametrize("start", ["README.md", "README.zh-CN.md", "docs/index.md"])
def test_every_page_of_the_documentation_is_reached_by_links_from(start: str) -> None:
    reached: set[Path] = set()
    ahead = {REPOSITORY / start}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= {target for target, _ in _relative_links(page) if target.suffix == ".md"} - reached
    assert [page for page in PAGES if "docs" in page.relative_to(REPOSITORY).parts and page not in reached] == []


def test_the_index_of_the_documentation_names_every_page_itself() -> None:
    index = REPOSITORY / "docs" / "index.md"
    named = {target for target, _ in _relative_links(index)} | {index}
    assert [page for page in PAGES if page.parent == index.parent and page not in named] == []


def test_the_index_of_decisions_names_each_with_its_title() -> None:
    folder = REPOSITORY / "docs" / "adr"
    decisions = [path for path in sorted(folder.iterdir()) if path.name != "index.md"]
    titles = [path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").split(" ", 1) for path in decisions]
    lines = [f"* [{number}]({path.name}) {title}" for path, (number, title) in zip(decisions, titles, strict=True)]
    assert re.findall(r"^\* \[.*", (folder / "index.md").read_text(encoding="utf-8"), re.M) == lines


def _paths_named_on(page: Path) -> set[str]:
    """What stands on a page as code or in a block and looks like a path of the repository."""
    top = "|".join(
        sorted({re.escape(path.relative_to(REPOSITORY).parts[0]) for path in FILES if path.parent != REPOSITORY})
    )
    named = re.findall(rf"(?<![\w./<>$-])(?:{top})/[\w./-]+", page.read_text(encoding="utf-8"))
    return {name.rstrip("./") for name in named}


# Decisions and the log of changes speak of their own time.
PAGES_OF_TODAY = [page for page in PAGES if page.parent.name != "adr" and page.name != "CHANGELOG.md"]


def test_every_path_of_the_repository_that_a_page_names_exists() -> None:
    with every_case() as cases:
        for page in PAGES_OF_TODAY:
            with cases.case(page.relative_to(REPOSITORY)):
                assert _paths_named_on(page) - PATHS == set()


def test_a_path_that_a_page_names_is_seen_in_code_and_in_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "see `streams/gone.py`, or\n```bash\npython benchmarks/gone.py --out DIR/docs/x\n```\n", encoding="utf-8"
    )
    assert _paths_named_on(page) == {"streams/gone.py", "benchmarks/gone.py"}


def test_the_readme_is_short_enough_to_be_read() -> None:
    lines = {name: len((REPOSITORY / name).read_text(encoding="utf-8").splitlines()) for name in READMES}
    assert {name: count for name, count in lines.items() if count > 150} == {}


def test_every_test_that_a_page_names_exists() -> None:
    tests = {name for path in FILES if path.name.startswith("test_") for name in (path.stem, *_tests_of(path))}
    with every_case() as cases:
        for page in PAGES:
            with cases.case(page.relative_to(REPOSITORY)):
                assert set(re.findall(r"\btest_\w+", page.read_text(encoding="utf-8"))) - tests == set()


def _tests_of(path: Path) -> list[str]:
    return re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    known = {CONFIG_VARIABLE, *map(variable_of, setting_fields())}
    # The record of decision 0013 shows a misspelt one; NAME stands for any; the notes on upgrading name one that was.
    others = {"CALLSTREAM_CLICKHOUSE_UR", "CALLSTREAM_NAME", "CALLSTREAM_LEXICON_FOLDER"}
    others |= {"CALLSTREAM_PORT", "CALLSTREAM_SERVICE_HOST"}  # what Kubernetes sets for a service of that name
    with every_case() as cases:
        for page in PAGES:
            with cases.case(page.relative_to(REPOSITORY)):
                named = re.findall(r"\bCALLSTREAM_[A-Z0-9_]+\b", page.read_text(encoding="utf-8"))
                assert set(named) - known - others == set()


def test_every_command_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    with every_case() as cases:
        for page in PAGES:
            with cases.case(page.relative_to(REPOSITORY)):
                text = page.read_text(encoding="utf-8")
                assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) - targets == set()
                for words in re.findall(r"(?:`|^|/bin/)callstream ((?:[a-z]+ ?)+)", text, re.MULTILINE):
                    group = typer.main.get_command(app)
                    for word in words.split():
                        if not isinstance(group, Group):
                            break
                        assert word in group.commands, f"callstream {words}"
                        group = group.commands[word]


def test_the_readme_says_the_same_in_both_languages() -> None:
    english, chinese = (REPOSITORY / name for name in READMES)
    for language in ("bash", "yaml", "text", "mermaid"):
        assert code_blocks(english, language)
        assert code_blocks(chinese, language) == code_blocks(english, language)
    assert {target for target, _ in _relative_links(english)} - {chinese} == {
        target for target, _ in _relative_links(chinese)
    } - {english}


def private_names(module: ast.Module) -> Iterator[str]:
    """Names with an underscore in front that a module takes from others: imported, asked for, or set."""
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in OWN):
            yield from filter(is_private, [node.attr])
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            yield from (part for name in names for part in name.split(".") if is_private(part))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ATTRIBUTE_CALLS:
            texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            yield from (part for text in texts if isinstance(text, str) for part in text.split(".") if is_private(part))


OWN = {"self", "cls", "KafkaError"}  # librdkafka puts an underscore before the codes of errors that no broker sends
ATTRIBUTE_CALLS = {"setattr", "getattr", "delattr", "hasattr", "attrgetter", "methodcaller", "patch", "object"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        pytest.param("from a import _b", ["_b"], id="a name that is imported"),
        pytest.param("from a._b import c", ["_b"], id="a module that is imported from"),
        pytest.param("import a._b", ["_b"], id="a module that is imported"),
        pytest.param("a.b._c.d", ["_c"], id="an attribute"),
        pytest.param("monkeypatch.setattr(a, '_b', 1)", ["_b"], id="an attribute that is replaced"),
        pytest.param("monkeypatch.setattr('a.b._c', 1)", ["_c"], id="by its path"),
        pytest.param("getattr(a, '_b')", ["_b"], id="an attribute that is asked for by name"),
        pytest.param("self._own; cls._own; a.__class__; _local; a.b_", [], id="what is one's own, Python's or public"),
    ],
)
def test_private_names_are_seen(source: str, names: list[str]) -> None:
    assert list(private_names(ast.parse(source))) == names


def test_no_test_reaches_into_private_names() -> None:
    with every_case() as cases:
        for path in FILES:
            if path.suffix == ".py" and path.is_relative_to(REPOSITORY / "tests"):
                with cases.case(path.relative_to(REPOSITORY)):
                    assert list(private_names(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_operations_tell_what_to_do_about_every_outcome_and_reason() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)` \| `?(\w*)`? ?\|", page, re.MULTILINE))
    packages = [path for path in FILES if path.relative_to(REPOSITORY).parts[0] in PACKAGES and path.suffix == ".py"]
    sources = [path.read_text(encoding="utf-8") for path in packages]
    unheard = re.compile(r"(?:Error\(|unheard_transcript\(call, )\"(\w+)\", \"(\w+)\"")
    given = {pair for source in sources for pair in unheard.findall(source)}
    refusals: list[type[InvalidMessageError]] = [InvalidMessageError, *InvalidMessageError.__subclasses__()]
    given |= {("refused", error.__name__) for error in refusals}
    (heard,) = re.findall(r'return "analyzed", "(\w+)" if .+ else "(\w+)"', "\n".join(sources))
    given |= {("analyzed", reason) for reason in heard} | {("pending", ""), ("purged", ""), ("not_received", NO_EVENT)}
    assert {pair for pair in told if pair[0] in {*OUTCOMES, "pending"}} == given
