"""People at random do what they like with exports: nothing is handed out that nobody else approved."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from processors.custody.exports import (
    Approval,
    ApproveExport,
    BeginDownload,
    DownloadBegun,
    Export,
    ExportApproved,
    ExportCommand,
    after,
)
from streams.proof.exports import ExportProof, ExportWorld, MemoryExports, MovedClock, prove_exports


def test_at_random_no_export_is_unapproved_no_approval_ones_own_and_no_download_another_tenants() -> None:
    proof = prove_exports(4_000, 15)
    assert proof.wrong == 0, proof
    assert proof.holds, proof
    assert proof.downloads > 100


@pytest.mark.long
def test_the_same_a_hundred_thousand_times() -> None:
    proof = prove_exports(100_000, 2026)
    assert (proof.sequences, proof.wrong) == (100_000, 0), proof
    assert proof.downloads > 1_000


class Careless(MemoryExports):
    """Does what it is told: the mistakes that the book must see."""

    def __init__(self, clock: MovedClock, approves: bool, downloads: bool) -> None:
        super().__init__(clock)
        self._approves = approves
        self._downloads = downloads

    def tell(self, command: ExportCommand, *, client: str, role: str) -> Export:
        export = self.kept.get(command.export_id)
        if export is not None and isinstance(command, ApproveExport) and self._approves:
            now = self.clock.now()
            event = ExportApproved(Approval(command.by, command.digest, now), now + export.terms.grant_lasts)
            self.kept[command.export_id] = after(event, export)
            return self.kept[command.export_id]
        if export is not None and isinstance(command, BeginDownload) and self._downloads:
            begun = after(DownloadBegun(command.by, export.downloads + 1, self.clock.now()), export)
            self.kept[command.export_id] = replace(begun, download_token=export.download_token)
            return begun
        return super().tell(command, client=client, role=role)


def careless(*, approves: bool = False, downloads: bool = False) -> ExportProof:
    def kept(clock: MovedClock) -> tuple[MemoryExports, Callable[[str, random.Random], None]]:
        exports = Careless(clock, approves, downloads)
        return exports, exports.swap

    return prove_exports(600, 15, kept=kept)


def test_the_book_sees_what_a_careless_register_would_do() -> None:
    assert careless(approves=True).self_approved > 0
    seen = careless(downloads=True)
    assert seen.unapproved > 0
    assert seen.changed > 0
    assert seen.too_late > 0
    assert seen.too_often > 0
    assert not seen.holds


class RandomExports(RuleBasedStateMachine):
    """The same actions, chosen by hypothesis, which makes a failure as short as it can."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.proof = ExportProof()
        clock = MovedClock()
        memory = MemoryExports(clock)
        self.world = ExportWorld(random.Random(seed), self.proof, memory, memory.swap, clock, "x")

    @rule(action=st.sampled_from(sorted(set(ExportWorld.ACTIONS))))
    def act(self, action: str) -> None:
        self.world.do(action)

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert getattr(self, "proof", ExportProof()).wrong == 0


TestRandomExports = RandomExports.TestCase
TestRandomExports.settings = settings(stateful_step_count=30)
