"""`callstream pause`, `drain` and `resume`: what they refuse, and what they leave behind."""

from pathlib import Path

import pytest

from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.pauses import RegisterPauses
from streams.adapters.register.register import Register, sqlite_url
from streams.cli.console import access
from tests.streams.cli.terminal import Terminal


@pytest.fixture
def pauses(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegisterPauses:
    """Those of a register that commands use; no broker answers."""
    assert terminal is not None
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CALLSTREAM_KAFKA_FLAVOUR", "tansu")
    register = Register(sqlite_url(tmp_path / "data" / "register" / "register.db"))
    migrate_register(register)
    return RegisterPauses(register)


def test_what_cannot_be_paused_is_refused_with_a_sentence(terminal: Terminal, pauses: RegisterPauses) -> None:
    for arguments, sentence in (
        (("pause", "replay", "--why", "x"), "replay is not a worker"),
        (("pause", "judge", "--tenant", "acme", "--why", "x"), "Pause the tenant at listen, or the whole stage"),
        (("pause", "listen", "--tenant", "a b", "--why", "x"), "no id of a tenant"),
        (("pause", "listen", "--why", " "), "one line of 1 to 256 characters"),
        (("drain", "listen", "--why", "two\nlines"), "one line of 1 to 256 characters"),
        (("drain", "listen"), "Missing option"),
    ):
        ended = terminal.run(*arguments)
        told = " ".join(ended.err.replace("│", " ").split())
        assert (ended.code, sentence in told) == (2, True), told
    assert pauses.every() == []


def test_a_stage_without_workers_stands_still_at_once(terminal: Terminal, pauses: RegisterPauses) -> None:
    drained = terminal.run("drain", "store", "--why", "OPS-17")
    assert (drained.code, drained.err) == (0, "")
    (found,) = pauses.every()
    assert (found.stage, found.tenant_id, found.kind, found.why) == ("store", "", "drain", "OPS-17")
    assert found.actor
    assert terminal.run("resume", "store").out.startswith("store works again; it had been drained since ")
    assert pauses.every() == []


def test_a_tenant_is_resumed_by_itself(terminal: Terminal, pauses: RegisterPauses) -> None:
    assert terminal.run("pause", "listen", "--tenant", "acme", "--why", "floods").code == 0
    ended = terminal.run("resume", "listen")
    assert (ended.code, "was not paused" in ended.err) == (1, True)
    assert [each.tenant_id for each in pauses.every()] == ["acme"]
    assert terminal.run("resume", "listen", "--tenant", "acme").code == 0
    assert pauses.every() == []


def test_who_is_no_operator_and_has_no_role_changes_nothing(
    terminal: Terminal, pauses: RegisterPauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "is_operator", lambda _folder: False)
    for command in (("pause", "listen", "--why", "x"), ("drain", "listen", "--why", "x"), ("resume", "listen")):
        ended = terminal.run(*command)
        assert (ended.code, "may not do that" in ended.err) == (1, True)
    assert pauses.every() == []
