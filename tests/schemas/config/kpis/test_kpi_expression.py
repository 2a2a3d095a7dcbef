"""What an expression of a KPI may be, and what is refused before it comes near a database."""

from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from processors.kpi.expression_sql import expression_sql
from schemas.config.kpis.kpi_expression import COLUMNS, MAX_WEIGHT, ExpressionError, ExpressionType, parse_expression


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        pytest.param("score > 60", "greater(toFloat64(score), 60.0)", id="a comparison"),
        pytest.param(
            "measures['longest_silence_ms'] >= 1e3",
            "greaterOrEquals(measures['longest_silence_ms'], 1000.0)",
            id="a measure",
        ),
        pytest.param(
            "0 < score <= 60",
            "and(less(0.0, toFloat64(score)), lessOrEquals(toFloat64(score), 60.0))",
            id="a chain is its comparisons",
        ),
        pytest.param(
            "between(score, 1, 2)",
            "and(greaterOrEquals(toFloat64(score), 1.0), lessOrEquals(toFloat64(score), 2.0))",
            id="between holds both ends",
        ),
        pytest.param("not resolved_answer", "not(toUInt8(resolved_answer))", id="true or false"),
        pytest.param("rating is not None", "not(isNull(toFloat64(rating)))", id="whether it is known"),
        pytest.param("'vip' in customer_tags", "has(customer_tags, 'vip')", id="among texts"),
        pytest.param(
            "score in (1, -2)",
            "or(equals(toFloat64(score), 1.0), equals(toFloat64(score), negate(2.0)))",
            id="one of a list",
        ),
        pytest.param(
            "score / duration_ms > 1",
            "greater(divide(toFloat64(score), nullIf(toFloat64(duration_ms), 0.0)), 1.0)",
            id="what is divided by 0 is null",
        ),
        pytest.param(
            "count('rude', finding_categories) > length(topic_ids)",
            "greater(toFloat64(countEqual(finding_categories, 'rude')), toFloat64(length(topic_ids)))",
            id="how many",
        ),
        pytest.param("queue == 'a\\'b\\\\c'", None, id="quotes and backslashes"),
        pytest.param("queue == '; DROP TABLE calls --'", None, id="SQL in a text stays a text"),
        pytest.param("queue == '{tenant:String} $calls %s 售后'", None, id="placeholders stay a text"),
    ],
)
def test_an_expression_becomes_calls_of_functions(text: str, sql: str | None) -> None:
    found = expression_sql(parse_expression(text, "boolean"))
    if sql is not None:
        assert found == sql
    else:
        # The only quotes that are not behind a backslash are those around the literal.
        literal = found.removeprefix("equals(CAST(queue, 'Nullable(String)'), ").removesuffix(")")
        inside = literal[1:-1].replace("\\\\", "").replace("\\'", "")
        assert (literal[0], literal[-1]) == ("'", "'")
        assert "'" not in inside
        assert not inside.endswith("\\")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "is empty", id="nothing"),
        pytest.param("score", "gives a number, where true or false is needed; compare it", id="not a condition"),
        pytest.param("scroe > 1", "scroe: there is no such column", id="a misspelt column"),
        pytest.param("ｓcore > 1", "ｓcore: there is no such column", id="a letter that looks like another"),
        pytest.param("queue == sales", "texts need quotes", id="a text without quotes"),
        pytest.param("queue > 'a'", "a text cannot be compared with a text in this way", id="an order of texts"),
        pytest.param("score == 'a'", "a number cannot be compared with a text", id="a number and a text"),
        pytest.param("score + queue > 1", "gives a text, where a number is needed", id="a sum with a text"),
        pytest.param("score and True", "gives a number, where true or false is needed", id="a number as condition"),
        pytest.param("queue is 'a'", "compare with ==", id="is with a text"),
        pytest.param("queue == None", "None stands only after is", id="equal to null"),
        pytest.param("topic_ids is None", "a list of texts is never None", id="a list is never null"),
        pytest.param("score.real > 1", "a dot after a name", id="an attribute"),
        pytest.param("().__class__.__bases__", "a dot after a name", id="the way into Python"),
        pytest.param("__import__('os')", "functions are abs, between", id="an import"),
        pytest.param("sleep(3) > 1", "functions are abs, between", id="a function of the database"),
        pytest.param("measures['x'](1) > 1", "functions are", id="a call of a value"),
        pytest.param("abs(number=1) > 1", "functions are", id="an argument by name"),
        pytest.param("abs(*topic_ids) > 1", "functions are", id="spread arguments"),
        pytest.param("abs(1, 2) > 1", r"write abs\(number\)", id="too many arguments"),
        pytest.param("coalesce(score, 'a') > 1", "all its values must be", id="values of several types"),
        pytest.param("lambda: True", "defines no functions", id="a lambda"),
        pytest.param("[x for x in topic_ids] == 1", "not part of an expression", id="a comprehension"),
        pytest.param("f'{queue}' == 'a'", "without f", id="a text with holes"),
        pytest.param("(score := 1) > 0", "sets no names", id="a walrus"),
        pytest.param("b'a' == queue", "values are numbers, texts", id="bytes"),
        pytest.param("1j == 1", "values are numbers, texts", id="an imaginary number"),
        pytest.param("... is None", "values are numbers, texts", id="an ellipsis"),
        pytest.param("score ** 99 > 1", r"are \+ - \* /", id="a power"),
        pytest.param("score // 2 > 1", r"are \+ - \* /", id="a whole division"),
        pytest.param("~score > 1", "are - and not", id="bits"),
        pytest.param("score > 1 # always", "holds a comment", id="a comment would swallow the next line"),
        pytest.param("score > 1; DROP TABLE calls", "is not an expression", id="a second statement"),
        pytest.param("SELECT 1", "is not an expression", id="SQL"),
        pytest.param("score > 1 -- x", "there is no such column", id="a comment of SQL"),
        pytest.param("score IS NULL", "is not an expression", id="a condition of SQL"),
        pytest.param("measures[queue] > 1", "a name in quotes", id="a measure that depends on the call"),
        pytest.param("measures['a\\']'] > 1", "a name in quotes", id="a measure with a quote in its name"),
        pytest.param("measures['reading_select'] > 0.5", "enters no KPI", id="a suspicion"),
        pytest.param("measures['second_reader_findings'] > 0", "enters no KPI", id="what a second reader suspects"),
        pytest.param("topic_ids['a'] > 1", "only measures, score_groups", id="brackets after a list"),
        pytest.param("queue in customer_tags", "is a text in quotes", id="a column among texts"),
        pytest.param("queue in ()", "after in stands", id="an empty list"),
        pytest.param("queue in (agent_id,)", "after in stands", id="a column in a list"),
        pytest.param("score > 1e999", "larger than", id="infinity"),
        pytest.param("score > " + "9" * 1_900, "larger than", id="a number of 1,900 digits"),
        pytest.param("score > 10000000000000000", "larger than", id="more than 1e15"),
        pytest.param("(" * 500 + "True" + ")" * 500, "is not an expression", id="500 brackets"),
        pytest.param("-" * 1_900 + "1 > 0", "nested more than", id="1,900 signs"),
        pytest.param("not " * 400 + "True", "nested more than", id="400 negations"),
        pytest.param("True or " * 240 + "True" + " or True" * 10, "is longer than", id="2,000 characters"),
        pytest.param("queue == '\\x00'", "can be seen", id="a zero byte"),
        pytest.param("queue == '\\ud800'", "can be seen", id="half of a letter"),
        pytest.param("queue == 'a\\nb'", "can be seen", id="a line break in a text"),
        pytest.param("queue == '\\d'", "is not an expression", id="a backslash that means nothing"),
        pytest.param("score > \x001", "is not an expression", id="a zero byte between"),
        pytest.param("queue == '" + "a" * 129 + "'", "up to 128", id="a long text"),
    ],
)
def test_everything_else_is_refused_and_said_what_it_is(text: str, problem: str) -> None:
    with pytest.raises(ExpressionError, match=problem):
        parse_expression(text, "boolean")


