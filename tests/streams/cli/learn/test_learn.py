"""A tenant's story: two hundred reviews in, heads that read its next two hundred calls better, and none that are
worse.

The tenant is made of the paired calls of `training/pairs`, which no head was trained on. Its house has a convention
that the shipped heads do not know: it wants to hear what concerns data, dealings beside the firm, and false promises.
"""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processors.reading.call_reader import VIOLATION, CallReader
from processors.reading.features import Said
from processors.reading.learned import RECORD, load_learned, save_learned
from processors.text.normalized_text import normalize
from schemas.config.tenants import read_tenants
from streams.cli.console.exit_codes import EXIT_PROBLEM
from tests.streams.cli.terminal import Terminal
from training.dialogues import Dialogue, load_dialogues

REVIEWS = 200
WANTED = frozenset(("privacy", "private_dealing", "false_promise"))
PAIRS = Path(__file__).parents[4] / "training" / "pairs"


def as_json(dialogue: Dialogue) -> dict[str, object]:
    return {
        "id": dialogue.id,
        "agent_id": dialogue.twin_of or dialogue.id,  # the two of a pair stay together
        "turns": [{"role": turn.role, "text": turn.text} for turn in dialogue.turns],
        "labels": {
            "select": any(mark.kind in WANTED for turn in dialogue.turns for mark in turn.violations),
            "violations": [{"turn": place} for place, turn in enumerate(dialogue.turns) if turn.violations],
        },
    }


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first four hundred calls of the tenant."""
    pairs: dict[str, list[Dialogue]] = {}
    for dialogue in load_dialogues(PAIRS):
        pairs.setdefault(dialogue.twin_of or dialogue.id, []).append(dialogue)
    order = sorted(pairs)
    random.Random(1).shuffle(order)
    calls = [as_json(dialogue) for pair in order for dialogue in pairs[pair]]
    folder = tmp_path_factory.mktemp("house")
    (folder / "calls.json").write_text(json.dumps(calls[: 2 * REVIEWS], ensure_ascii=False))
    return folder


def test_two_hundred_reviews_make_heads_that_read_the_next_calls_better(terminal: Terminal, house: Path) -> None:
    trained = terminal.run("learn", "train", "--data", house, "--out", "model", "--frozen", "0.5")
    assert trained.code == 0, trained.err
    record = load_learned(terminal.folder / "model")
    assert record is not None
    assert (len(record.trained_on), len(record.frozen)) == (REVIEWS, REVIEWS)
    assert set(record.trained_on).isdisjoint(record.frozen)

    published = terminal.run("learn", "publish", "model", "--to", "weights", "--data", house)
    assert published.code == 0, published.err
    assert "CALLSTREAM_READING_WEIGHTS" in published.out
    assert "callstream replay" in published.out
    card = (terminal.folder / "weights" / "MODEL_CARD.md").read_text(encoding="utf-8")
    before, after = (next(line for line in card.splitlines() if f"| {name} |" in line) for name in ("before", "after"))
    f1, average_precision = (
        [float(line.split("|")[column].split("[")[0]) for line in (before, after)] for column in (7, 8)
    )
    assert f1[1] > f1[0]
    assert average_precision[1] > average_precision[0] + 0.1
    reader = CallReader.load(terminal.folder / "weights")
    assert reader.version == record.model != CallReader.load().version

    said = {turn["text"] for call in json.loads((house / "calls.json").read_text()) for turn in call["turns"]}
    told = card + (terminal.folder / "weights" / RECORD).read_text() + published.out + trained.out
    assert [text for text in said if len(text) > 3 and text in told] == []

    # What it printed goes into the tenants file as it is.
    entry = "\n".join(line for line in published.out.splitlines() if line.startswith(("  - id:", "    reading:")))
    tenants = terminal.folder / "tenants.yaml"
    tenants.write_text("version: 1\ntenants:\n" + entry.replace("TENANT", "house"))
    reading = read_tenants(tenants).reading("house")
    assert reading is not None
    assert reading.weights == terminal.folder / "weights"

    # The same heads with the one on calls turned round are worse than what is in force now.
    terminal.set(reading_weights=terminal.folder / "weights")
    weights = -reader.call.weights.copy()
    save_learned(terminal.folder / "worse", replace(reader, call=replace(reader.call, weights=weights)), record)
    refused = terminal.run("learn", "publish", "worse", "--to", "next", "--data", house)
    assert refused.code == EXIT_PROBLEM
    assert "select: F1" in refused.err
    assert "worse than what is in force" in refused.err
    assert not (terminal.folder / "next").exists()

    assert "difference" in terminal.run("learn", "compare", "weights", "worse", "--data", house).out
    assert "shipped" in terminal.run("learn", "evaluate", "weights", "--data", house).out


def test_calibration_needs_no_labels_and_prints_an_entry_that_can_be_used(terminal: Terminal, house: Path) -> None:
    calls = json.loads((house / "calls.json").read_text())
    (terminal.folder / "unlabelled").mkdir()
    (terminal.folder / "unlabelled" / "calls.json").write_text(
        json.dumps([{"id": call["id"], "turns": call["turns"]} for call in calls[:150]])
    )
    done = terminal.run("learn", "calibrate", "--data", "unlabelled", "--expected-rate", "0.1")
    assert done.code == 0, done.err
    assert "# 150 calls: share with a suspicion 0.10 [" in done.out
    (terminal.folder / "tenants.yaml").write_text("version: 1\ntenants:\n" + done.out.replace("TENANT", "house"))
    reading = read_tenants(terminal.folder / "tenants.yaml").reading("house")
    assert reading is not None
    assert reading.suspect_from is not None
    assert 0 < reading.suspect_from < 1
    assert reading.model == CallReader.load().version


def test_alerts_are_allowed_by_verdicts_alone_and_the_entry_can_be_used(terminal: Terminal, house: Path) -> None:
    """An inspector who says right of every suspicion; and one who says right of every second."""
    calls = json.loads((house / "calls.json").read_text())
    reader = CallReader.load()
    for folder, rights in (("all", (True, True)), ("half", (True, False))):
        for number, call in enumerate(calls):
            suspected = suspected_turns(reader, call)
            call["labels"] = {
                "select": True,
                "violations": [{"turn": turn} for turn in suspected if rights[number % 2]],
            }
        (terminal.folder / folder).mkdir()
        (terminal.folder / folder / "calls.json").write_text(json.dumps(calls))
    allowed = terminal.run("learn", "alerts", "--data", "all")
    assert allowed.code == 0, allowed.err
    assert "suspicions with a verdict from there on, of which are right: 1.00 [" in allowed.out
    (terminal.folder / "tenants.yaml").write_text("version: 1\ntenants:\n" + allowed.out.replace("TENANT", "house"))
    reading = read_tenants(terminal.folder / "tenants.yaml").reading("house")
    assert reading is not None
    assert reading.suspect_from is None
    assert reading.alert_from is not None
    assert reading.model == reader.version
    refused = terminal.run("learn", "alerts", "--data", "half")
    assert refused.code == EXIT_PROBLEM
    assert refused.out == ""
    assert "no alerts: " in refused.err
    assert "is the lower limit of that share 0.9 or more" in " ".join(refused.err.split())


def suspected_turns(reader: CallReader, call: dict[str, Any]) -> list[int]:
    said = [Said(turn["role"], normalize(turn["text"]).letters) for turn in call["turns"]]
    least = reader.agent.threshold(VIOLATION)
    return [
        place
        for place, one in enumerate(reader.read(said).utterances)
        if one is not None and one.role == "agent" and one.probabilities[VIOLATION] >= least
    ]


def test_what_is_too_little_to_learn_from_is_said(terminal: Terminal) -> None:
    calls = [as_json(dialogue) for dialogue in load_dialogues(PAIRS)[:20]]
    (terminal.folder / "few").mkdir()
    (terminal.folder / "few" / "calls.json").write_text(json.dumps(calls))
    refused = terminal.run("learn", "train", "--data", terminal.folder / "few", "--out", "model")
    assert refused.code == EXIT_PROBLEM
    assert "20 labelled call(s) are too few to learn from" in refused.err
    refused = terminal.run("learn", "calibrate", "--data", "few", "--expected-rate", "0.1")
    assert refused.code == EXIT_PROBLEM
    assert "20 call(s) are too few to calibrate by" in refused.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["train", "--out", "model"], "name either a tenant or a folder", id="no calls"),
        pytest.param(["train", "--out", ".", "--data", "."], "holds something already", id="a folder in use"),
        pytest.param(["evaluate", "empty", "--data", "."], "was not written by `callstream learn", id="no model"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], sentence: str, terminal: Terminal) -> None:
    (terminal.folder / "a file").touch()
    refused = terminal.run("learn", *arguments)
    assert refused.code != 0
    assert sentence in " ".join(refused.err.split())
