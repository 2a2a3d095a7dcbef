"""Attacks and accidents on the HTTP interface, each with its stated result (docs/api.md): nothing is lost, leaks or is
left behind."""

import gzip
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from streams.adapters.object_store.folder import FolderStore
from streams.serve.people import REMEMBERED_S
from tests.streams.serve.test_recordings import DATA, form, header, of_call
from tests.support.disks import fill, small_disk
from tests.support.serving import Serving, event, serving

pytestmark = pytest.mark.loopback

OTHER = DATA[::-1]
RAW = {"Content-Type": "audio/wav"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve"), intake_max_bytes=4_000_000) as running:
        yield running


@pytest.fixture
def client(server: Serving) -> Iterator[httpx.Client]:
    with server.client(server.key()) as made:
        yield made


def spoken(server: Serving, request: bytes) -> bytes:
    """What the server answers to these bytes, until it closes."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(ConnectionResetError):
            while data := connection.recv(65_536):
                answer += data
        return answer


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within a time that a busy machine needs."""
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.02)
    return False


def _takes(connection: socket.socket, data: bytes) -> bool:
    """Whether the other side still has the connection open."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(65_536)


# Ids and paths


@pytest.mark.parametrize(
    "call_id",
    [
        pytest.param("../../../etc/passwd", id="a path out of the store"),
        pytest.param("..", id="the folder above"),
        pytest.param("a/b", id="a folder"),
        pytest.param("a\x00b", id="an end of a string in C"),
        pytest.param("a\r\nX-Evil: 1", id="a header"),
        pytest.param("-rf", id="an option"),
        pytest.param("х1", id="a letter of another script"),
        pytest.param("a" * 129, id="longer than an id"),
        pytest.param({"$ne": None}, id="an object"),
    ],
)
def test_an_id_that_is_none_is_refused_and_not_repeated(server: Serving, client: httpx.Client, call_id: Any) -> None:
    before = server.objects()
    answer = client.post("/v1/recordings", files=form(event() | {"call_id": call_id}))
    assert answer.status_code == 422
    assert [each.partition(":")[0] for each in answer.json()["errors"]] == ["call_id"]
    assert server.objects() == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/calls/..%2f..%2fetc%2fpasswd",
        "/v1/calls/%00",
        "/v1/calls/a%0d%0aX-Evil:1",
        "/v1/calls/",
        "/v1/../v1/calls/x y",
    ],
)
def test_a_path_that_leads_nowhere_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "x-evil" not in answer.headers
    assert "passwd" not in answer.text


def test_the_name_of_the_file_is_not_kept(server: Serving, client: httpx.Client) -> None:
    name = "../../13800138000 Zhang San.WAV"
    assert client.post("/v1/recordings", files=form(event("named"), name=name)).status_code == 201
    (call,) = of_call(server, "named")
    assert call.audio.uri.endswith(".wav")
    kept = [str(path) for path in server.folder.rglob("*")]
    assert not any("Zhang" in path or "13800138000" in path for path in kept)


# Keys


def test_without_a_key_that_holds_nothing_is_taken_in_and_every_refusal_is_the_same(server: Serving) -> None:
    good = server.key()
    expired = server.key(days=1)
    revoked = server.key()
    server.api_keys.revoke(revoked.split("_")[1], actor="test")
    other_secret = good[:-4] + ("aaaa" if good[-4:] != "aaaa" else "bbbb")
    unknown = "cs_" + "a" * 12 + "_" + "A" * 43
    answers = []
    for key in (None, "-", "nonsense", other_secret, unknown, revoked):
        with server.client(key) as client:
            answers.append(client.post("/v1/recordings", files=form(event("keyless"))))
    with server.client(expired) as client:
        server.clock.moment += timedelta(days=1)
        try:
            answers.append(client.post("/v1/recordings", files=form(event("keyless"))))
        finally:
            server.clock.moment -= timedelta(days=1)
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text.replace(answer.headers["x-request-id"], "") for answer in answers}) == 1
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)
    assert of_call(server, "keyless") == []


def test_a_key_that_is_revoked_is_refused_after_what_is_remembered_of_it(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(key := server.key()) as client:
        assert client.get("/v1/calls/x").status_code == 404
        server.api_keys.revoke(key.split("_")[1], actor="test")
        deadline_s = time.monotonic() + REMEMBERED_S + 5
        while client.get("/v1/calls/x").status_code == 404 and time.monotonic() < deadline_s:
            time.sleep(0.25)
        assert client.get("/v1/calls/x").status_code == 401


def test_a_rotated_key_works_beside_the_one_in_its_place_until_the_overlap_ends(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        former = server.key()
        fresh = server.api_keys.rotate(former.split("_")[1], timedelta(hours=1), None, actor="test").text
        with server.client(former) as old, server.client(fresh) as new:
            assert (old.get("/v1/calls/x").status_code, new.get("/v1/calls/x").status_code) == (404, 404)
            server.clock.moment += timedelta(hours=1)
            assert (old.get("/v1/calls/x").status_code, new.get("/v1/calls/x").status_code) == (401, 404)


def test_a_key_does_what_its_scopes_say_and_no_more(server: Serving) -> None:
    with server.client(server.key(scopes=("calls:read",))) as reader:
        answer = reader.post("/v1/recordings", files=form(event("scope")))
        assert (answer.status_code, answer.json()["code"]) == (403, "scope")
    with server.client(server.key(scopes=("recordings:write",))) as writer:
        assert writer.get("/v1/calls/scope").status_code == 403
    assert of_call(server, "scope") == []


def test_a_key_of_one_tenant_neither_takes_in_nor_sees_nor_probes_calls_of_another(server: Serving) -> None:
    with server.client(server.key("acme")) as acme, server.client(server.key("globex")) as globex:
        assert acme.post("/v1/recordings", files=form(event("theirs"))).status_code == 201
        server.outcomes.of["acme", "theirs"] = ("analyzed", "")
        foreign, none = globex.get("/v1/calls/theirs"), globex.get("/v1/calls/nobodys")
        assert (foreign.status_code, none.status_code) == (404, 404)
        assert _without_id(foreign) == _without_id(none)
        theirs = globex.post("/v1/recordings", files=form(event("planted", tenant_id="acme")))
        nobodys = globex.post("/v1/recordings", files=form(event("planted", tenant_id="umbrella")))
        assert (theirs.status_code, nobodys.status_code) == (404, 404)
        assert _without_id(theirs) == _without_id(nobodys)
        # The id is free for a tenant whatever others have under it.
        assert globex.post("/v1/recordings", files=form(event("theirs"), OTHER)).status_code == 201
    assert {(call.tenant_id, call.call_id) for call in of_call(server, "theirs")} == {
        ("acme", "theirs"),
        ("globex", "theirs"),
    }
    assert of_call(server, "planted") == []


def test_a_foreign_call_takes_as_long_as_none(tmp_path: Path) -> None:
    """The same queries are asked; medians of many are compared with the noise between two halves of the same."""
    with serving(tmp_path, serve_requests_per_s=0) as server:
        with server.client(server.key("acme")) as acme:
            acme.post("/v1/recordings", files=form(event("theirs")))
        with server.client(server.key("globex")) as globex:
            times: dict[str, list[float]] = {"theirs": [], "nobodys": []}
            for _ in range(150):
                for call_id, taken in times.items():
                    began_s = time.perf_counter()
                    globex.get(f"/v1/calls/{call_id}")
                    taken.append(time.perf_counter() - began_s)
        middle, spread = statistics.median(times["nobodys"]), statistics.pstdev(sorted(times["nobodys"])[15:-15])
        assert abs(statistics.median(times["theirs"]) - middle) < max(3 * spread, middle)


def _without_id(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


# Content


def test_other_content_or_other_facts_under_a_taken_id_are_refused_and_the_first_stays(
    server: Serving, client: httpx.Client
) -> None:
    assert client.post("/v1/recordings", files=form(event("taken"))).status_code == 201
    for other in (form(event("taken"), OTHER), form(event("taken", agent={"id": "A2"}))):
        answer = client.post("/v1/recordings", files=other)
        assert (answer.status_code, answer.json()["code"]) == (409, "other_content")
    (call,) = of_call(server, "taken")
    assert server.recording(call) == DATA


def test_of_two_uploads_of_one_call_at_once_one_wins_and_the_other_comes_again(server: Serving) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield DATA[:1000]
        began.set()
        go_on.wait(20)
        yield DATA[1000:]

    with server.client(server.key()) as one, server.client(server.key()) as two, ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.post, "/v1/recordings", content=slowly(), headers=header(event("twice")) | RAW)
        assert began.wait(20)
        assert eventually(lambda: two.get("/v1/calls/twice").json().get("state") == "receiving")
        second = two.post("/v1/recordings", content=DATA, headers=header(event("twice")) | RAW)
        assert (second.status_code, second.json()["code"]) == (503, "under_way")
        assert second.headers["retry-after"]
        go_on.set()
        assert first.result().status_code == 201
        assert two.post("/v1/recordings", content=DATA, headers=header(event("twice")) | RAW).status_code == 200
    assert len(of_call(server, "twice")) == 1


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        pytest.param("application/json", 415, id="JSON"),
        pytest.param("text/html", 415, id="a page"),
        pytest.param("application/x-www-form-urlencoded", 415, id="the other kind of form"),
        pytest.param("application/zip", 415, id="an archive"),
        pytest.param("multipart/form-data", 400, id="a form without boundary"),
        pytest.param("multipart/form-data; boundary=" + "x" * 71, 400, id="a boundary that is none"),
        pytest.param("multipart/form-data; boundary=x", 400, id="a form that is none"),
    ],
)
def test_what_says_that_it_is_no_recording_is_refused(
    server: Serving, client: httpx.Client, media_type: str, status: int
) -> None:
    headers = header(event("kind")) | {"Content-Type": media_type}
    answer = client.post("/v1/recordings", content=DATA, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert of_call(server, "kind") == []


def test_a_compressed_body_is_refused_unread(server: Serving, client: httpx.Client) -> None:
    bomb = gzip.compress(bytes(3_000_000))
    headers = header(event("gzip")) | RAW | {"Content-Encoding": "gzip"}
    assert client.post("/v1/recordings", content=bomb, headers=headers).status_code == 415
    part = [*form(event("gzip"))[:1], ("file", ("a", bomb, "audio/wav", {"Content-Transfer-Encoding": "base64"}))]
    assert client.post("/v1/recordings", files=part).status_code == 415
    assert of_call(server, "gzip") == []


def _form_of(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def _part(name: str, data: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data


EVENT = _part("event", json.dumps(event("form_attack")).encode())
FILE = _part("file", DATA[:5_000], '; filename="a.wav"')


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(_form_of(EVENT, FILE, end=b""), 400, id="cut before its last boundary"),
        pytest.param(_form_of(EVENT, FILE)[:-3_000], 400, id="cut in the recording"),
        pytest.param(_form_of(EVENT)[:30], 400, id="cut in a header"),
        pytest.param(b"", 400, id="nothing at all"),
        pytest.param(_form_of(FILE, EVENT), 422, id="the recording before its event"),
        pytest.param(_form_of(EVENT), 422, id="no recording"),
        pytest.param(_form_of(FILE), 422, id="no event"),
        pytest.param(_form_of(EVENT, FILE, FILE), 422, id="two recordings"),
        pytest.param(_form_of(EVENT, EVENT), 422, id="two events"),
        pytest.param(_form_of(EVENT, _part("other", b"x"), FILE), 422, id="an unknown part"),
        pytest.param(_form_of(_part("event", b"[" * 100_000), FILE), 422, id="an event nested without end"),
        pytest.param(_form_of(_part("event", b"\xff\xfe"), FILE), 422, id="an event that is no UTF-8"),
        pytest.param(_form_of(_part("event", b" " * 600_000), FILE), 413, id="an event without end"),
        pytest.param(_form_of(b"X-A: " + b"a" * 5_000 + b"\r\n" + EVENT, FILE), 400, id="a header of a part too long"),
        pytest.param(
            _form_of(b"".join(b"X-%d: a\r\n" % i for i in range(50)) + EVENT, FILE),
            400,
            id="headers of a part too many",
        ),
    ],
)
def test_a_broken_form_is_refused_and_leaves_nothing(
    server: Serving, client: httpx.Client, body: bytes, status: int
) -> None:
    before = server.objects()
    answer = client.post("/v1/recordings", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert of_call(server, "form_attack") == []
    assert server.objects() == before
    assert client.get("/v1/calls/form_attack").status_code == 404


# Size and time


def test_an_upload_without_end_is_broken_off_at_the_limit(server: Serving, client: httpx.Client) -> None:
    before = server.objects()
    answer = client.post("/v1/recordings", content=endless(), headers=header(event("endless")) | RAW)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert server.objects() == before
    assert client.get("/v1/calls/endless").status_code == 404


def test_a_declared_length_above_the_limit_is_refused_unread(server: Serving) -> None:
    key = server.key()
    said = header(event("declared"))["X-Callstream-Event"]
    request = (
        f"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: audio/wav\r\n"
        f"X-Callstream-Event: {said}\r\nContent-Length: 10737418240\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = spoken(server, request.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


def test_a_sender_that_stands_still_or_crawls_is_hung_up_on(tmp_path: Path) -> None:
    with serving(tmp_path, serve_slow_after_s=0.3, serve_min_bytes_per_s=100_000) as server:
        key = server.key()
        said = header(event("slow"))["X-Callstream-Event"]
        head = (
            f"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: audio/wav\r\n"
            f"X-Callstream-Event: {said}\r\nContent-Length: 3000000\r\n\r\n"
        ).encode()
        assert spoken(server, head + bytes(50_000)).startswith(b"HTTP/1.1 408 ")
        parts = urlsplit(server.url)
        with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
            connection.sendall(head)
            assert eventually(lambda: not _takes(connection, b"x"))
        assert server.objects() == []
        with server.client(key) as client:
            assert client.get("/v1/calls/slow").status_code == 404


def test_headers_that_come_byte_by_byte_are_not_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, serve_slow_after_s=0.3) as server:
        assert spoken(server, b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\n") == b""
        assert spoken(server, b"") == b""


def test_who_hangs_up_in_the_middle_leaves_nothing(server: Serving, client: httpx.Client) -> None:
    before = server.objects()
    said = header(event("gone"))["X-Callstream-Event"]
    key = server.key()
    head = (
        f"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: audio/wav\r\n"
        f"X-Callstream-Event: {said}\r\nContent-Length: 3000000\r\n\r\n"
    ).encode()
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head + bytes(500_000))
        assert eventually(lambda: client.get("/v1/calls/gone").json().get("state") == "receiving")
    assert eventually(lambda: client.get("/v1/calls/gone").status_code == 404)
    assert eventually(lambda: server.objects() == before)
    assert of_call(server, "gone") == []
    assert client.post("/v1/recordings", files=form(event("gone"))).status_code == 201


def _growth_while(upload: Callable[[], httpx.Response]) -> tuple[httpx.Response, int]:
    """What came of it, and by how many bytes this process, client and server, grew meanwhile."""

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * 4_096

    most, done = [0], threading.Event()
    before = resident()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], resident() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        return upload(), most[0]
    finally:
        done.set()
        watching.join()


@pytest.mark.parametrize(
    "size_mb",
    [pytest.param(300, id="300 MB"), pytest.param(10_240, marks=pytest.mark.long, id="10 GB")],
)
def test_a_large_upload_takes_little_memory(tmp_path: Path, size_mb: int) -> None:
    piece = bytes(range(256)) * 1_024

    def pieces() -> Iterator[bytes]:
        for _ in range(size_mb * 4):
            yield piece

    with serving(tmp_path, intake_max_bytes=20 * 1024**3) as server, server.client(server.key()) as client:
        client.post("/v1/recordings", files=form(event("warm")))

        def upload() -> httpx.Response:
            return client.post(
                "/v1/recordings", content=pieces(), headers=header(event("large")) | RAW, timeout=httpx.Timeout(1_200)
            )

        answer, grown = _growth_while(upload)
        assert answer.status_code == 201
        assert answer.json()["bytes"] == size_mb * 1024**2
        assert grown <= 64 * 1024**2


def test_a_tenant_with_too_many_requests_is_told_when_to_come_again(tmp_path: Path) -> None:
    with (
        serving(tmp_path, serve_requests_per_s=0.5) as server,
        server.client(server.key("acme")) as acme,
        server.client(server.key("globex")) as globex,
    ):
        answers = [acme.get("/v1/calls/x") for _ in range(8)]
        assert [answer.status_code for answer in answers[:5]] == [404] * 5
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert globex.get("/v1/calls/x").status_code == 404, "another tenant is not held up"


def test_uploads_that_find_no_place_are_told_when_to_come_again(tmp_path: Path) -> None:
    go_on = threading.Event()

    def held(began: threading.Event) -> Iterator[bytes]:
        yield b"x" * 2_000
        began.set()
        go_on.wait(20)

    with (
        serving(tmp_path, serve_uploads=2, serve_uploads_per_tenant=1, serve_wait_s=0.2) as server,
        ExitStack() as stack,
    ):
        acme = [stack.enter_context(server.client(server.key("acme"))) for _ in range(2)]
        globex = stack.enter_context(server.client(server.key("globex")))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        began = threading.Event()
        first = pool.submit(acme[0].post, "/v1/recordings", content=held(began), headers=header(event("p1")) | RAW)
        assert began.wait(20)
        assert eventually(lambda: acme[1].get("/v1/calls/p1").json().get("state") == "receiving")
        second = acme[1].post("/v1/recordings", files=form(event("p2")))
        assert (second.status_code, second.json()["code"]) == (429, "too_many_uploads")
        assert second.headers["retry-after"]
        assert globex.post("/v1/recordings", files=form(event("p3"))).status_code == 201
        go_on.set()
        assert first.result().status_code == 201


# What is behind it fails


def test_kafka_down_in_mid_upload_is_503_and_the_recording_may_come_again(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(server.key()) as client:

        def pieces() -> Iterator[bytes]:
            yield DATA[:1_000]
            server.broker.down = True
            yield DATA[1_000:]

        answer = client.post("/v1/recordings", content=pieces(), headers=header(event("kafka")) | RAW)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert client.get("/v1/calls/kafka").json()["state"] == "stored", "the sweeper would announce it"
        server.broker.down = False
        assert client.post("/v1/recordings", content=DATA, headers=header(event("kafka")) | RAW).status_code == 200
        (call,) = server.announced()
        assert server.recording(call) == DATA


def test_the_register_gone_is_503_before_anything_is_read(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(server.key()) as client:
        file = tmp_path / "register" / "register.db"
        server.register.close()
        for each in file.parent.iterdir():
            each.rename(each.with_suffix(each.suffix + ".away"))
        file.mkdir()
        answer = client.post("/v1/recordings", files=form(event("register")))
        assert answer.status_code == 503
        assert str(tmp_path) not in answer.text
        file.rmdir()
        for each in file.parent.iterdir():
            each.rename(each.with_name(each.name.removesuffix(".away")))
        assert client.post("/v1/recordings", files=form(event("register"))).status_code == 201


@pytest.mark.processes
def test_a_disk_that_fills_up_in_mid_upload_is_503_and_the_recording_may_come_again(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "16m") as disk,
        serving(tmp_path, FolderStore(disk, "calls")) as server,
        server.client(server.key()) as client,
        server.client(server.key()) as asking,
    ):

        def pieces() -> Iterator[bytes]:
            yield DATA[:1_000]
            assert eventually(lambda: asking.get("/v1/calls/full").json().get("state") == "receiving")
            fill(disk)
            yield DATA[1_000:]

        answer = client.post("/v1/recordings", content=pieces(), headers=header(event("full")) | RAW)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert str(disk) not in answer.text
        assert server.announced() == []
        assert client.post("/v1/recordings", files=form(event("full"))).status_code == 503, "no room yet"
        (disk / "filler").unlink()
        assert client.post("/v1/recordings", files=form(event("full"))).status_code == 201
        (call,) = server.announced()
        assert server.recording(call) == DATA


# HTTP itself


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"X: " + b"a" * 200_000 + b"\r\n\r\n", id="one header"),
        pytest.param(b"".join(b"X-%d: a\r\n" % i for i in range(20_000)), id="headers without end"),
        pytest.param(b"Authorization: Bearer " + b"a" * 100_000 + b"\r\n\r\n", id="a key"),
    ],
)
def test_a_header_bomb_is_hung_up_on(server: Serving, headers: bytes) -> None:
    answer = spoken(server, b"GET /v1/health/live HTTP/1.1\r\nHost: x\r\n" + headers)
    # The answer is lost where the rest still comes.
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", b"400", id="TLS where none is spoken"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"400", id="no host"),
        pytest.param(
            b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            b"400",
            id="two lengths",
        ),
        pytest.param(
            b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            b"\r\nGET /v1/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
            b"400",
            id="a length and chunks",
        ),
        pytest.param(
            b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
            b"400",
            id="an encoding that is none",
        ),
        pytest.param(
            b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            b"400",
            id="a space before the colon",
        ),
        pytest.param(
            b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
            b"400",
            id="two keys",
        ),
    ],
)
def test_what_two_servers_could_read_differently_is_refused_and_the_connection_closed(
    server: Serving, request_bytes: bytes, status: bytes
) -> None:
    answer = spoken(server, request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1 ") == 1, "nothing behind it was taken for a request"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT"])
def test_other_methods_are_refused(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/v1/recordings")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_key_and_no_word_of_an_event_is_logged(server: Serving, caplog: pytest.LogCaptureFixture) -> None:
    key = server.key()
    canary = "canary-7f3a"
    with caplog.at_level("DEBUG"), server.client(key) as client:
        client.post("/v1/recordings", files=form(event("logged", crm={"note": canary})))
        client.post("/v1/recordings", files=form(event("logged", **{canary: 1})))
        client.post("/v1/recordings", content=DATA, headers={"X-Callstream-Event": canary} | RAW)
        client.get(f"/v1/calls/{canary}/{canary}?q={canary}")
    ours = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith(("http", "asyncio"))
    )
    assert key.split("_")[1] in ours, "which key it was is told"
    assert key.split("_")[2] not in ours
    assert canary not in ours
