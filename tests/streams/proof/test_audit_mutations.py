"""Changed audit logs: all are found by the anchor that was kept elsewhere, and what no anchor covers is not."""

import random
from dataclasses import replace

import pytest

from processors.custody.audit_log import NamedNote, VerifierKey, verify_log
from streams.proof.audit_mutations import ENTRIES, MUTATIONS, sample_log, try_audit_mutations


@pytest.mark.parametrize(
    "count", [pytest.param(1_000, id="some"), pytest.param(10_000, marks=pytest.mark.long, id="all")]
)
def test_every_changed_log_is_found(count: int) -> None:
    report = try_audit_mutations(count, random.Random(20260501))
    assert report.tried == count
    assert report.unnoticed == []


def test_what_is_signed_anew_and_a_cut_tail_are_found_by_the_anchor_alone() -> None:
    chance = random.Random(7)
    log = sample_log(chance)
    for kind in MUTATIONS:
        if not kind.endswith(("signed anew", "and signed")) and kind != "cut":
            continue
        lines, notes = MUTATIONS[kind](log, chance)
        assert verify_log(lines, notes, (log.verifier,)).holds, kind
        assert not verify_log(lines, (*notes, log.anchor), (log.verifier,)).holds, kind


def test_what_was_written_behind_the_anchor_can_be_cut_and_nobody_finds_it() -> None:
    log = sample_log(random.Random(8))
    early = NamedNote("anchor", log.notes[1].note)
    found = verify_log(log.lines[:19], (*log.notes[:2], early), (log.verifier,))
    assert found.holds
    assert found.covered == 19
    assert [
        problem.kind for problem in verify_log(log.lines[:18], (log.notes[0], early), (log.verifier,)).problems
    ] == ["cut"]


def test_each_change_is_called_what_it_is() -> None:
    chance = random.Random(9)
    log = sample_log(chance)
    kinds = {
        "edited": "edited",
        "deleted": "deleted",
        "deleted, its leaf left": "deleted",
        "beginning deleted as if pruned": "deleted",
        "cut": "cut",
        "inserted, and signed anew": "changed",
        "checkpoint of another key": "signature",
        "checkpoint of another root": "changed",
        "personal value changed": "personal",
    }
    for mutation, kind in kinds.items():
        lines, notes = MUTATIONS[mutation](log, chance)
        found = verify_log(lines, (*notes, log.anchor), (log.verifier,))
        assert kind in {problem.kind for problem in found.problems}, mutation


def test_two_checkpoints_of_one_size_are_a_fork() -> None:
    chance = random.Random(10)
    log = sample_log(chance)
    other = replace(sample_log(chance).notes[-1], name="from elsewhere")
    keys = (log.verifier, VerifierKey("callstream/proof", sample_log(random.Random(10)).verifier.public))
    assert verify_log(log.lines, (*log.notes, log.anchor), keys).covered == ENTRIES
    forked = MUTATIONS["forked, and signed"](log, random.Random(1))[1]
    of_that_size = [note for note in forked if "checkpoint 32" in note.name]
    found = verify_log(log.lines, (*log.notes, *of_that_size), keys)
    assert "forked" in {problem.kind for problem in found.problems}
    assert verify_log(log.lines, (*log.notes, other), keys).problems[0].kind == "signature"
