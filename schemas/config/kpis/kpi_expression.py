"""Expressions over one call, as people write them in a file of KPIs: `measures['longest_silence_ms'] > 60000`.

An expression is read with the grammar of Python and becomes a tree of the few operations listed here; everything else
is refused by name. Nothing of the text itself ever reaches the database: `processors/kpi/expression_sql.py` makes SQL
of the tree. Values may be null (not known); what an operation makes of null stands at `OperationName`.
"""

import ast
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from typing import Literal

ExpressionType = Literal["number", "text", "boolean", "texts", "numbers by name"]

OperationName = Literal[
    "literal",
    "column",
    "look_up",
    "and",
    "or",
    "not",
    "negate",
    "add",
    "subtract",
    "multiply",
    "divide",
    "equal",
    "unequal",
    "less",
    "less_or_equal",
    "greater",
    "greater_or_equal",
    "is_null",
    "contains",
    "count",
    "length",
    "abs",
    "coalesce",
    "if",
]
"""Null in, null out, but for these: `and` is false where one side is false, `or` true where one is true, whatever the
other; `coalesce` is the first that is not null; `is_null` asks; `if` takes its last argument where the condition is
null. `divide` by 0 is null. `look_up` of a name that is not there is null, of `risk_parts` 0."""

COLUMNS: Mapping[str, ExpressionType] = {
    **dict.fromkeys(
        (
            *("tenant_id", "direction", "handled_by", "agent_id", "agent_team", "agent_seniority", "queue"),
            *("inquiry_type", "industry", "course_type", "outcome", "outcome_reason", "language", "risk_level"),
            *("order_status", "customer_value_tier", "newest_order_status", "newest_customer_value_tier", "resolution"),
            "disconnected_by",
            *("agent_tenure", "rated"),
        ),
        "text",
    ),
    **dict.fromkeys(
        (
            *(
                "duration_ms",
                "score",
                "settled_score",
                "risk_score",
                "rating",
                "analysis_version",
                "agent_tenure_months",
            ),
            *("scripts_asked", "scripts_kept", "script_rules_asked", "script_rules_kept"),
            *("hold_ms", "queue_wait_ms", "after_call_work_ms"),
        ),
        "number",
    ),
    **dict.fromkeys(
        (
            *("duration_in_band", "recording_notice_played", "resolved_answer", "customer_called_again", "is_repeat"),
            "selected",
        ),
        "boolean",
    ),
    **dict.fromkeys(
        (
            *("topic_ids", "customer_tags", "newest_customer_tags"),
            *("finding_categories", "finding_rule_ids", "finding_roles", "finding_severities"),
            "triggers",
        ),
        "texts",
    ),
    **dict.fromkeys(("measures", "score_groups", "settled_score_groups", "risk_parts"), "numbers by name"),
}
"""The columns of the view `kpi_calls` that an expression may read."""

MAX_CHARACTERS = 2_000
MAX_DEPTH = 12
MAX_WEIGHT = 500
"""Operations in the SQL that an expression becomes; a comparison in a chain repeats what stands in its middle."""
MAX_NUMBER = 1e15
MAX_TEXT_CHARACTERS = 128


class ExpressionError(ValueError):
    """It is no expression that can be used; the text says which part, and what to write."""


@dataclass(frozen=True)
class Expression:
    """An operation and what it is done to. `value` is that of a literal, or the name of a column or of what is looked
    up."""

    operation: OperationName
    type: ExpressionType
    arguments: "tuple[Expression, ...]" = ()
    value: str | float | bool | None = None

    @cached_property
    def weight(self) -> int:
        """How many operations its SQL is made of, itself included. Cached: parts may stand in it many times."""
        return 1 + sum(argument.weight for argument in self.arguments)


def parse_expression(text: str, wanted: ExpressionType) -> Expression:
    """The tree of a text that gives a value of the type `wanted`. Raises `ExpressionError`."""
    found = _Reader(text).expression
    if found.type != wanted:
        raise ExpressionError(
            f"gives {_WORDS[found.type]}, where {_WORDS[wanted]} is needed{_HINTS.get((found.type, wanted), '')}"
        )
    return found


_WORDS: Mapping[ExpressionType, str] = {
    "number": "a number",
    "text": "a text",
    "boolean": "true or false",
    "texts": "a list of texts",
    "numbers by name": "a map of numbers",
}
_HINTS = {
    ("number", "boolean"): "; compare it, as in measures['greeting'] > 0",
    ("boolean", "number"): "; write 1 if … else 0 to count it",
}

_COMPARISONS: Mapping[type[ast.cmpop], OperationName] = {
    ast.Eq: "equal",
    ast.NotEq: "unequal",
    ast.Lt: "less",
    ast.LtE: "less_or_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_or_equal",
}
_ARITHMETIC: Mapping[type[ast.operator], OperationName] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_FUNCTIONS = ("abs", "between", "coalesce", "count", "length")
_REFUSED: Mapping[type[ast.AST], str] = {
    ast.Attribute: "a dot after a name means nothing here",
    ast.BinOp: "the operators of numbers are + - * /",
    ast.UnaryOp: "the operators before a value are - and not",
    ast.JoinedStr: "a text is written in plain quotes, without f",
    ast.NamedExpr: "an expression sets no names; compare with ==",
    ast.Lambda: "an expression defines no functions",
    ast.List: "a list stands only after in",
    ast.Tuple: "a list stands only after in",
    ast.Slice: "a name in quotes stands in the brackets",
}


