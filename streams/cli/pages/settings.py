"""`docs/settings.md`, made from the settings themselves: `callstream config --markdown` writes it, a test keeps it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from streams.settings import (
    COMMANDS,
    CONFIG_VARIABLE,
    PREFIX,
    setting_fields,
    setting_groups,
    setting_models,
    variable_of,
)
from streams.topology import WORKERS

SETTINGS_FILE = "docs/settings.md"
"""Where the page stands in the repository."""

_INTRODUCTION = f"""\
# Settings

A setting comes from its environment variable; where that is not set, from a file of its name in `secrets_dir`; then
from the TOML file that `{CONFIG_VARIABLE}` names; where that is silent, too, from the default below.
`callstream config` shows each value and where it came from.

* A `{PREFIX}*` variable or a key in the file that is not in this table stops the start with a sentence that names it,
  and so does a value that does not fit. The value itself is not repeated.
* The file is flat: `whisper_threads = 2`, without tables.
* true and false may be written `true`/`false`, `1`/`0`, `yes`/`no` or `on`/`off` in a variable, in any case.
* A file in `secrets_dir` holds the value and nothing else; a line break at its end is cut. Names that begin with a dot
  are passed over, any other that is no setting stops the start. A worker reads the files of the settings that its stage
  is given (below), and no others.
* A path may begin with `~`. An optional path whose variable is empty is not set.
* Values of type secret are never printed or logged.

"""

_GIVEN = f"""
## What each worker is given

`callstream up` and `callstream worker A B` start each worker with the settings that its stage needs, and with no secret
of another: `listen`, which reads what strangers send, does not know the password of ClickHouse. Of other variables they
hand on those of the system (paths, language, proxies, libraries for processors), and to `notify` all of them, because
its file of subscriptions names secrets. A `{CONFIG_VARIABLE}` that is set and empty names no file at all. Give workers
that you start yourself no more than this
([deploy](../deploy/README.md#workers-against-your-own-systems)).

"""

_GIVEN_COLUMNS = ("Workers", "Settings")
_COLUMNS = ("Variable", "TOML key", "Type", "Default", "Meaning")


def settings_markdown() -> str:
    """The whole page; the same text on every machine."""
    properties: dict[str, Any] = {}
    for model in setting_models():
        properties |= model.model_json_schema().get("properties", {})
    rows: list[Sequence[str]] = [_COLUMNS, tuple("---" for _ in _COLUMNS)]
    for name, field in setting_fields().items():
        rows.append(
            (
                f"`{variable_of(name)}`",
                f"`{name}`",
                _type(properties[name]),
                _default(field.default, properties[name]),
                field.description or "",
            )
        )
    return _INTRODUCTION + _as_table(rows) + _GIVEN + _as_table([_GIVEN_COLUMNS, ("---", "---"), *_given()])


def _given() -> Iterator[tuple[str, str]]:
    """Workers → the settings that they are given."""
    for group, names in setting_groups().items():
        stages = [stage.name for stage in WORKERS if group in stage.setting_groups]
        workers = ", ".join(f"`{stage}`" for stage in stages) or {COMMANDS: "none: commands"}.get(group, group)
        yield workers, ", ".join(f"`{name}`" for name in setting_fields() if name in names)


def _as_table(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(_cell(text) for text in row)} |\n" for row in rows)


def _type(schema: Mapping[str, Any]) -> str:
    """`whole number, 1 to 64`: what the value must be, as words."""
    if "anyOf" in schema:
        return f"{_type(schema['anyOf'][0])}, optional"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "format" in schema:
        return "secret" if schema["format"] == "password" else str(schema["format"])
    kind = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    return kind[schema["type"]] + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    lowest, highest, above = (schema.get(key) for key in ("minimum", "maximum", "exclusiveMinimum"))
    if above is not None:
        return f", more than {above}"
    if lowest is not None:
        return f", {lowest} to {highest}" if highest is not None else f", at least {lowest}"
    return ""


def _default(default: object, schema: Mapping[str, Any]) -> str:
    """Defaults are public, also that of a secret; one that depends on the machine is described by its schema."""
    value = default.get_secret_value() if isinstance(default, SecretStr) else schema.get("default")
    if value is None:
        return "not set"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else "empty"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
