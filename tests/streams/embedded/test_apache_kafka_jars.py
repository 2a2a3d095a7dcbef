"""The jars of Apache Kafka: pinned, fetched once, continued after a failure, never anything else than pinned."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streams.embedded.apache_kafka import Jar, KafkaJarsError, fetch_jars, jar_folder, packaged_jars, read_jar_list
from streams.embedded.ports import free_port

pytestmark = pytest.mark.loopback

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
CONTENT = {f"org/x/{name}/1.0/{name}-1.0.jar": name.encode() * 50_000 for name in NAMES}
JARS = tuple(Jar(hashlib.sha256(data).hexdigest(), len(data), path) for path, data in CONTENT.items())
TOTAL_BYTES = sum(map(len, CONTENT.values()))
BETA = "org/x/beta/1.0/beta-1.0.jar"


class Mirror:
    """A real HTTP server on loopback with a Maven repository in a folder; remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.failures_left = 0
        self.truncated_left = 0
        mirror = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.removeprefix("/maven2/")
                mirror.asked.append(path)
                if path == BETA and mirror.failures_left > 0:
                    mirror.failures_left -= 1
                    self.send_error(503)
                elif path == BETA and mirror.truncated_left > 0:
                    mirror.truncated_left -= 1
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(CONTENT[BETA])))
                    self.end_headers()
                    self.wfile.write(CONTENT[BETA][:1000])
                else:
                    super().do_GET()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/maven2"
        self.thread = threading.Thread(target=partial(self.server.serve_forever, 0.01))

    def put(self, path: str, data: bytes) -> None:
        file = self.folder / "maven2" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(tmp_path / "mirror")
    for path, data in CONTENT.items():
        mirror.put(path, data)
    mirror.thread.start()
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()
    mirror.thread.join()


class Seen:
    """A progress callback that keeps what it was told."""

    def __init__(self) -> None:
        self.news: list[tuple[int, int, str]] = []

    def __call__(self, done_bytes: int, total_bytes: int, name: str) -> None:
        self.news.append((done_bytes, total_bytes, name))


def left_in(cache_dir: Path) -> set[str]:
    return {path.name for path in jar_folder(cache_dir).iterdir() if path.name != ".lock"}


def names(*wanted: str) -> set[str]:
    return {f"{name}-1.0.jar" for name in wanted}


def test_every_jar_is_fetched_and_returned_in_the_order_of_the_list(mirror: Mirror, tmp_path: Path) -> None:
    seen = Seen()
    paths = fetch_jars(tmp_path / "cache", mirror.url, seen, JARS)
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert [path.name for path in paths] == [jar.file_name for jar in JARS]
    assert left_in(tmp_path / "cache") == {path.name for path in paths}
    assert seen.news[-1][:2] == (TOTAL_BYTES, TOTAL_BYTES)
    done = [done_bytes for done_bytes, _, _ in seen.news]
    assert done == sorted(done)
    assert {name for _, _, name in seen.news} == {path.name for path in paths}


def test_a_slash_at_the_end_of_the_address_changes_nothing(mirror: Mirror, tmp_path: Path) -> None:
    fetch_jars(tmp_path / "cache", mirror.url + "/", Seen(), JARS)
    assert sorted(mirror.asked) == sorted(CONTENT)


def test_what_is_there_is_not_fetched_again_and_counts_as_done(mirror: Mirror, tmp_path: Path) -> None:
    fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS)
    mirror.asked.clear()
    seen = Seen()
    fetch_jars(tmp_path / "cache", mirror.url, seen, JARS)
    assert mirror.asked == []
    assert seen.news[-1][:2] == (TOTAL_BYTES, TOTAL_BYTES)


def test_a_second_run_continues_where_the_first_one_stopped(mirror: Mirror, tmp_path: Path) -> None:
    fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS[:1])
    (mirror.folder / "maven2" / BETA).unlink()
    with pytest.raises(KafkaJarsError):
        fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS)
    already = left_in(tmp_path / "cache")
    assert names("alpha") <= already <= names("alpha", "gamma", "delta", "epsilon")
    mirror.put(BETA, CONTENT[BETA])
    mirror.asked.clear()
    fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS)
    assert {path.rpartition("/")[2] for path in mirror.asked} == {jar.file_name for jar in JARS} - already


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(CONTENT[BETA][:1000], id="half a file"),
        pytest.param(CONTENT[BETA][:-1] + b"?", id="another byte"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_spoilt_jar_in_the_cache_is_replaced(mirror: Mirror, tmp_path: Path, spoilt: bytes) -> None:
    fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS)
    mirror.asked.clear()
    beta = jar_folder(tmp_path / "cache") / "beta-1.0.jar"
    beta.write_bytes(spoilt)
    fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS)
    assert beta.read_bytes() == CONTENT[BETA]
    assert mirror.asked == [BETA]


