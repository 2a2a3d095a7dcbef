"""SQL of an expression that somebody wrote: every value of it as a literal, every operation as a function call."""

from collections.abc import Mapping

from processors.kpi.sql import quote_string
from schemas.config.kpis.kpi_expression import COLUMNS, MAX_NUMBER, Expression, OperationName

_FUNCTIONS: Mapping[OperationName, str] = {
    "and": "and",
    "or": "or",
    "not": "not",
    "negate": "negate",
    "add": "plus",
    "subtract": "minus",
    "multiply": "multiply",
    "equal": "equals",
    "unequal": "notEquals",
    "less": "less",
    "less_or_equal": "lessOrEquals",
    "greater": "greater",
    "greater_or_equal": "greaterOrEquals",
    "is_null": "isNull",
    "contains": "has",
    "count": "countEqual",
    "length": "length",
    "abs": "abs",
    "coalesce": "coalesce",
}
_CASTS = {
    "number": "toFloat64({})",  # whole numbers without sign would wrap around below 0
    "text": "CAST({}, 'Nullable(String)')",
    "boolean": "toUInt8({})",
}


def expression_sql(expression: Expression) -> str:
    """The expression over a row of `kpi_calls`: Float64, String or UInt8, each of which may be null."""
    arguments = [expression_sql(argument) for argument in expression.arguments]
    match expression.operation:
        case "literal":
            return _literal(expression.value)
        case "column":
            name = str(expression.value)
            return _CASTS.get(COLUMNS[name], "{}").format(name)
        case "look_up":
            return f"{arguments[0]}[{_literal(expression.value)}]"
        case "divide":
            return f"divide({arguments[0]}, nullIf({arguments[1]}, 0.0))"
        case "if":
            condition, then, otherwise = arguments
            return f"if(ifNull({condition}, 0), {then}, {otherwise})"
        case "count" | "length":
            return f"toFloat64({_FUNCTIONS[expression.operation]}({', '.join(arguments)}))"
        case operation:
            return f"{_FUNCTIONS[operation]}({', '.join(arguments)})"


def bounded_sql(expression: Expression) -> str:
    """The same of a number, null where it is infinite, no number or larger than `MAX_NUMBER`: one such call would spoil
    the sums of its whole day."""
    sql = expression_sql(expression)
    return f"if(lessOrEquals(abs({sql}), {MAX_NUMBER!r}), {sql}, NULL)"


def _literal(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return repr(value) if isinstance(value, float) else quote_string(str(value))
