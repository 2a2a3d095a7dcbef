"""What would change of a call, a row for each case."""

import pytest

from processors.dead_letters.difference import CallChange, JudgementInShort, LettersDifference, change_of_call

NEW = JudgementInShort("analyzed", 200, frozenset({"f1", "f2"}))


def change(stored: JudgementInShort | None, outcome: str | None, known: frozenset[str] = frozenset()) -> CallChange:
    return change_of_call(NEW, {"a1"}, stored, outcome, known)


@pytest.mark.parametrize(
    ("stored", "outcome", "known", "expected"),
    [
        pytest.param(
            None, None, frozenset(), CallChange("pending", "analyzed", 2, 0, frozenset({"a1"})), id="never judged"
        ),
        pytest.param(
            None, "refused", frozenset({"a1"}), CallChange("refused", "analyzed", 2, 0, frozenset()), id="alert known"
        ),
        pytest.param(
            JudgementInShort("analyzed", 100, frozenset({"f2", "f3"})),
            "analyzed",
            frozenset({"a1"}),
            CallChange("analyzed", "analyzed", 1, 1, frozenset()),
            id="judged before, otherwise",
        ),
        pytest.param(
            JudgementInShort("analyzed", 300, frozenset()),
            "analyzed",
            frozenset({"a1"}),
            CallChange("analyzed", "analyzed", 0, 0, frozenset()),
            id="what is stored is newer, and stands",
        ),
    ],
)
def test_of_one_call(
    stored: JudgementInShort | None, outcome: str | None, known: frozenset[str], expected: CallChange
) -> None:
    assert change(stored, outcome, known) == expected


def test_what_stays_as_it_is_is_no_change() -> None:
    same = change(JudgementInShort("analyzed", 200, NEW.findings), "analyzed", frozenset({"a1"}))
    assert not same.is_one
    found = LettersDifference(calls={("acme", "c1"): same, ("acme", "c2"): change(None, "refused")})
    told = found.as_json()
    assert (told["calls"], told["calls_changed"], told["findings_more"], told["alerts"]) == (2, 1, 2, 1)
    assert found.sentence() == "1 call(s) would change: 2 finding(s) more, 0 fewer, 1 alert(s)"
