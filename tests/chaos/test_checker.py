"""The checker finds each thing that may go wrong, in what it has seen, and nothing in what is right."""

import ast
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import checker
from tests.chaos.checker import (
    ANALYZED,
    BACKFILLED,
    DELIVERED,
    ENDED,
    LETTERS,
    RAISED,
    REANNOUNCED,
    TRANSCRIBED,
    Evidence,
    picture_of,
    violations,
)

TENANT = "acme"
ALERT = "00000000-0000-5000-8000-000000000001"
KINDS = {"good": "harmless", "bad": "violating", "noise": "broken", "mended": "repaired"}
PLACE = {"topic": TRANSCRIBED, "partition": 3, "offset": 7}


def of_call(call: str, value: Any = None) -> dict[str, Any]:
    return {"partition": 0, "offset": 0, "key": f"{TENANT}/{call}", "value": value}


def right() -> Evidence:
    """One call of four kinds and one record that nobody can read, as they must end."""
    outcomes = {call: checker.OUTCOMES[kind] for call, kind in KINDS.items()} | {"poison": "refused"}
    alert = {"alert_id": ALERT, "call_id": "bad", "rule_id": "finance.promise", "rule_version": "1", "severity": "high"}
    letter = {"step": "judge", "source_topic": TRANSCRIBED, "source_partition": 3, "source_offset": 7}
    heard = {"outcome": None, "segments": [{"start_ms": 0, "text": "您好"}]}
    return Evidence(
        events=[
            *({"what": "call", "call": call, "kind": kind} for call, kind in KINDS.items()),
            {"what": "poison", "call": "poison", **PLACE},
        ],
        records={
            ENDED: [of_call(call, {}) for call in KINDS],
            BACKFILLED: [],
            REANNOUNCED: [of_call("mended", {})],
            TRANSCRIBED: [of_call(call, {"outcome": "bad_audio"} if call == "noise" else heard) for call in KINDS],
            ANALYZED: [of_call(call, {}) for call in KINDS],
            RAISED: [of_call("bad", alert)],
            DELIVERED: [],
            LETTERS: [{"partition": 0, "offset": 0, "key": "x", "value": letter}],
        },
        rows={
            "outcomes": [{"call_id": call, "outcome": outcome} for call, outcome in outcomes.items()],
            "whole_calls": [{"call_id": call, "score": 80.0, "analyzed_at": "today"} for call in KINDS],
            "findings": [{"call_id": "bad", "rule_id": "finance.promise", "finding_id": "f", "quote": "保本"}],
            "suspicions": [],
            "segments": [{"call_id": call, "text": "您好"} for call in ("good", "bad", "mended")],
            "alerts": [{"call_id": "bad", "alert_id": ALERT, "rule_id": "finance.promise"}],
            "alert_deliveries": [{"alert_id": ALERT, "outcome": "delivered"}],
            "dead_letters": [letter],
        },
        requests=[{"alert": ALERT, "call": "bad", "rule": "finance.promise", "status": 200}],
        objects=[
            *(f"b/recordings/{TENANT}/2026/{call}.0.wav" for call in KINDS),
            *(f"b/transcripts/{TENANT}/2026/{call}.json" for call in KINDS),
        ],
    )


TRUTH = {kind: picture_of(right(), call) for call, kind in KINDS.items()}


def test_what_is_right_is_right() -> None:
    assert violations(right(), TRUTH) == []
    assert violations(right(), None) == []


def test_what_differs_between_any_two_runs_does_not_matter() -> None:
    evidence = right()
    for row in evidence.rows["whole_calls"]:
        row["analyzed_at"] = "tomorrow"
    evidence.rows["findings"][0]["finding_id"] = "another"
    assert violations(evidence, TRUTH) == []


def test_what_came_twice_under_the_same_id_is_once() -> None:
    evidence = right()
    evidence.events.append({"what": "fault", "fault": "kill notify"})
    for topic in (ENDED, TRANSCRIBED, ANALYZED, RAISED, LETTERS):
        evidence.records[topic] += deepcopy(evidence.records[topic])
    evidence.requests *= 2
    evidence.rows["alert_deliveries"] *= 2
    assert violations(evidence, TRUTH) == []


def without(rows: list[dict[str, Any]], **fields: object) -> None:
    rows[:] = [row for row in rows if any(row.get(name) != value for name, value in fields.items())]


def another_id(evidence: Evidence) -> None:
    again = deepcopy(evidence.records[RAISED][0])
    again["value"]["alert_id"] = "another"
    evidence.records[RAISED].append(again)


def another_delivery(evidence: Evidence) -> None:
    evidence.requests.append({**evidence.requests[0], "alert": "another"})


def changed(view: str, column: str, value: object) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        evidence.rows[view][0][column] = value

    return change


