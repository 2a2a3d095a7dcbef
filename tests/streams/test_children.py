"""Processes that we start load nothing from the folder of who starts them."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from streams.adapters.decoder.process import COMMAND
from streams.embedded.child import launcher_argv
from streams.embedded.clickhouse_engine import start_command
from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import ChildSpec
from streams.runtime.processes import in_processes
from streams.settings import Settings, load_settings

pytestmark = [pytest.mark.processes, pytest.mark.loopback]

ROOT = Path(__file__).parents[2]
SOURCES = sorted(file for folder in ("streams", "processors", "schemas") for file in (ROOT / folder).rglob("*.py"))
STARTS = {"Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            yield file, node


def test_every_python_that_is_started_ignores_the_current_folder() -> None:
    started = 0
    for file, node in nodes():
        if isinstance(node, ast.List | ast.Tuple) and node.elts and ast.unparse(node.elts[0]) == "sys.executable":
            started += 1
            assert len(node.elts) > 1, f"{file}:{node.lineno}"
            assert ast.unparse(node.elts[1]) in ("'-P'", "'-I'"), f"{file}:{node.lineno}"
    assert started >= 4


def test_every_process_is_started_in_a_folder_of_ours() -> None:
    started = 0
    for file, node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STARTS:
            if ast.unparse(node.func.value) not in ("subprocess", "asyncio") or ast.unparse(node.func) == "asyncio.run":
                continue
            started += 1
            assert "cwd" in {keyword.arg for keyword in node.keywords}, f"{file}:{node.lineno}"
    assert started >= 3
    assert ChildSpec("a", ("b",), bool, 1, 1, restart=False).cwd == Path("/")


def test_no_process_is_started_in_another_way() -> None:
    """`os.system` and the like would pass by the tests above. The launcher alone becomes another program, and a worker
    that is paused becomes itself once more."""
    for file, node in nodes():
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os":
            forbidden = node.attr.startswith(("exec", "spawn", "posix_spawn", "popen", "system", "fork"))
            itself = file.match("streams/cli/worker.py") and "sys.orig_argv" in file.read_text(encoding="utf-8")
            assert not forbidden or file.name == "child.py" or itself, f"{file}:{node.lineno}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            allowed = file.name == "processes.py"  # see the test below
            assert allowed or "multiprocessing" not in ast.unparse(node), f"{file}:{node.lineno}"


def test_a_module_that_was_planted_does_not_run_in_a_process_that_shares_work(tmp_path: Path) -> None:
    for name in ("yaml", "numpy", "pickle", "multiprocessing", "streams"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n")
    work = (
        "from streams.runtime.processes import in_processes\n"
        "from operator import neg\n"
        "def build():\n    return neg\n"
        "if __name__ == '__main__':\n"
        "    with in_processes(build, 2) as shared:\n        print(*shared([1, 2, 3]))\n"
    )
    script = tmp_path / "scripts" / "work.py"
    script.parent.mkdir()
    script.write_text(work)
    done = subprocess.run(
        [sys.executable, "-P", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("-1 -2 -3\n", 0), done.stderr
    assert not (tmp_path / "ran").exists()


def test_sharing_work_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for former in (None, "", "1"):
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
        if former is not None:
            monkeypatch.setenv("PYTHONSAFEPATH", former)
        with in_processes(lambda: str, 1):
            assert os.environ["PYTHONSAFEPATH"] == "1"
        assert os.environ.get("PYTHONSAFEPATH") == former


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*start_command(Path("data"), 1), "--help"], id="engine"),
        pytest.param([*worker_spec("store", 0, Settings(), restart=False).argv[:-2], "--help"], id="worker"),
        pytest.param(launcher_argv(["true"], 1), id="launcher"),
        pytest.param(COMMAND, id="decoder"),
    ],
)
def test_a_module_that_was_planted_where_the_user_stands_does_not_run(command: Sequence[str], tmp_path: Path) -> None:
    for name in ("yaml", "numpy", "ctypes", "pydantic", "streams"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n")
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    assert not (tmp_path / "ran").exists()
    subprocess.run([sys.executable, "-m", "yaml"], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (tmp_path / "ran").exists(), "what was planted must be able to run at all"


def test_paths_that_were_written_from_where_the_user_stands_are_the_same_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "small").mkdir(parents=True)
    written = {"DATA_DIR": "data", "EMOTION_HEADS": "heads", "WHISPER_MODEL": "models/small"}
    settings = load_settings({f"CALLSTREAM_{name}": path for name, path in written.items()}).settings
    spec = worker_spec("listen", 0, settings, restart=False)
    for name, path in written.items():
        assert spec.env[f"CALLSTREAM_{name}"] == str(tmp_path / path)
    assert spec.cwd == tmp_path / "data"
