"""A schedule follows from its seed, and over many seeds everything that can be broken is."""

from collections import Counter

import pytest

from tests.chaos.__main__ import seeds_of
from tests.chaos.checker import OUTCOMES, REFUSED_BY, WITH_ALERTS
from tests.chaos.schedule import FAULT_KINDS, KINDS, LOAD_S, POISONED, WORKERS, schedule_of, undisturbed
from tests.chaos.source import AS_FAULTS
from tests.chaos.stand import Stand
from tests.chaos.table import WORDS, table

SEEDS = range(1, 201)


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    assert schedule_of(7) == schedule_of(7)
    assert schedule_of(7) != schedule_of(8)


def test_two_hundred_seeds_break_everything_that_can_be_broken() -> None:
    faults = Counter(fault.kind for seed in SEEDS for fault in schedule_of(seed).faults)
    assert set(faults) == set(FAULT_KINDS)
    assert min(faults.values()) >= 10
    killed = {fault.target for seed in SEEDS for fault in schedule_of(seed).faults if fault.kind == "kill"}
    assert killed == set(WORKERS)


def test_what_cannot_happen_on_a_stack_does_not() -> None:
    lacking = {"disk_full", "kill_broker"}
    assert not any(fault.kind in lacking for seed in SEEDS for fault in schedule_of(seed, lacking).faults)


def test_calls_have_ids_of_their_own_and_come_in_the_order_of_time() -> None:
    for seed in SEEDS:
        schedule = schedule_of(seed)
        assert len({call.call_id for call in schedule.calls}) == len(schedule.calls)
        assert [call.at_s for call in schedule.calls] == sorted(call.at_s for call in schedule.calls)
        assert all(0 <= call.at_s <= LOAD_S for call in schedule.calls)
        assert {call.kind for call in schedule.calls} == set(KINDS)


def test_an_undisturbed_run_has_each_kind_once() -> None:
    assert sorted(call.kind for call in undisturbed().calls) == sorted(KINDS)
    assert undisturbed().faults == ()


def test_runner_and_checker_speak_of_the_same_kinds() -> None:
    assert set(KINDS) == set(OUTCOMES)
    assert set(WITH_ALERTS) <= set(KINDS)
    assert set(POISONED) == set(REFUSED_BY)


def test_somebody_does_each_kind_of_fault() -> None:
    assert set(FAULT_KINDS) == AS_FAULTS | Stand.kinds()


@pytest.mark.parametrize(("text", "seeds"), [("7", [7]), ("1-3", [1, 2, 3]), ("3,5,8-10", [3, 5, 8, 9, 10])])
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


def test_the_table_counts_what_was_run() -> None:
    assert set(WORDS) == set(FAULT_KINDS)
    one = {"at": "2026-12-01T09:00:00", "commit": "abc", "broker": "kafka", "register": "SQLite", "calls": 8}
    results = [
        {**one, "faults": {"kill": 2}, "violations": []},
        {**one, "faults": {"poison": 1}, "violations": ["lost: a", "alert lost: b", "not committed: c"]},
    ]
    head, _line, row, *rest = table(results).splitlines()
    assert head.count("|") == row.count("|")
    assert row == "| 2026-12-01 | `abc` | kafka, SQLite | 2 | 1 | 16 | 3 | 1 | 0 | 1 | 1 |"
    assert f"| {WORDS['kill']} | 2 |" in rest
