"""People at random listen, hold, release, purge and erase while years pass: nothing is heard across tenants, and
nothing goes that is held."""

import random
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from processors.custody.authorization import Action, Actor, Decision, Target
from streams.adapters.register.tombstones import FloorsWithin, HoldsWithin
from streams.proof.actions import (
    BEGAN,
    ActionsProof,
    ActionWorld,
    Beginnings,
    House,
    begun_world,
    prove_actions,
)
from streams.proof.exports import MovedClock


def test_at_random_nothing_is_heard_across_tenants_and_nothing_goes_that_is_held() -> None:
    proof = prove_actions(50, 15, houses=2)
    assert proof.wrong == 0, proof
    assert proof.holds, proof
    assert min(proof.plays, proof.destroyed) > 20


@pytest.mark.long
def test_the_same_a_hundred_thousand_times() -> None:
    proof = prove_actions(100_000, 2026)
    assert (proof.sequences, proof.wrong) == (100_000, 0), proof
    assert min(proof.plays, proof.destroyed, proof.done["hold"], proof.done["erase"], proof.killed) > 1_000


class NothingIsHeld(House):
    def holds(self) -> HoldsWithin:
        class Nothing:
            def cases_within(self, *_: object, **__: object) -> Sequence[str]:
                return ()

        return Nothing()


class EverythingIsDue(House):
    def floors(self) -> FloorsWithin:
        class Due:
            def floor_until_within(self, *_: object, **__: object) -> datetime | None:
                return None

            def is_to_go_within(self, *_: object, **__: object) -> bool:
                return True

        return Due()


class NothingIsGone(House):
    def tombstones(self) -> Any:
        class Nothing:
            def among(self, _calls: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
                return frozenset()

        return Nothing()


def everything_is_allowed(_actor: Actor, _action: Action, _target: Target) -> Decision:
    return Decision(allowed=True, reason="granted", role="any")


def test_the_book_sees_that_a_hold_was_not_asked_for() -> None:
    proof = prove_actions(15, 15, steps=30, house=NothingIsHeld, houses=1)
    assert proof.under_hold > 0
    assert not proof.holds


def test_the_book_sees_what_goes_before_its_time() -> None:
    proof = prove_actions(10, 15, house=EverythingIsDue, houses=1)
    assert proof.too_early > 0
    assert not proof.holds


def test_the_book_sees_what_is_heard_after_it_was_erased() -> None:
    assert prove_actions(15, 15, steps=30, house=NothingIsGone, houses=1).after_destruction > 0


def test_the_book_sees_who_hears_what_is_not_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.listening.authorize", everything_is_allowed)
    proof = prove_actions(15, 15, houses=1)
    assert proof.across_tenants > 0
    assert proof.not_allowed > 0


def test_the_book_sees_what_is_not_muted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.listening.muted_stretches", lambda _transcript: ())
    assert prove_actions(10, 15, houses=1).unmuted > 0


def test_the_book_sees_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.proof.actions.CallObjects.destroy", lambda *_: {})
    monkeypatch.setattr("streams.proof.actions.CallObjects.left", lambda *_: {})
    assert prove_actions(10, 15, houses=1).not_destroyed > 0


@pytest.fixture(scope="module", autouse=True)
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> None:
    RandomActions.folder = tmp_path_factory.mktemp("actions")
    RandomActions.begun = Beginnings.made(RandomActions.folder / "beginnings", 2, 15, House)


class RandomActions(RuleBasedStateMachine):
    """The same actions, chosen by hypothesis, which makes a failure as short as it can."""

    folder: Path
    begun: Beginnings

    def __init__(self) -> None:
        super().__init__()
        self.proof = ActionsProof()
        self.open = ExitStack()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        house = House(self.folder / "now", MovedClock(BEGAN))
        chance = random.Random(seed)
        self.world = self.open.enter_context(begun_world(self.begun, seed % 2, 15, house, chance, self.proof))

    @rule(action=st.sampled_from(sorted(set(ActionWorld.ACTIONS))))
    def act(self, action: str) -> None:
        self.world.do(action)

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.proof.wrong == 0, self.proof

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.end()
        self.open.close()
        assert self.proof.wrong == 0, self.proof


TestRandomActions = RandomActions.TestCase
TestRandomActions.settings = settings(
    stateful_step_count=10, max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
