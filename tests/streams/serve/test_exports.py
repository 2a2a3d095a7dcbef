"""Exports over HTTP, and by the commands that use it: four eyes, one set, one download at a time."""

import io
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from processors.custody.authorization import Actor
from processors.custody.export_archive import verify_archive
from streams.runtime.export_key import kept_export_key
from streams.serve import export_routes
from streams.serve.body import BodyLimits
from streams.serve.export_routes import TOKEN_HEADER
from streams.serve.ports import ServedExports
from streams.serve.problems import RefusedError
from streams.stages.exporting import Asker, ExporterFor
from tests.streams.cli.terminal import Terminal
from tests.support.exports import ExportHouse, person
from tests.support.serving import Serving, serving, settings_in

pytestmark = pytest.mark.loopback

PEOPLE = {
    "ann": person("ann", "export"),
    "ann-admin": person("ann-admin", human="ann"),
    "bob": person("bob", "approve"),
    "puppet": person("puppet", "approve"),
    "eve": person("eve", tenant_id="bank"),
}


class Running:
    """A server whose people show their names as tokens."""

    def __init__(self, house: ExportHouse, server: Serving) -> None:
        self.house = house
        self.server = server

    def ask(self, who: str | None, method: str, path: str, **options: Any) -> httpx.Response:
        with self.server.client(who) as client:
            return client.request(method, path, **options)

    def requested(self, **fields: Any) -> dict[str, Any]:
        body = {
            "tenant_id": "acme",
            "call_ids": ["c0", "c1"],
            "contents": ["audio_masked", "text"],
            "recipient": "第一法院",
            "reason": "complaint",
            "ticket": "T-1",
        } | fields
        answer = self.ask("ann", "POST", "/v1/exports", json=body)
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def approved(self, **fields: Any) -> dict[str, Any]:
        export = self.requested(**fields)
        answer = self.ask("bob", "POST", path(export, "/approve"), json={"set_sha256": export["set_sha256"]})
        assert answer.status_code == 200, answer.text
        return export

    def token(self, export: dict[str, Any], who: str = "ann") -> str:
        answer = self.ask(who, "POST", path(export, "/downloads"))
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token


def path(export: dict[str, Any], action: str = "") -> str:
    return f"/v1/exports/{export['export_id']}{action}"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    house = ExportHouse()
    house.people.made_by = {"puppet": "ann"}

    def asker(actor: Actor) -> Asker:
        return next(each for each in PEOPLE.values() if each.actor == actor)

    async def actor_of(request: Any) -> Actor:
        name = request.headers.get("authorization", "").removeprefix("Bearer ")
        if name not in PEOPLE:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "unauthorized", "Nobody is known by that.")
        return PEOPLE[name].actor

    exports = ServedExports(lambda actor: ExporterFor(house.desk, asker(actor)), actor_of)
    with serving(tmp_path, exports=exports) as server:
        yield Running(house, server)


def test_what_was_approved_comes_once_for_each_token(running: Running) -> None:
    export = running.approved()
    token = running.token(export)
    answer = running.ask("ann", "GET", path(export, "/content"), headers={TOKEN_HEADER: token})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''x1-1.zip"
    told = verify_archive(io.BytesIO(answer.content), running.house.key.public_key())
    assert (told["recipient"], len(told["files"])) == ("第一法院", 6)
    again = running.ask("ann", "GET", path(export, "/content"), headers={TOKEN_HEADER: token})
    assert (again.status_code, again.json()["code"]) == (403, "no_token")
    shown = running.ask("ann", "GET", path(export)).json()
    assert (shown["state"], shown["downloads"]) == ("downloaded", 1)
    assert [each["call_id"] for each in shown["calls"]] == ["c0", "c1"]
    listed = running.ask("bob", "GET", "/v1/exports", params={"tenant": "acme"}).json()["exports"]
    assert [(each["export_id"], each["calls"]) for each in listed] == [("x1", None)]


