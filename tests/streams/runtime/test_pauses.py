"""Pauses as a worker asks for them: without waiting, and by what was last known where nobody answers."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.errors import RetryableError
from streams.runtime import pauses as module
from streams.runtime.pauses import Pause, Pauses
from tests.support.processes import eventually

WHOLE = Pause("judge", "", "drain", "upgrade", "os:li", datetime(2026, 3, 2, tzinfo=UTC))
TENANT = replace(WHOLE, stage="listen", tenant_id="acme", kind="pause")


class Answers:
    """What the register would say; an exception is raised."""

    def __init__(self, *first: Pause) -> None:
        self.now: Sequence[Pause] | Exception = first

    def __call__(self) -> Sequence[Pause]:
        if isinstance(self.now, Exception):
            raise type(self.now)(*self.now.args)
        return self.now


def test_a_stage_is_paused_as_a_whole_or_for_tenants() -> None:
    found = Pauses(Answers(WHOLE, TENANT))
    assert not found.stage_is_paused("judge"), "nothing is known before the first look"
    found.look()
    assert (found.of_stage("judge"), found.paused_tenants("judge")) == (WHOLE, frozenset())
    assert (found.stage_is_paused("listen"), found.paused_tenants("listen")) == (False, frozenset({"acme"}))
    assert not Pauses.none().stage_is_paused("judge")


def test_a_thread_follows_what_changes_and_keeps_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.01)
    answers, stop = Answers(WHOLE), threading.Event()
    found = Pauses(answers)
    thread = found.follow(stop)
    assert eventually(lambda: found.stage_is_paused("judge"))
    with caplog.at_level(logging.WARNING):
        answers.now = RetryableError("the register does not answer")
        assert eventually(lambda: "the register does not answer" in caplog.text)
        answers.now = ValueError("words of a customer")
        assert eventually(lambda: "ValueError" in caplog.text)
    assert found.stage_is_paused("judge")
    assert len(caplog.records) == 2, "each of them once"
    assert "words of a customer" not in caplog.text
    answers.now = ()
    assert eventually(lambda: not found.stage_is_paused("judge"))
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
