"""`callstream api-keys`: a key is shown once, alone on standard output."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processors.custody.api_keys import parts_of
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.cli.main import app


@pytest.fixture(autouse=True)
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path))
    migrate_register(Register(sqlite_url(tmp_path / "register" / "register.db")))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["api-keys", *arguments])


def listed() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(run("list", "--json").stdout)
    return rows


def test_a_key_is_issued_rotated_and_revoked() -> None:
    first = run("issue", "acme", "--label", "exchange")
    assert first.exit_code == 0, first.output
    parts = parts_of(first.stdout.strip())
    assert parts is not None, "nothing else stands on standard output"
    assert parts[0] in first.stderr
    (row,) = listed()
    assert row["state"] == "holds"
    assert row["scopes"] == ["calls:read", "recordings:write"]
    assert parts[1] not in run("list").output + run("list", "--json").output
    second = parts_of(run("rotate", parts[0], "--overlap-hours", "1").stdout.strip())
    assert second is not None
    assert run("revoke", parts[0], second[0]).exit_code == 0
    assert [row["state"] for row in listed()] == ["revoked", "revoked"]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("issue", "Acme"), id="no tenant"),
        pytest.param(("issue", "acme", "--scope", "all"), id="no scope"),
        pytest.param(("issue", "acme", "--days", "-1"), id="an end in the past"),
    ],
)
def test_a_wrong_command_line_makes_no_key(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert listed() == []
