"""One name, one meaning: what classes and functions may be called."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("schemas", "processors", "streams")
SOURCES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))


def public_types(source: str) -> Iterator[str]:
    """The public classes and aliases of types (Severity = Literal[…]) of a module; no constants, no TypeVars."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not _is_type_variable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [target.id for target in targets if isinstance(target, ast.Name) and not target.id.isupper()]
        else:
            continue
        yield from (name for name in names if name[0].isupper())


def _is_type_variable(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


@pytest.mark.parametrize(
    ("source", "types"),
    [
        pytest.param("class Delivery:\n    class Inner: ...\n", ["Delivery"], id="a_class"),
        pytest.param("Severity = Literal['low']\nJson: TypeAlias = dict\n", ["Severity", "Json"], id="aliases"),
        pytest.param("M = TypeVar('M')\nLIMIT = 3\nclass _Own: ...\nlog = 1\nfrom a import Other\n", [], id="no_types"),
    ],
)
def test_public_types_are_found(source: str, types: list[str]) -> None:
    assert list(public_types(source)) == types


def test_no_two_public_classes_or_aliases_share_a_name() -> None:
    defined = Counter(name for path in SOURCES for name in public_types(path.read_text(encoding="utf-8")))
    shared = {name for name, times in defined.items() if times > 1}
    assert shared == set()


def public_functions(source: str) -> Iterator[str]:
    """The public functions and methods of a module; what is read like an attribute is none."""
    module = ast.parse(source)
    methods = [node for each in module.body if isinstance(each, ast.ClassDef) for node in each.body]
    for node in (*module.body, *methods):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            decorators = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
            if decorators.isdisjoint({"property", "cached_property", "remembered"}):
                yield node.name


def test_public_functions_are_found() -> None:
    methods = "    def told(self): ...\n    @property\n    def heard(self): ...\n    def _said(self): ..."
    assert list(public_functions(f"def raised(): ...\nclass A:\n{methods}")) == ["raised", "told"]


def test_no_public_function_of_schemas_and_processors_is_called_by_a_bare_participle() -> None:
    participle = re.compile(
        r"(?!embed|feed|need|seed|exceed|proceed)\w+ed|told|said|heard|felt|found|kept|shown|taken|given|made|sent"
    )
    functions = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in SOURCES
        if path.relative_to(REPOSITORY).parts[0] in ("schemas", "processors")
        for name in public_functions(path.read_text(encoding="utf-8"))
        if participle.fullmatch(name) and "_" not in name
    }
    assert functions == set()
