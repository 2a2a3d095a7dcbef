"""Schedules of faults on a whole stack: some for every change, and at night the bugs that the checker must find.

`make chaos` and `make nightly` run many more (docs/reliability.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.chaos.__main__ import Chaos, running_chaos
from tests.chaos.planted import BUGS
from tests.chaos.schedule import Fault, schedule_of
from tests.contracts.s3_server import ServerUnavailableError

SEEDS_OF_EVERY_CHANGE = range(1, 6)
AT_REST_WITHIN_S = 60.0
FIRST_SEED = 9_001


@pytest.fixture(scope="module")
def chaos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chaos]:
    """A stack on tansu that has run undisturbed; the schedules on it share it."""
    try:
        with running_chaos("tansu", tmp_path_factory.mktemp("chaos"), postgresql=False) as running:
            yield running
    except ServerUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.embedded
def test_nothing_is_lost_or_doubled(chaos: Chaos) -> None:
    chaos.plant("")
    for seed in SEEDS_OF_EVERY_CHANGE:
        result = chaos.run(schedule_of(seed, chaos.lacking))
        assert result.holds, f"make chaos BROKER=tansu SEEDS={seed}: {result.sentences}"


@dataclass(frozen=True)
class Planted:
    """What makes a bug show, and how the checker must put it."""

    says: str
    faults: tuple[Fault, ...] = field(default=())


REFUSES = Fault("subscriber", "refuses", 0.1, 14.0)
AWAY = Fault("kill_clickhouse", "", 1.0, 9.0)

PLANTED = {
    "commit_before_publish": Planted("lost:", (Fault("kill", "judge", 3.5, 0), Fault("kill", "listen", 5.5, 0))),
    "dropped_batch": Planted("lost:", (AWAY,)),
    "skipped_row": Planted("lost:", (AWAY,)),
    "doubled_alert": Planted("doubled:"),
    "random_alert_id": Planted("doubled:", (Fault("old_records", "calls.transcribed.v1", 9.0, 0),)),
    "lost_retry": Planted("alert lost:", (REFUSES,)),
    "forgetful_notify": Planted("alert lost:", (REFUSES, Fault("kill", "notify", 12.0, 0))),
    "swallowed_dead_letter": Planted("lost:", (Fault("poison", "calls.transcribed.v1", 1.0, 0),)),
    "wrong_version_wins": Planted("changed:"),
    "silent_bad_audio": Planted("lost:"),
}


def test_every_bug_has_a_schedule_that_shows_it() -> None:
    assert set(PLANTED) == set(BUGS)


@pytest.mark.embedded
@pytest.mark.long
@pytest.mark.parametrize("number", range(len(PLANTED)), ids=PLANTED)
def test_a_planted_bug_is_found(chaos: Chaos, number: int) -> None:
    bug, planted = list(PLANTED.items())[number]
    chaos.plant(bug)
    with_bug = chaos.run(schedule_of(FIRST_SEED + number, faults=planted.faults), within_s=AT_REST_WITHIN_S)
    assert any(sentence.startswith(planted.says) for sentence in with_bug.sentences), with_bug.sentences


@pytest.mark.embedded
@pytest.mark.long
def test_without_a_bug_the_same_schedules_hold(chaos: Chaos) -> None:
    chaos.plant("")
    for number, planted in enumerate(PLANTED.values()):
        seed = FIRST_SEED + len(PLANTED) + number
        result = chaos.run(schedule_of(seed, faults=planted.faults), within_s=AT_REST_WITHIN_S)
        assert result.holds, (seed, result.sentences)