def test_lines_of_a_folded_text_are_one_expression() -> None:
    assert parse_expression("score > 1\n  and\nrating > 2\n", "boolean") == parse_expression(
        "score > 1 and rating > 2", "boolean"
    )


def test_a_short_text_cannot_become_much_sql() -> None:
    """Each list repeats what is looked for in it: without a limit, six of them inside each other are a million."""
    text = "score"
    for _ in range(5):
        text = f"(1 if {text} in (0,1,2,3,4,5,6,7,8,9) else 0)"
    with pytest.raises(ExpressionError, match="too long"):
        parse_expression(f"{text} > 0", "boolean")
    assert len(expression_sql(parse_expression("score in (0,1,2,3,4,5,6,7,8,9)", "boolean"))) < 100 * MAX_WEIGHT


_PIECES = st.sampled_from(
    [
        *COLUMNS,
        *"()[]{}+-*/%<>=!,.:;'\"\\#@~ \n\t\r\f\x00",
        *("and", "or", "not", "in", "is", "None", "if", "else", "lambda", "for", "True", ":=", "**"),
        *("1", "1e308", "0x", "'a'", "f'", "b''", "售后", "\ufb01", "\u0301", "\ud800"),
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=20).map(" ".join), st.lists(_PIECES).map("".join)))
@example("score\r>1")
@example("\\\nscore>1")
@example("(score >\\\n1)")
def test_no_text_does_anything_but_become_a_tree_or_a_reason(text: str) -> None:
    for wanted in get_args(ExpressionType):
        with suppress(ExpressionError):
            assert expression_sql(parse_expression(text, wanted))