class _Reader:
    """Reads one text."""

    def __init__(self, text: str) -> None:
        # Lines of a folded text in YAML are one line.
        self._text = " ".join(text.split("\n")).strip()
        if not self._text:
            raise ExpressionError("is empty")
        if len(self._text) > MAX_CHARACTERS:
            raise ExpressionError(f"is longer than {MAX_CHARACTERS} characters")
        self.expression = self._read(self._parsed(), 1)
        if self.expression.weight > MAX_WEIGHT:
            raise ExpressionError("is too long; make it simpler, or two KPIs of it")

    def _parsed(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a backslash that means nothing, and the like
                parsed = ast.parse(self._text, mode="eval").body
                tokens = list(tokenize.generate_tokens(StringIO(self._text).readline))
        except SyntaxError as error:
            at = f" at character {error.offset}" if error.offset else ""
            raise ExpressionError(f"is not an expression{at}: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError, OverflowError, tokenize.TokenError):
            raise ExpressionError("is not an expression") from None
        # Lines were joined, so a comment would swallow all that follows it.
        if any(token.type == tokenize.COMMENT for token in tokens):
            raise ExpressionError("holds a comment: write it as one of YAML, on a line of its own")
        return parsed

    def _read(self, node: ast.expr, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"is nested more than {MAX_DEPTH} deep")
        match node:
            case ast.Constant():
                return self._literal(node)
            case ast.Name():
                return self._column(node)
            case ast.Subscript():
                return self._looked_up(node, depth)
            case ast.BoolOp():
                operation: OperationName = "and" if isinstance(node.op, ast.And) else "or"
                return Expression(operation, "boolean", self._all(node.values, "boolean", depth))
            case ast.UnaryOp(op=ast.Not()):
                return Expression("not", "boolean", (self._as(node.operand, "boolean", depth),))
            case ast.UnaryOp(op=ast.USub()):
                return Expression("negate", "number", (self._as(node.operand, "number", depth),))
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                sides = self._all((node.left, node.right), "number", depth)
                return Expression(_ARITHMETIC[type(node.op)], "number", sides)
            case ast.Compare():
                return self._compared(node, depth)
            case ast.IfExp():
                condition = self._as(node.test, "boolean", depth)
                return self._alike("if", (node.body, node.orelse), node, depth, condition)
            case ast.Call():
                return self._called(node, depth)
        raise self._refusal(node, _REFUSED.get(type(node), "this is not part of an expression"))

    def _as(self, node: ast.expr, wanted: ExpressionType, depth: int) -> Expression:
        found = self._read(node, depth + 1)
        if found.type != wanted:
            hint = _HINTS.get((found.type, wanted), "")
            raise self._refusal(node, f"gives {_WORDS[found.type]}, where {_WORDS[wanted]} is needed{hint}")
        return found

    def _all(self, nodes: Sequence[ast.expr], wanted: ExpressionType, depth: int) -> tuple[Expression, ...]:
        return tuple(self._as(node, wanted, depth) for node in nodes)

    def _alike(
        self,
        operation: Literal["if", "coalesce"],
        nodes: Sequence[ast.expr],
        whole: ast.expr,
        depth: int,
        *before: Expression,
    ) -> Expression:
        """Arguments of one type, which is the type of the whole."""
        found = tuple(self._read(node, depth + 1) for node in nodes)
        kinds = {each.type for each in found}
        if len(kinds) > 1 or not kinds <= {"number", "text", "boolean"}:
            raise self._refusal(whole, "all its values must be numbers, all texts or all booleans")
        return Expression(operation, found[0].type, (*before, *found))

    def _literal(self, node: ast.Constant) -> Expression:
        value = node.value
        if isinstance(value, bool):
            return Expression("literal", "boolean", value=value)
        if isinstance(value, int | float):
            # Compared as it is: an integer may be too large for a float.
            if not value <= MAX_NUMBER:
                raise ExpressionError(f"a number is larger than {MAX_NUMBER:g}")
            return Expression("literal", "number", value=float(value))
        if isinstance(value, str):
            if not value.isprintable() or len(value) > MAX_TEXT_CHARACTERS:
                raise self._refusal(
                    node, f"a text has up to {MAX_TEXT_CHARACTERS} characters, all of which can be seen"
                )
            return Expression("literal", "text", value=value)
        if value is None:
            raise self._refusal(node, "None stands only after is or is not")
        raise self._refusal(node, "values are numbers, texts in quotes, True and False")

    def _column(self, node: ast.Name) -> Expression:
        # Python takes letters that look alike for the same name; a column is written as it is.
        kind = COLUMNS.get(node.id)
        if kind is None or self._source(node) != node.id:
            known = "texts need quotes; " if self._source(node).isidentifier() else ""
            raise self._refusal(node, f"there is no such column; {known}columns are {', '.join(COLUMNS)}")
        return Expression("column", kind, value=node.id)

    def _looked_up(self, node: ast.Subscript, depth: int) -> Expression:
        found = self._read(node.value, depth + 1)
        if found.type != "numbers by name":
            raise self._refusal(node, "only measures, score_groups and risk_parts are asked by name")
        name = node.slice.value if isinstance(node.slice, ast.Constant) else None
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise self._refusal(node, "a name in quotes stands in the brackets, as in measures['greeting']")
        if name.startswith(("like_", "reading_", "second_reader_")):
            raise self._refusal(node, "what readers suspect enters no KPI (docs/reading.md)")
        return Expression("look_up", "number", (found,), name)

    def _compared(self, node: ast.Compare, depth: int) -> Expression:
        """A chain such as `0 < score <= 60` is its comparisons joined by `and`."""
        sides = (node.left, *node.comparators)
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        found = tuple(self._pair(left, op, right, node, depth) for left, op, right in pairs)
        return found[0] if len(found) == 1 else Expression("and", "boolean", found)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, whole: ast.expr, depth: int) -> Expression:
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._refusal(whole, "after is and is not stands None; compare with ==")
            found = self._read(left, depth + 1)
            if found.type not in ("number", "text", "boolean"):
                raise self._refusal(whole, f"{_WORDS[found.type]} is never None")
            return _negated(Expression("is_null", "boolean", (found,)), isinstance(op, ast.IsNot))
        if isinstance(op, ast.In | ast.NotIn):
            return _negated(self._contained(left, right, whole, depth), isinstance(op, ast.NotIn))
        operation = _COMPARISONS[type(op)]
        sides = tuple(self._read(side, depth + 1) for side in (left, right))
        kinds = [side.type for side in sides]
        allowed = ("number", "text", "boolean") if operation in ("equal", "unequal") else ("number",)
        if kinds[0] != kinds[1] or kinds[0] not in allowed:
            raise self._refusal(whole, f"{_WORDS[kinds[0]]} cannot be compared with {_WORDS[kinds[1]]} in this way")
        return Expression(operation, "boolean", sides)

    def _contained(self, left: ast.expr, right: ast.expr, whole: ast.expr, depth: int) -> Expression:
        """`'vip' in customer_tags`, or `queue in ('sales', 'service')`."""
        if not isinstance(right, ast.Tuple | ast.List):
            texts = self._as(right, "texts", depth)
            return Expression("contains", "boolean", (texts, self._text_literal(left, depth)))
        asked = self._read(left, depth + 1)
        values = tuple(self._read(value, depth + 1) for value in right.elts)
        if (
            not values
            or asked.type not in ("number", "text")
            or any(value.type != asked.type or value.operation not in ("literal", "negate") for value in values)
        ):
            raise self._refusal(
                whole, "after in stands a column of texts, or a list of numbers or of texts such as ('a', 'b')"
            )
        one_of = tuple(Expression("equal", "boolean", (asked, value)) for value in values)
        return one_of[0] if len(one_of) == 1 else Expression("or", "boolean", one_of)

    def _called(self, node: ast.Call, depth: int) -> Expression:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS or node.keywords or any(isinstance(each, ast.Starred) for each in node.args):
            raise self._refusal(node, f"functions are {', '.join(_FUNCTIONS)}, with their values in brackets")
        arguments = node.args
        match name, len(arguments):
            case "abs", 1:
                return Expression("abs", "number", self._all(arguments, "number", depth))
            case "between", 3:
                value, low, high = self._all(arguments, "number", depth)
                return Expression(
                    "and",
                    "boolean",
                    (
                        Expression("greater_or_equal", "boolean", (value, low)),
                        Expression("less_or_equal", "boolean", (value, high)),
                    ),
                )
            case "coalesce", count if count > 1:
                return self._alike("coalesce", arguments, node, depth)
            case "count", 2:
                texts = self._as(arguments[1], "texts", depth)
                return Expression("count", "number", (texts, self._text_literal(arguments[0], depth)))
            case "length", 1:
                return Expression("length", "number", self._all(arguments, "texts", depth))
        raise self._refusal(node, _USES[name])

    def _text_literal(self, node: ast.expr, depth: int) -> Expression:
        found = self._as(node, "text", depth)
        if found.operation != "literal":
            raise self._refusal(node, "what is looked for among texts is a text in quotes")
        return found

    def _source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self._text, node) or ""

    def _refusal(self, node: ast.expr, why: str) -> ExpressionError:
        part = self._source(node)
        return ExpressionError(f"{part if len(part) <= 60 else part[:60] + '…'}: {why}")


_USES: Mapping[str, str] = {
    "abs": "write abs(number)",
    "between": "write between(number, lowest, highest)",
    "coalesce": "write coalesce(value, another if that is null, …)",
    "count": "write count('text', texts)",
    "length": "write length(texts)",
}


def _negated(found: Expression, negated: bool) -> Expression:
    return Expression("not", "boolean", (found,)) if negated else found
