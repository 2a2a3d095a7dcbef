"""`callstream audit`: key, show, export, verify; offline, and against checkpoints that were kept elsewhere."""

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processors.custody.audit_entry import AuditEntry
from schemas.errors import OperatorError
from streams.adapters.audit_anchors import StoreAnchor
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.register import Register
from streams.ports import SystemClock
from streams.runtime.audit_key import AuditKeyError, audit_key_file, kept_audit_key, read_audit_key
from streams.settings import load_settings
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import NO_REGISTER, register_of

AT = datetime(2026, 5, 1, 8, tzinfo=UTC)


def entry(number: int, **fields: object) -> AuditEntry:
    given: dict[str, object] = {
        "at": AT + timedelta(minutes=number),
        "actor": "li_na",
        "role": "inspector",
        "action": "viewed_text",
        "tenant_id": "acme",
        "result": "allowed",
        "client": "api",
        "call_id": f"c{number}",
        "personal": {"customer": f"customer-{number}"},
    }
    return AuditEntry(**(given | fields))  # type: ignore[arg-type] # the fields of an entry


@pytest.fixture
def register(terminal: Terminal) -> Iterator[Register]:
    register = register_of(terminal.folder / "data")
    yield register
    register.close()


@pytest.fixture
def log(register: Register, terminal: Terminal) -> RegisterAuditLog:
    """Five entries, signed; the checkpoint lies in the object store, too."""
    settings = load_settings({"CALLSTREAM_DATA_DIR": str(terminal.folder / "data")}).settings
    key = kept_audit_key(settings, may_make=True)
    log = RegisterAuditLog(register, SystemClock())
    for number in range(5):
        log.append(entry(number))
    log.append(entry(5, action="listened", result="refused", refusal="other_team", actor="ana", tenant_id="globex"))
    log.sequence()
    signed = log.sign(lambda peaks, at: key.note(peaks.size, peaks.root, at), lambda _last: True)
    assert signed is not None
    store = FolderStore(terminal.folder / "store", "calls")
    store.apply()
    StoreAnchor(store, timedelta()).deliver([signed])
    terminal.set(store_kind="folder", store_folder=terminal.folder / "store", store_bucket="calls")
    return log


def public_key(terminal: Terminal) -> str:
    done = terminal.run("audit", "key")
    assert done.code == 0, done.err
    return done.out.strip()


@pytest.mark.usefixtures("log")
def test_a_log_is_verified_in_the_register_and_offline(terminal: Terminal) -> None:
    done = terminal.run("audit", "verify", "--store")
    assert done.code == 0, done.out
    assert "6 entries, the first 6 of them under 2 checkpoints" in done.out
    key = public_key(terminal)
    assert terminal.run("audit", "export", "--out", "log.jsonl").out == "6 entries in log.jsonl\n"
    assert stat.S_IMODE((terminal.folder / "log.jsonl").stat().st_mode) == 0o600
    (anchor,) = (path for path in (terminal.folder / "store").rglob("audit/checkpoints/*") if path.is_file())
    terminal.set(register_url=NO_REGISTER, data_dir=terminal.folder / "elsewhere")
    offline = ("audit", "verify", "--log", "log.jsonl", "--public-key", key)
    done = terminal.run(*offline, "--checkpoint", anchor, "--json")
    assert (done.code, done.json["holds"], done.json["covered"], done.json["anchors"]) == (0, True, 6, 1)
    assert "no checkpoint from elsewhere" in terminal.run(*offline).out

    lines = (terminal.folder / "log.jsonl").read_text().splitlines()
    cut = terminal.file("cut.jsonl", "\n".join(lines[:4]) + "\n")
    assert terminal.run("audit", "verify", "--log", cut, "--public-key", key).code == 0
    done = terminal.run("audit", "verify", "--log", cut, "--public-key", key, "--checkpoint", anchor)
    assert (done.code, "cut: " in done.out) == (1, True)
    edited = terminal.file("edited.jsonl", "\n".join([lines[0].replace("li_na", "li_mi"), *lines[1:]]))
    done = terminal.run("audit", "verify", "--log", edited, "--public-key", key, "--json")
    assert {each["kind"] for each in done.json["problems"]} == {"edited", "changed"}
    torn = terminal.file("torn.jsonl", "\n".join([*lines, "{"]))
    done = terminal.run("audit", "verify", "--log", torn, "--public-key", key)
    assert (done.code, "unread: line 8" in done.out) == (1, True)


@pytest.mark.usefixtures("log")
def test_entries_are_found_by_who_what_and_when(terminal: Terminal) -> None:
    def found(*options: str) -> list[str]:
        return [each["call_id"] for each in terminal.run("audit", "show", *options, "--json").json]

    assert found("--tenant", "acme", "--limit", "2") == ["c3", "c4"]
    assert found("--actor", "ana") == found("--action", "listened") == found("--tenant", "globex") == ["c5"]
    assert found("--call", "c2") == ["c2"]
    assert found("--since", "2026-05-01T08:04+00:00", "--until", "2026-05-01T08:05+00:00") == ["c4"]
    shown = terminal.run("audit", "show", "--call", "c5").out
    assert "other_team" in shown
    assert "customer=customer-5" in shown
    looks = terminal.run("audit", "show", "--action", "searched", "--json").json
    assert len(looks) == 7
    assert looks[-1]["details"]["filters"] == "audit_log,call"


def test_what_was_erased_is_named_and_not_shown(log: RegisterAuditLog, terminal: Terminal) -> None:
    log.erase_personal(values=("customer-2",))
    (shown,) = terminal.run("audit", "show", "--call", "c2", "--json").json
    assert (shown["personal"], shown["erased"]) == ({}, ["customer"])
    done = terminal.run("audit", "verify", "--store", "--json")
    assert (done.code, done.json["personal_values_erased"]) == (0, 1)
    terminal.run("audit", "export", "--out", "log.jsonl")
    assert "customer-2" not in (terminal.folder / "log.jsonl").read_text()


@pytest.mark.usefixtures("log")
def test_what_is_asked_for_wrongly_is_said(terminal: Terminal) -> None:
    terminal.file("log.jsonl", "")
    for arguments, sentence in (
        (("export", "--out", "log.jsonl"), "log.jsonl cannot be written"),
        (("verify", "--log", "none"), "none cannot be read"),
        (("verify", "--checkpoint", "none"), "none cannot be read"),
        (("verify", "--public-key", "x"), "--public-key: it is no public key"),
        (("show", "--since", "2026-01-01", "--last", "1d"), "not both"),
    ):
        done = terminal.run("audit", *arguments)
        assert done.code != 0
        assert sentence in done.err, done.err
        assert "Traceback" not in done.err


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = load_settings({"CALLSTREAM_DATA_DIR": str(tmp_path)}).settings
    with pytest.raises(AuditKeyError, match="is not there"):
        kept_audit_key(settings, may_make=False)
    first = kept_audit_key(settings, may_make=True)
    file = audit_key_file(settings)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kept_audit_key(settings, may_make=True).verifier == first.verifier == read_audit_key(settings).verifier
    file.chmod(0o640)
    with pytest.raises(AuditKeyError, match="chmod 600"):
        read_audit_key(settings)
    file.chmod(0o600)
    file.write_text("-----BEGIN")
    with pytest.raises(OperatorError) as caught:
        read_audit_key(settings)
    assert "BEGIN" not in str(caught.value)
    assert json.dumps(str(file)) in json.dumps(str(caught.value)) or str(file) in str(caught.value)
