"""`callstream rate`: statements about calls, read whole before any of them is published."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.main import app
from streams.cli.rate import RatingsError, statements_of

LINE = {
    "tenant_id": "acme",
    "call_id": "c1",
    "rated_at": "2026-03-05T09:12:00+08:00",
    "source": "sms_survey",
    "csat": {"score": 4},
}


def test_statements_are_read_from_json_lines_with_empty_ones_left_out() -> None:
    (first, second) = statements_of([json.dumps(LINE), "\n", json.dumps(LINE | {"resolved": True})])
    assert (first.csat is not None and first.csat.score, first.resolved, second.resolved) == (4, None, True)
    assert first.rated_at.isoformat() == "2026-03-05T01:12:00+00:00"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"csat": {"score": 9}}, "score_off_scale", id="an answer off its scale"),
        pytest.param({"csat": None}, "says_nothing", id="nothing is said"),
        pytest.param({"rated_at": "2026-03-05T09:12:00"}, "rated_at: timezone_aware", id="a time without its zone"),
        pytest.param({"comment": "王先生说很满意"}, "<unknown field>: extra_forbidden", id="an unknown field"),
        pytest.param({"call_id": "138 0013 8000"}, "call_id: string_pattern_mismatch", id="no id"),
    ],
)
def test_a_statement_that_is_wrong_is_named_by_its_line_without_its_words(
    change: dict[str, object], problem: str
) -> None:
    with pytest.raises(RatingsError, match="statement 2: ") as refused:
        list(statements_of([json.dumps(LINE), json.dumps(LINE | change)]))
    assert problem in str(refused.value)
    assert "王先生" not in str(refused.value)
    assert "138" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param([], "name either a call or a --file", id="neither a call nor a file"),
        pytest.param(["c1", "--file", "x"], "name either a call or a --file", id="both"),
        pytest.param(["c1", "--score", "3"], "name the tenant of the call", id="no tenant"),
        pytest.param(["c1", "--tenant", "acme", "--score", "3", "--scale", "5"], "as in 1,5", id="half a scale"),
    ],
)
def test_a_command_line_that_is_wrong_says_how_to_write_it(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(app, ["rate", *arguments])
    assert done.exit_code == 2
    assert sentence in done.output


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["rate", "--file", str(tmp_path / "none.jsonl")])
    assert isinstance(done.exception, RatingsError)
    assert "cannot be read" in str(done.exception)
