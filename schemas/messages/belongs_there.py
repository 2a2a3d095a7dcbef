"""What belongs in a field that was refused, in words: the kind of an error alone tells nobody what to write."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

_ID = "a letter or digit, then letters, digits and . _ : @ - alone; at most 128 in all"
_OF_PATTERN: Mapping[str, str] = {
    r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$": _ID,
    r"^[A-Za-z0-9][A-Za-z0-9._:+@-]{0,127}$": _ID.replace(" @", " + @"),
    r"^[a-z][a-z0-9_-]{0,63}$": "a small letter, then small letters, digits, _ and - alone; at most 64 in all",
    r"^[a-z][a-z0-9_]{0,63}$": "a small letter, then small letters, digits and _ alone; at most 64 in all",
    r"^[^\x00-\x1f\x7f]*$": "text without line breaks and other control characters",
    r"^[a-z]{2,3}$": "two or three small letters: zh, also for what others call zh-CN or zh-Hans; yue for Cantonese",
}
_OF_KIND: Mapping[str, str] = {
    "missing": "must be there",
    "tuple_type": "a list, in square brackets",
    "list_type": "a list, in square brackets",
    "string_type": "text, in quotation marks",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "extra_forbidden": "there is no such field: leave it out",
    "json_invalid": "JSON, in UTF-8",
    "datetime_in_the_future": "a time that is not more than a day from now",
    "names_another_thing": "of a finding finding_id, detector, rule_id and rule_version; of a missed violation kind "
    "and quote; of a call neither",
    "missed_and_not": "yes or withdrawn: what was not missed needs no verdict",
    "timezone_aware": "a time with its zone, such as 2026-03-02T10:15:00+08:00",
}
_FIELDS_NAMED = 8


def with_what_belongs_there(model: type[BaseModel], problem: str) -> str:
    """The problem, with what belongs there in brackets where its kind does not say it: as commands and HTTP tell it."""
    told = what_belongs_there(model, problem)
    return f"{problem} ({told})" if told else problem


def problem_of_parameter(place: Sequence[str | int], kind: str, bounds: Mapping[str, Any]) -> str:
    """The same of a parameter that belongs to no model; `bounds`: the `ctx` of the error, which holds no input."""
    names = {"min_length": ("minLength", "minItems"), "max_length": ("maxLength", "maxItems"), "ge": ("minimum",)}
    names |= {"le": ("maximum",), "gt": ("exclusiveMinimum",), "lt": ("exclusiveMaximum",), "pattern": ("pattern",)}
    field = {name: value for bound, value in bounds.items() for name in names.get(bound, ())}
    told = bounds["expected"] if kind in ("literal_error", "enum") else _in_words(kind, field)
    problem = f"{'.'.join(map(str, place))}: {kind}"
    return f"{problem} ({told})" if told else problem


def what_belongs_there(model: type[BaseModel], problem: str) -> str | None:
    """In words, for a problem `field.path: kind_of_error` of that model (`InvalidMessageError.problems`); None where
    the kind says it, or there is no such field. Names fields and values of the schema, and nothing that was given."""
    path, _, kind = problem.partition(": ")
    return _in_words(kind, _field(model, [] if path in ("", "message") else path.split(".")))


def fields_known_at(model: type[BaseModel], path: Sequence[str]) -> frozenset[str]:
    """The names of the fields at that place of the model; none where it holds no object."""
    return frozenset(_field(model, path).get("properties", {}))


def _in_words(kind: str, field: Mapping[str, Any]) -> str | None:
    if kind == "literal_error" and (allowed := field.get("enum", [field["const"]] if "const" in field else [])):
        return _either([str(value) for value in allowed])
    if kind == "string_pattern_mismatch" and "pattern" in field:
        return _OF_PATTERN.get(field["pattern"], f"text that matches {field['pattern']}")
    if kind in ("model_type", "model_attributes_type"):
        names = list(field.get("properties", {}))
        more = [] if len(names) <= _FIELDS_NAMED else ["…"]
        return f"an object, in braces, with {', '.join([*names[:_FIELDS_NAMED], *more])}"
    if kind.startswith(("datetime_parsing", "datetime_from", "datetime_type")):
        return _OF_KIND["timezone_aware"]
    return _OF_KIND.get(kind) or _within(kind, field)


def _within(kind: str, field: Mapping[str, Any]) -> str | None:
    """In words, the bound that something is beyond."""
    words = {
        "string_too_short": ("minLength", "at least {} character(s)"),
        "string_too_long": ("maxLength", "at most {} character(s)"),
        "too_short": ("minItems", "at least {} of them"),
        "too_long": ("maxItems", "at most {} of them"),
        "greater_than": ("exclusiveMinimum", "a number above {}"),
        "greater_than_equal": ("minimum", "a number of {} or more"),
        "less_than": ("exclusiveMaximum", "a number below {}"),
        "less_than_equal": ("maximum", "a number of {} or less"),
    }
    name, sentence = words.get(kind, ("", ""))
    return sentence.format(field[name]) if name in field else None


def _either(values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _field(model: type[BaseModel], path: Sequence[str]) -> dict[str, Any]:
    """The schema of a field; empty where there is none."""
    schema = _schema(model)
    found = _resolved(schema, schema)
    for part in path:
        inner = found.get("items") if part.isdecimal() else found.get("properties", {}).get(part)
        if inner is None:
            return {}
        found = _resolved(inner, schema)
    return found


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Without references, and of something that may be null what it is otherwise."""
    for one in field.get("anyOf", ()):
        if one.get("type") != "null":
            return _resolved(one, schema)
    if "$ref" in field:
        return _resolved(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    return field