def test_each_refusal_has_its_status_and_word(running: Running) -> None:
    export = running.requested()
    approve = {"json": {"set_sha256": export["set_sha256"]}}
    other = {"json": {"set_sha256": "0" * 64}}
    cases: list[tuple[str | None, str, str, dict[str, Any], int, str]] = [
        (None, "GET", path(export), {}, 401, "unauthorized"),
        ("eve", "GET", path(export), {}, 404, "not_found"),
        ("eve", "POST", path(export, "/approve"), approve, 404, "not_found"),
        ("ann", "GET", "/v1/exports/x9", {}, 404, "not_found"),
        ("ann", "POST", path(export, "/approve"), approve, 403, "no_right"),
        ("ann-admin", "POST", path(export, "/approve"), approve, 403, "own_request"),
        ("puppet", "POST", path(export, "/approve"), approve, 403, "made_by_requester"),
        ("bob", "POST", path(export, "/approve"), other, 409, "another_set"),
        ("bob", "POST", path(export, "/withdraw"), {}, 403, "not_requester"),
        ("ann", "POST", path(export, "/downloads"), {}, 409, "not_granted"),
        ("ann", "GET", path(export, "/content"), {}, 409, "not_granted"),
        ("bob", "POST", path(export, "/approve"), {"json": {}}, 422, "invalid"),
        ("ann", "POST", "/v1/exports", {"json": {"tenant_id": "acme"}}, 422, "invalid"),
        ("ann", "POST", "/v1/exports", {"content": b"x" * 5_000_000}, 413, "too_large"),
        ("ann", "GET", "/v1/exports", {}, 422, "invalid"),
    ]
    for who, method, where, options, status, code in cases:
        answer = running.ask(who, method, where, **options)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (who, method, where)
    assert running.house.exports.get("x1").state == "requested"


def test_calls_that_are_not_there_and_those_of_others_are_refused_alike(running: Running) -> None:
    body = {"tenant_id": "acme", "contents": ["text"], "recipient": "r", "reason": "audit"}
    answers = [
        running.ask("ann", "POST", "/v1/exports", json=body | {"call_ids": ["nope"]}),
        running.ask("ann", "POST", "/v1/exports", json=body | {"call_ids": ["c0", "nope"]}),
    ]
    assert {(each.status_code, each.json()["code"], each.json()["detail"]) for each in answers} == {
        (422, "unknown_call", answers[0].json()["detail"])
    }
    both = running.ask(
        "ann",
        "POST",
        "/v1/exports",
        json=body | {"call_ids": ["c0"], "first_day": "2026-01-01", "last_day": "2026-01-01"},
    )
    assert both.json()["code"] == "calls_or_days"


def test_who_hangs_up_in_the_middle_has_that_entered(running: Running) -> None:
    running.house.sounds.data = running.house.sounds.data[:44] + b"\0" * 20_000_000
    export = running.approved()
    token = running.token(export)
    with (
        running.server.client("ann") as client,
        client.stream("GET", path(export, "/content"), headers={TOKEN_HEADER: token}) as answer,
    ):
        next(answer.iter_bytes())
    deadline_s = time.monotonic() + 30
    while not running.house.ended and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert running.house.ended == [False]
    assert running.house.exports.get("x1").downloads == 1


