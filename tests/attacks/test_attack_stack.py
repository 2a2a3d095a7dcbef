"""Attacks on the embedded stack from beside it: planted files, logins without a password, what `ps` shows."""

import http.client
import os
import signal
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from processors.listening.audio import probe
from streams.adapters.decoder.process import DecoderProcess
from streams.embedded.clickhouse_engine import is_ready
from tests.processors.recordings import example_calls
from tests.support.clickhouse_engine import RunningEngine

PLANTED = ("sitecustomize", "usercustomize", "encodings", "json", "av", "chdb", "_chdb", "streams", "processors")


def plant(folder: Path) -> Path:
    """Modules that say that they ran, and a configuration that no ClickHouse could read."""
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")
    for name in ("config.xml", "users.xml", "config.yaml"):
        (folder / name).write_text("<clickhouse><broken")
    return folder / "ran"


@pytest.mark.processes
@pytest.mark.parametrize("path", [":", ":/nowhere", ".", ""], ids=["empty", "an empty part", "a point", "none"])
def test_no_path_of_the_environment_leads_the_decoder_to_what_was_planted(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = plant(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    data = example_calls()["s09_mono_logistics"].data
    with DecoderProcess() as decoder:
        assert decoder.probe(data) == probe(data)
    assert not ran.exists()


@pytest.mark.embedded
def test_the_engine_reads_no_configuration_and_no_module_of_where_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, data = tmp_path / "planted", tmp_path / "data"
    planted.mkdir()
    ran = plant(planted)
    monkeypatch.chdir(planted)
    engine = RunningEngine(data)
    engine.start()
    try:
        assert is_ready(engine.url())
    finally:
        engine.stop(signal.SIGTERM)
    assert not ran.exists()


LOGINS: dict[str, tuple[str, dict[str, str]]] = {
    "nobody": ("/", {}),
    "who holds the port open": ("/?user=default", {}),
    "the same by its header": ("/", {"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""}),
    "who watches": ("/?user=watcher&password=", {}),
    "the writer by its header": ("/", {"X-ClickHouse-User": "callstream"}),
    "an empty password": ("/", {"Authorization": "Basic " + b64encode(b"callstream:").decode()}),
    "a name with a zero": ("/", {"Authorization": "Basic " + b64encode(b"callstream\0:x").decode()}),
    "a token": ("/", {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYWxsc3RyZWFtIn0."}),
    "a certificate": ("/", {"X-ClickHouse-User": "callstream", "X-ClickHouse-SSL-Certificate-Auth": "on"}),
    "another realm": ("/?role=admin&user=default", {}),
}


@pytest.mark.embedded
def test_no_other_way_to_log_in_needs_no_password(engine: RunningEngine) -> None:
    for name, (path, headers) in LOGINS.items():
        connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=30)
        try:
            connection.request("POST", path, b"SELECT currentUser()", headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        finally:
            connection.close()
        assert response.status in (401, 403, 500, 516), name
        assert "AUTHENTICATION_FAILED" in text or "Exception" in text, name


@pytest.mark.embedded
def test_neither_ps_nor_a_file_for_others_shows_a_password_of_the_engine(engine: RunningEngine) -> None:
    assert engine.process is not None
    secrets = [file.read_bytes().strip() for file in engine.data_dir.glob("*.password")]
    assert len(secrets) >= 2
    for file in ("cmdline", "environ"):
        shown = Path(f"/proc/{engine.process.pid}/{file}").read_bytes()
        assert not [secret for secret in secrets if secret in shown]
    for path in engine.data_dir.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077 and os.access(path, os.R_OK):
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret in content], path
    assert (engine.data_dir.stat().st_mode & 0o077) == 0


@pytest.mark.processes
def test_a_command_makes_files_for_its_owner_alone_whatever_the_mask_was(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "streams.cli.main", "rules", "keygen", "deep/er/keys"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, umask=0, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