WRONG: dict[str, tuple[Callable[[Evidence], object], str]] = {
    "an outcome is missing": (lambda e: without(e.rows["outcomes"], call_id="good"), "lost: good"),
    "of bad audio, too": (lambda e: without(e.rows["outcomes"], call_id="noise"), "lost: noise"),
    "a call is pending": (changed("outcomes", "outcome", "pending"), "lost: good"),
    "another outcome": (changed("outcomes", "outcome", "bad_audio"), "changed: good"),
    "two outcomes": (lambda e: e.rows["outcomes"].append(e.rows["outcomes"][0]), "doubled: good"),
    "a call of nobody": (lambda e: e.rows["outcomes"].append({"call_id": "x", "outcome": "analyzed"}), "invented"),
    "an event is gone": (lambda e: e.records[ENDED].pop(0), f"lost: good is not in {ENDED}"),
    "a transcript is gone": (lambda e: e.records[TRANSCRIBED].pop(0), f"lost: good is not in {TRANSCRIBED}"),
    "an analysis is gone": (lambda e: e.records[ANALYZED].pop(0), f"lost: good is not in {ANALYZED}"),
    "heard in two ways": (
        lambda e: e.records[TRANSCRIBED].append(of_call("good", {"outcome": None, "segments": []})),
        "heard in 2 ways",
    ),
    "a recording is gone": (lambda e: e.objects.pop(0), "the recording of good"),
    "a kept transcript is gone": (lambda e: e.objects.pop(4), "the transcript of good"),
    "no alert": (lambda e: e.records[RAISED].clear(), "alert lost: bad raised none"),
    "an alert of a harmless call": (
        lambda e: e.records[RAISED].append(of_call("good", {**e.records[RAISED][0]["value"], "call_id": "good"})),
        "invented: good",
    ),
    "an alert under two ids": (another_id, "doubled: bad raised"),
    "an alert that is not stored": (lambda e: e.rows["alerts"].clear(), "is not in ClickHouse"),
    "an alert that is stored twice": (lambda e: e.rows["alerts"].append(e.rows["alerts"][0]), "2 times"),
    "an alert that was not delivered": (lambda e: e.requests.clear(), "never reached"),
    "one that was refused": (lambda e: e.requests[0].update(status=503), "never reached"),
    "one that was delivered twice for nothing": (lambda e: e.requests.extend(e.requests), "though nothing was wrong"),
    "one that was delivered under two ids": (another_delivery, "under 2 ids"),
    "a delivery that is not recorded": (lambda e: e.rows["alert_deliveries"].clear(), "was delivered is not"),
    "a dead letter is missing": (lambda e: e.rows["dead_letters"].clear(), "ClickHouse has no dead letter"),
    "one is missing in Kafka": (lambda e: e.records[LETTERS].clear(), f"{LETTERS} has no dead letter"),
    "a dead letter of nothing": (changed("dead_letters", "source_offset", 8), "invented: ClickHouse has a dead letter"),
    "a dead letter twice": (lambda e: e.rows["dead_letters"].append(e.rows["dead_letters"][0]), "2 dead letters"),
    "another score": (
        changed("whole_calls", "score", 70.0),
        "changed: whole_calls of good (harmless): differs in score",
    ),
    "a finding less": (lambda e: e.rows["findings"].clear(), "changed: findings of bad"),
    "a row twice": (lambda e: e.rows["segments"].append(e.rows["segments"][0]), "changed: segments of good"),
    "offsets behind": (lambda e: e.lag.update({"callstream.judge": 2}), "not committed: callstream.judge"),
}


@pytest.mark.parametrize(("spoil", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_found(spoil: Callable[[Evidence], object], says: str) -> None:
    evidence = right()
    spoil(evidence)
    found = violations(evidence, TRUTH)
    assert any(says in sentence for sentence in found), found


def test_nothing_that_was_said_stands_in_what_it_says() -> None:
    evidence = right()
    evidence.rows["findings"][0]["quote"] = "绝对不会亏损"
    (sentence,) = violations(evidence, TRUTH)
    assert sentence.endswith("differs in quote")


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(checker.__file__).read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Name):
            assert node.id not in ("__import__", "eval", "exec")
    assert names - sys.stdlib_module_names == {"confluent_kafka"}
    assert "importlib" not in names


def test_a_run_in_which_clickhouse_told_nothing_of_other_calls_becomes_no_truth() -> None:
    evidence = right()
    assert list(checker.unfit(evidence)) == []
    evidence.rows["whole_calls"][1]["skipped_reasons"] = ["no_emotion", "baseline_unknown"]
    (sentence,) = checker.unfit(evidence)
    assert sentence.startswith(checker.UNFIT)
    assert "bad" in sentence