def commands(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Terminal:
    terminal = Terminal(tmp_path, monkeypatch, capsys)
    terminal.set(serve_port=running.server.url.rsplit(":", 1)[1])
    return terminal


def test_the_commands_do_the_same_through_the_server(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = commands(running, tmp_path, monkeypatch, capsys)
    asked = ("export", "request", "--tenant", "acme", "--recipient", "第一法院", "--reason", "court")
    more = ("--contents", "parquet", "--contents", "text", "--day", "2026-03-01")
    nobody_is_known = terminal.run(*asked, *more)
    assert (nobody_is_known.code, "CALLSTREAM_PERSON_TOKEN" in nobody_is_known.err) == (1, True)
    terminal.set(person_token="ann")
    assert "x1: requested" in terminal.run(*asked, *more).out
    digest = running.house.exports.get("x1").contained.digest
    own = terminal.run("export", "approve", "x1", "--set", digest)
    assert (own.code, "No role" in own.err) == (1, True)
    terminal.set(person_token="bob")
    shown = terminal.run("export", "show", "x1").out
    assert digest in shown
    assert "approved by bob" in terminal.run("export", "approve", "x1", "--set", digest).out
    terminal.set(person_token="ann")
    assert "x1" in terminal.run("export", "list", "--tenant", "acme").out
    file = terminal.run("export", "download", "x1", "--out", "got")
    assert file.out.strip() == "got/export-x1.zip"
    assert (tmp_path / "got" / "export-x1.zip").stat().st_mode & 0o777 == 0o600
    unpacked = terminal.run("export", "parquet", "--with-text", "--export", "x1", "--out", "rows")
    assert unpacked.out.split() == ["rows/calls-x1.parquet"]
    assert running.house.exports.get("x1").state == "closed"
    again = terminal.run("export", "download", "x1", "--out", "more")
    assert again.code == 1
    assert not list((tmp_path / "more").glob("*"))


def test_text_leaves_in_an_approved_export_alone(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = commands(running, tmp_path, monkeypatch, capsys)
    ended = terminal.run("export", "parquet", "--with-text", "--day", "2026-03-01", "--out", "rows")
    assert (ended.code, "in an approved export" in ended.err) == (1, True)
    terminal.set(person_token="ann")
    export = running.requested(contents=["parquet"])
    ended = terminal.run("export", "parquet", "--with-text", "--export", export["export_id"], "--out", "rows")
    assert (ended.code, "not approved" in ended.err) == (1, True)
    assert not list((tmp_path / "rows").glob("*"))


def test_a_file_that_was_handed_out_is_checked_by_its_key(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = commands(running, tmp_path, monkeypatch, capsys)
    running.house.key = kept_export_key(settings_in(terminal.folder / "data"))
    export = running.approved()
    answer = running.ask("ann", "GET", path(export, "/content"), headers={TOKEN_HEADER: running.token(export)})
    file = terminal.file("export.zip", answer.content)
    assert "for 第一法院" in terminal.run("export", "verify", file).out
    public = terminal.file("public.pem", terminal.run("export", "key").out)
    assert terminal.run("export", "verify", file, "--public-key", public).code == 0
    with zipfile.ZipFile(file, "a") as packed:
        packed.writestr("more.txt", "more")
    ended = terminal.run("export", "verify", file)
    assert (ended.code, "not in its manifest" in ended.err) == (1, True)


def half_a_request(running: Running, who: str | None) -> bytes:
    """What is answered to somebody who announces a body and sends the half of it; nothing for three seconds: b''."""
    address = urlsplit(running.server.url)
    token = "" if who is None else f"Authorization: Bearer {who}\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=3) as connection:
        head = f"POST /v1/exports HTTP/1.1\r\nHost: {address.netloc}\r\n{token}Content-Length: 200\r\n\r\n"
        connection.sendall(head.encode() + b'{"tenant_id": ')
        with suppress(TimeoutError):
            return connection.recv(64)
    return b""


def test_of_nobody_not_a_byte_is_read(running: Running) -> None:
    assert half_a_request(running, None).startswith(b"HTTP/1.1 401")
    assert running.ask(None, "POST", "/v1/exports", content=b"no json").status_code == 401


def test_who_sends_slowly_holds_no_request_open(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        export_routes, "EXPORT_BODY_LIMITS", BodyLimits(most_bytes=1_000, min_bytes_per_s=1_024, window_s=0.2)
    )
    assert half_a_request(running, "ann").startswith(b"HTTP/1.1 408")
    assert running.ask("ann", "POST", "/v1/exports", content=b" " * 1_001).status_code == 413