def test_jars_that_were_copied_into_the_cache_need_no_network(tmp_path: Path) -> None:
    folder = jar_folder(tmp_path / "cache")
    folder.mkdir(parents=True)
    for path, data in CONTENT.items():
        (folder / path.rpartition("/")[2]).write_bytes(data)
    assert len(fetch_jars(tmp_path / "cache", "https://nowhere.invalid", Seen(), JARS)) == len(JARS)


@pytest.mark.parametrize("trouble", ["the repository is overloaded", "the connection breaks"])
def test_a_passing_trouble_is_overcome(mirror: Mirror, tmp_path: Path, trouble: str) -> None:
    if trouble == "the repository is overloaded":
        mirror.failures_left = 1
    else:
        mirror.truncated_left = 1
    seen = Seen()
    fetch_jars(tmp_path / "cache", mirror.url, seen, JARS)
    assert mirror.asked.count(BETA) == 2
    assert seen.news[-1][0] == TOTAL_BYTES


def assert_names_both_ways_out(sentence: str, cache_dir: Path) -> None:
    assert "CALLSTREAM_MAVEN_URL" in sentence
    assert str(jar_folder(cache_dir)) in sentence
    assert "`--broker tansu`" in sentence
    assert "forgets everything" in sentence


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        pytest.param(None, "the answer was 404", id="the mirror lacks it"),
        pytest.param(b"<html>log in</html>", "does not match the pinned SHA-256", id="a page instead of a jar"),
        pytest.param(CONTENT[BETA][:-1] + b"?", "does not match the pinned SHA-256", id="one byte differs"),
        pytest.param(CONTENT[BETA] + b"more", "does not match the pinned SHA-256", id="longer than pinned"),
    ],
)
def test_a_jar_that_cannot_be_had_is_named_with_both_ways_out(
    mirror: Mirror, tmp_path: Path, served: bytes | None, reason: str
) -> None:
    if served is None:
        (mirror.folder / "maven2" / BETA).unlink()
    else:
        mirror.put(BETA, served)
    with pytest.raises(KafkaJarsError) as failure:
        fetch_jars(tmp_path / "cache", mirror.url, Seen(), JARS)
    sentence = str(failure.value)
    assert sentence.startswith(f"beta-1.0.jar of Apache Kafka cannot be fetched from {mirror.url}/{BETA} (")
    assert reason in sentence
    assert_names_both_ways_out(sentence, tmp_path / "cache")
    assert left_in(tmp_path / "cache") <= names("alpha", "gamma", "delta", "epsilon")


def test_an_unreachable_repository_is_named_with_both_ways_out(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/maven2"
    with pytest.raises(KafkaJarsError, match="Connection refused") as failure:
        fetch_jars(tmp_path / "cache", url, Seen(), JARS[:1])
    assert f"{url}/{JARS[0].maven_path}" in str(failure.value)
    assert_names_both_ways_out(str(failure.value), tmp_path / "cache")


def test_an_address_that_is_no_web_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KafkaJarsError, match="must begin with https://"):
        fetch_jars(tmp_path / "cache", f"file://{tmp_path}", Seen(), JARS[:1])


@pytest.mark.names
def test_a_password_in_the_address_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(KafkaJarsError) as failure:
        fetch_jars(tmp_path / "cache", f"http://me:s3cret@127.0.0.1:{free_port()}/maven2", Seen(), JARS[:1])
    assert "s3cret" not in str(failure.value)


def test_the_packaged_list_is_complete_and_flat() -> None:
    jars = packaged_jars()
    assert len(jars) >= 45
    assert sum(jar.maven_path.startswith("org/apache/kafka/kafka_2.13/") for jar in jars) == 1
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert all(jar.size_bytes > 0 for jar in jars)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("abc  12  org/x/x.jar", id="a short sum"),
        pytest.param(f"{'0' * 64}  -1  org/x/x.jar", id="a negative size"),
        pytest.param(f"{'0' * 64}  1  /etc/x.jar", id="an absolute path"),
        pytest.param(f"{'0' * 64}  1  org/../x.jar", id="a path that leaves the repository"),
        pytest.param(f"{'0' * 64}  1  org/x.exe", id="no jar"),
    ],
)
def test_a_line_that_is_no_jar_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 "):
        read_jar_list(f"# a comment\n{line}\n")


def test_a_jar_of_the_list_knows_its_file_name() -> None:
    assert replace(JARS[0], maven_path="a/b/c-1.jar").file_name == "c-1.jar"
