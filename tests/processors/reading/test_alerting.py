"""From which probability on a suspicion may alert: what verdicts must have shown, and what they do not show."""

from dataclasses import replace
from pathlib import Path

import pytest

from processors.kpi.statistics import wilson
from processors.reading.adapting import LabelledCall
from processors.reading.alerting import LEAST_PRECISION, alert_threshold
from processors.reading.call_reader import VIOLATION, CallReader
from processors.reading.features import Said
from processors.reading.labels import LabelledDataError
from processors.reading.learned import learn, not_learned_from, save_learned
from processors.text.normalized_text import normalize
from training.dialogues import load_dialogues

SHIPPED = CallReader.load()
PAIRS = Path(__file__).parents[3] / "training" / "pairs"


def read_calls() -> list[tuple[LabelledCall, list[float]]]:
    """Calls without labels, and the probability of a violation for each utterance of the agent."""
    found = []
    for number, dialogue in enumerate(load_dialogues(PAIRS)):
        said = tuple(Said(turn.role, normalize(turn.text).letters) for turn in dialogue.turns)
        read = [one.probabilities[VIOLATION] for one in SHIPPED.read(said).utterances if one and one.role == "agent"]
        found.append((LabelledCall(dialogue.id, f"a{number}", float(number), said, None, (None,) * len(read)), read))
    return found


READ = read_calls()
SUSPECT_FROM = SHIPPED.agent.threshold(VIOLATION)
SUSPECTED = sorted(one for _, read in READ for one in read if one >= SUSPECT_FROM)


def judged(right_from: float, most: int | None = None) -> list[LabelledCall]:
    """An inspector says right of suspicions from that probability on, and wrong of the others; of `most` at most."""
    calls, left = [], len(SUSPECTED) if most is None else most
    for call, read in READ:
        labels: list[bool | None] = []
        for one in read:
            is_judged = one >= SUSPECT_FROM and left > 0
            left -= is_judged
            labels.append(one >= right_from if is_judged else None)
        calls.append(replace(call, violations=tuple(labels)))
    return calls


def test_there_are_enough_suspicions_to_tell_by() -> None:
    assert len(SUSPECTED) > 150


def test_the_threshold_is_the_lowest_at_which_nine_of_ten_are_surely_right() -> None:
    right_from = SUSPECTED[len(SUSPECTED) // 2]
    found = alert_threshold(SHIPPED, judged(right_from))
    sure = []
    for limit in SUSPECTED:
        these = [one for one in SUSPECTED if one >= limit]
        right = sum(one >= right_from for one in these)
        if wilson(right, len(these))[0] >= LEAST_PRECISION:
            sure.append((limit, len(these), right / len(these)))
    assert (found.alert_from, found.verdicts, found.precision.value) == sure[0]
    assert SUSPECT_FROM < found.alert_from < right_from
    assert found.precision.low >= LEAST_PRECISION


def test_where_all_are_right_every_suspicion_may_alert_and_no_more_than_suspicions() -> None:
    assert alert_threshold(SHIPPED, judged(0)).alert_from == SUSPECTED[0]


@pytest.mark.parametrize("most", [0, 34])
def test_few_verdicts_allow_nothing_also_if_all_say_right(most: int) -> None:
    with pytest.raises(LabelledDataError, match=rf"{most} of {most} suspicions .* it takes 35 verdicts at least"):
        alert_threshold(SHIPPED, judged(0, most))
    assert alert_threshold(SHIPPED, judged(0, 35)).verdicts == 35


def test_where_a_third_is_wrong_at_every_probability_nothing_may_alert() -> None:
    calls = [
        replace(call, violations=tuple(None if one is None else number % 3 > 0 for one in call.violations))
        for number, call in enumerate(judged(0))
    ]
    with pytest.raises(LabelledDataError, match="no alerts"):
        alert_threshold(SHIPPED, calls)


def test_calls_that_the_heads_have_learned_from_show_nothing(tmp_path: Path) -> None:
    calls = [replace(call, worth_hearing=number % 2 == 0) for number, call in enumerate(judged(0))]
    adapted, record = learn(SHIPPED, calls, "house", "time", 0.5)
    save_learned(tmp_path / "heads", adapted.reader, record)
    left = not_learned_from(calls, tmp_path / "heads")
    assert {call.call_id for call in left} == set(record.frozen)
    assert not_learned_from(calls, tmp_path) == tuple(calls)
