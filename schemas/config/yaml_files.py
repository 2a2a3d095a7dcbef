"""YAML that people write: read strictly, with the line of every problem."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.errors import OperatorError

MAX_DEPTH = 60
MAX_FILE_BYTES = 8 * 1024 * 1024
ALIASES = "aliases are not read"
TOO_DEEP = "is nested too deeply"
NO_VALUE = "a day, a time or a number in it cannot be: write it in quotes to see which"
TWICE = "stands twice"

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_LONGEST_NUMBER = 400
"""Letters: 59:59:59:… is read in the square of its length."""

M = TypeVar("M", bound=BaseModel)
Location = tuple[int | str, ...]


class YamlFileError(OperatorError):
    """Files cannot be used; `problems` are sentences that name file, line, entry and field."""

    exit_code = 3

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where it is built in
    """A safe loader, in C where it is there."""


def _check(node: yaml.Node, seen: set[int], depth: int = 0) -> None:
    """Refuse a key that stands twice, which readers drop in silence, aliases, which blow up a small file, and depth."""
    if id(node) in seen:
        raise yaml.constructor.ConstructorError(None, None, ALIASES, node.start_mark)
    if depth > MAX_DEPTH:
        raise yaml.constructor.ConstructorError(None, None, TOO_DEEP, node.start_mark)
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(None, None, NO_VALUE, node.start_mark)
        return
    if isinstance(node, yaml.MappingNode):
        keys: set[Any] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key.start_mark)
            if key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} {TWICE}", key.start_mark)
            keys.add(key.value)
            _check(key, seen, depth + 1)
            _check(value, seen, depth + 1)
    else:
        for value in node.value:
            _check(value, seen, depth + 1)


def load_yaml(text: str) -> Any:
    """What the text holds, without aliases and keys that stand twice. Raises `yaml.YAMLError` and `RecursionError`.

    For files that have a reader of their own; `read_yaml` tells where each problem is.
    """
    return _read(text)[1]


def _read(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check(node, set())
        try:
            return node, loader.construct_document(node)
        except ValueError:  # 2026-02-30, a number of five thousand digits
            raise yaml.constructor.ConstructorError(None, None, NO_VALUE, node.start_mark) from None
    finally:
        loader.dispose()


@dataclass(frozen=True)
class Document(Generic[M]):
    """A document as a model, with the way back to its lines."""

    content: M
    node: yaml.Node

    def line(self, location: Location) -> int:
        """The line, from 1, of a place: keys and positions from the top."""
        return _line(self.node, location)


def read_yaml(name: str, text: str, model: type[M], entry_of: Callable[[Any, Location], str]) -> Document[M]:
    """A document as a model. `name` is what its problems begin with; `entry_of` names the entry that a place lies in
    (`rule no_loss`), or nothing. Raises `YamlFileError`."""
    try:
        node, content = _read(text)
    except yaml.YAMLError as error:
        raise YamlFileError([f"{name}{_yaml_problem(error)}"]) from None
    except RecursionError:
        raise YamlFileError([f"{name}: {TOO_DEEP}"]) from None
    if node is None or not isinstance(content, dict):
        raise YamlFileError([f"{name}: must hold a mapping, see the files that are shipped"])
    try:
        return Document(model.model_validate(content), node)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
    raise YamlFileError(
        dict.fromkeys(
            f"{name}:{_line(node, detail['loc'])}: {_introduce(entry_of(content, detail['loc']))}"
            f"{_field(detail['loc'])}{_lower(detail['msg'])}"
            for detail in details
            if not any(_lies_within(other["loc"], detail["loc"]) for other in details)
        )
    )


def read_yaml_file(file: Path, model: type[M], entry_of: Callable[[Any, Location], str]) -> Document[M]:
    """The same of a file. Raises `YamlFileError`, also when it cannot be read or is larger than `MAX_FILE_BYTES`."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise YamlFileError([f"{file}: is larger than {MAX_FILE_BYTES} bytes"])
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise YamlFileError([f"{file}: cannot be read: {type(error).__name__}"]) from None
    return read_yaml(str(file), text, model, entry_of)


def _lies_within(inner: Location, outer: Location) -> bool:
    """A list whose items are all wrong is also reported as too short: the items say it better."""
    return len(inner) > len(outer) > 0 and inner[: len(outer)] == outer


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f":{error.problem_mark.line + 1}: {error.problem}"
    return ": is not YAML"


def _line(node: yaml.Node | None, location: Location) -> int:
    """The line, from 1, of the innermost part of a place that stands in the document."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                continue  # pydantic names the kinds of a union, too
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _introduce(entry: str) -> str:
    return f"{entry}, " if entry else ""


def _field(location: Location) -> str:
    names = ".".join(str(part) for part in location)
    return f"field {names}: " if names else ""


def _lower(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def find_repeated(values: Iterable[str]) -> list[str]:
    """Values that occur more than once, in order."""
    seen: set[str] = set()
    twice: set[str] = set()
    for value in values:
        (twice if value in seen else seen).add(value)
    return sorted(twice)


def entry_named_by_id(content: Mapping[Any, Any], location: Location, sections: Sequence[str]) -> str:
    """`mandatory_scripts recording_notice`: the entry with an `id`, in one of the sections, that a place lies in."""
    if len(location) < 2 or location[0] not in sections or not isinstance(location[1], int):
        return ""
    entry = content[location[0]][location[1]]
    name = entry.get("id") if isinstance(entry, dict) else None
    return f"{location[0]} {name if isinstance(name, str) else location[1] + 1}"
