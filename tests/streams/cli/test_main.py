"""The command line as a person or a script meets it: help, sentences, exit codes, JSON."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.cli import main as main_module
from streams.cli.main import app
from streams.embedded.ports import free_port
from streams.queries.status import LocalWorkers, PipelineStatus, StageLag
from streams.settings import load_settings
from streams.topology import WORKER_NAMES
from streams.wiring import prepare_keys
from tests.processors.recordings import tone, wav
from tests.streams.cli.terminal import Terminal
from tests.support.disks import small_disk

pytestmark = [pytest.mark.processes, pytest.mark.loopback]

SECRET = "tiger-lily-7"
NUMBER = "13800138000"
SOUND = wav([tone(440, 1_500, 8_000)], 8_000)


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it. Untyped, because typer brings a click of its own or uses another."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


class TestHelp:
    @pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "callstream")
    def test_every_command_explains_itself_and_each_of_its_options(
        self, terminal: Terminal, path: tuple[str, ...]
    ) -> None:
        shown = terminal.run(*path, "--help")
        assert (shown.code, shown.err) == (0, "")
        assert COMMANDS[path].help
        for parameter in COMMANDS[path].params:
            if parameter.param_type_name == "option":
                assert parameter.opts[0] in shown.out
            assert getattr(parameter, "help", None), f"{path} {parameter.name} has no help"

    def test_the_first_page_documents_every_exit_code(self, terminal: Terminal) -> None:
        page = terminal.run("--help").out
        _, _, codes = page.partition("Exit codes")
        for code in (
            "0  done",
            "1  done, but",
            "2  the command",
            "3  a setting",
            "4  Kafka",
            "5  a process",
            "70  a bug",
        ):
            assert code in codes

    def test_every_command_that_the_first_page_shows_exists(self, terminal: Terminal) -> None:
        shown = [line.split() for line in terminal.run("--help").out.splitlines() if line.startswith("    callstream ")]
        assert len(shown) >= 5
        assert all((words[1],) in COMMANDS for words in shown)

    def test_it_is_there_at_once_because_no_command_is_loaded_before_it_runs(self) -> None:
        heavy = {"av", "chdb", "clickhouse_connect", "confluent_kafka", "ctranslate2", "faster_whisper", "faust"}
        heavy |= {"minio", "onnxruntime", "torch"}
        program = (
            "import sys; from streams.cli.main import main\n"
            "sys.argv = ['callstream', '--help']\n"
            "try: main()\n"
            "except SystemExit: print('loaded', *sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        page, _, loaded = shown.stdout.partition("loaded ")
        assert "First steps" in page
        assert "streams.cli.kpi.training" in loaded.split()
        assert {name.split(".")[0] for name in loaded.split()} & heavy == set()

    def test_every_command_has_a_file_of_its_name(self) -> None:
        here = Path(main_module.__file__).parent
        for path, command in COMMANDS.items():
            if not path or command.hidden or path[0] == "store":
                continue
            *folders, name = (word.replace("-", "_") for word in path)
            file = here.joinpath(*folders, name)
            is_group = hasattr(command, "commands")
            keyword_file = file.with_name(f"{name}_.py")  # `try` cannot be the name of a module
            assert file.is_dir() if is_group else file.with_suffix(".py").is_file() or keyword_file.is_file(), path

    @pytest.mark.processes
    def test_it_is_installed_under_its_name(self) -> None:
        installed = Path(sys.executable).parent / "callstream"
        done = subprocess.run([installed, "worker", "dream"], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert f"dream is not a stage: {', '.join(WORKER_NAMES)}" in done.stderr


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            pytest.param(["dance"], "No such command 'dance'", id="unknown command"),
            pytest.param(["status", "--colour"], "No such option: --colour", id="unknown option"),
            pytest.param(["worker"], "Missing argument", id="no stage"),
            pytest.param(["worker", "listen", "dream"], "dream is not a stage: serve, ", id="which stage"),
            pytest.param(["up", "--broker", "pigeon"], "pigeon is not a broker: kafka or tansu", id="which broker"),
            pytest.param(["up", "--listen-workers", "0"], "--listen-workers", id="no worker"),
            pytest.param(["publish"], "give recordings, or transcripts with --transcript", id="nothing to publish"),
            pytest.param(
                ["publish", "a.wav", "b.wav", "--call-id", "c1"], "one call id cannot name", id="one id for two"
            ),
        ],
    )
    def test_a_wrong_one_ends_with_2_and_says_what_is_wrong(
        self, terminal: Terminal, arguments: list[str], sentence: str
    ) -> None:
        ended = terminal.run(*arguments)
        assert ended.code == 2
        assert sentence in ended.err

    def test_without_a_command_there_is_the_first_page(self, terminal: Terminal) -> None:
        ended = terminal.run()
        assert ended.code == 2
        assert "First steps" in ended.out + ended.err


class TestSettings:
    @pytest.mark.parametrize(
        "command",
        [
            pytest.param(["worker", "listen"], id="worker"),
            pytest.param(["publish", "a.wav"], id="publish"),
            pytest.param(["analyze", "a.wav"], id="analyze"),
            pytest.param(["topics", "apply"], id="topics apply"),
            pytest.param(["bucket", "apply"], id="bucket apply"),
            pytest.param(["migrate"], id="migrate"),
            pytest.param(["status"], id="status"),
            pytest.param(["config"], id="config"),
            pytest.param(["up"], id="up"),
            pytest.param(["demo"], id="demo"),
        ],
    )
    def test_a_wrong_one_stops_every_start_with_3_and_is_named(self, terminal: Terminal, command: list[str]) -> None:
        terminal.set(whisper_threads="many")
        ended = terminal.run(*command)
        assert ended.code == 3
        assert ended.err.startswith("callstream: CALLSTREAM_WHISPER_THREADS does not fit")
        assert ended.err.count("\n") == 1

    def test_one_that_does_not_exist_is_named(self, terminal: Terminal) -> None:
        terminal.set(whisper_treads="2")
        ended = terminal.run("status")
        assert ended.code == 3
        assert "CALLSTREAM_WHISPER_TREADS is not a setting" in ended.err

    def test_one_that_only_shows_when_it_is_used_is_named(self, terminal: Terminal) -> None:
        terminal.set(store_kind="s3")
        ended = terminal.run("bucket", "apply")
        assert ended.code == 3
        assert "s3_access_key is not set, and store_kind is s3" in ended.err


class TestWhatDoesNotAnswer:
    def test_kafka_is_named_with_4(self, terminal: Terminal) -> None:
        terminal.set(kafka_bootstrap=f"127.0.0.1:{free_port()}")
        ended = terminal.run("topics", "apply")
        assert ended.code == 4
        assert ended.err.startswith("callstream: no Kafka broker answers")
        assert ended.err.count("\n") == 1

    def test_a_broker_that_takes_nothing_is_named_with_4_and_so_is_a_full_disk(
        self, terminal: Terminal, tmp_path: Path
    ) -> None:
        with small_disk(tmp_path / "disk", "1m") as disk:
            terminal.set(kafka_bootstrap=f"127.0.0.1:{free_port()}", data_dir=disk / "data")
            ended = terminal.run("check", "broker")
        assert (ended.code, ended.out) == (4, "")
        kafka, full = ended.err.splitlines()
        assert kafka.startswith("callstream: no Kafka broker answers")
        assert f"MiB are free in {disk}" in full

    def test_what_does_not_find_room_is_a_sentence_with_4(self, terminal: Terminal, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", "4k") as disk:
            ended = terminal.run("contracts", "--out", disk / "contracts")
        assert ended.code == 4
        assert ended.err.startswith("callstream: the disk")
        assert ended.err.endswith("is full: make room there, then run the command again\n")

    def test_a_pipeline_that_cannot_go_on_is_a_problem_in_its_status(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = "Kafka answers, and takes no records: nothing was taken"
        found = PipelineStatus([], {}, 0, None, [], 0.0, 8, LocalWorkers([], [], {}), (problem,))
        monkeypatch.setattr("streams.queries.status.pipeline_status", lambda *_, **__: found)
        for arguments in (("status",), ("status", "--json")):
            ended = terminal.run(*arguments)
            assert ended.code == 1
            assert problem in ended.out + ended.err

    def test_without_clickhouse_the_status_shows_what_the_others_know_and_ends_with_4(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lag = StageLag("store", "calls.ended.v1", 61, 386.0)
        found = PipelineStatus(
            [lag], None, None, None, None, None, 8, LocalWorkers([], [], {}), clickhouse_away="it hangs"
        )
        monkeypatch.setattr("streams.queries.status.pipeline_status", lambda *_, **__: found)
        for arguments in (("status",), ("status", "--json")):
            ended = terminal.run(*arguments)
            assert (ended.code, ended.err) == (4, "callstream: it hangs\n")
            assert "61" in ended.out

    @pytest.mark.parametrize("command", ["status", "migrate"])
    def test_clickhouse_is_named_with_4_and_its_password_is_not(self, terminal: Terminal, command: str) -> None:
        port = free_port()
        terminal.set(
            clickhouse_url=f"http://me:{SECRET}@127.0.0.1:{port}/callstream", kafka_bootstrap=f"127.0.0.1:{free_port()}"
        )
        ended = terminal.run(command)
        assert ended.code == 4
        assert "ClickHouse" in ended.err
        assert f"127.0.0.1:{port}" in ended.err
        assert SECRET not in ended.err

    def test_a_bucket_that_was_never_made_is_named_with_the_command_that_makes_it(self, terminal: Terminal) -> None:
        ended = terminal.run("publish", terminal.file("a.wav", SOUND))
        assert ended.code == 3
        assert "run `callstream migrate`" in ended.err, "the register comes first"
        settings = load_settings({"CALLSTREAM_DATA_DIR": str(terminal.folder / "data")}).settings
        migrate_register(Register.of(settings))
        prepare_keys(settings)
        ended = terminal.run("publish", terminal.file("a.wav", SOUND))
        assert ended.code == 3
        assert "run `callstream bucket apply`" in ended.err
        assert terminal.run("bucket", "apply").code == 0
        assert (terminal.folder / "data" / "objects" / "callstream").is_dir()

    def test_jars_that_cannot_be_fetched_end_up_with_5_and_both_ways_out(self, terminal: Terminal) -> None:
        cache = terminal.folder / "cache"
        terminal.set(maven_url=f"http://127.0.0.1:{free_port()}", cache_dir=cache)
        ended = terminal.run("up")
        assert ended.code == 5
        assert "set CALLSTREAM_MAVEN_URL" in ended.err
        assert f"copy the jars into {cache}" in ended.err
        assert "`--broker tansu`, which forgets everything" in ended.err
        assert not (terminal.folder / "data" / "stack.toml").exists()


def test_a_bug_ends_with_70_and_its_frames_but_not_its_text(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_arguments: object) -> dict[str, str]:
        raise KeyError(f"王小明 {NUMBER}")

    monkeypatch.setattr("schemas.contracts.contracts_text", bug)
    ended = terminal.run("contracts")
    assert ended.code == 70
    assert "callstream: this is a bug: builtins.KeyError" in ended.err
    assert "in bug" in ended.err
    assert NUMBER not in ended.err
    assert "王小明" not in ended.err
