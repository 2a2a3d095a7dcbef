"""`callstream backup`: what is said, and what is refused."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processors.custody.ports import PURPOSES
from schemas.errors import OperatorError
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.backup.systems import Systems
from streams.cli.main import app
from streams.embedded.ports import free_port
from streams.ports import SystemClock
from streams.settings import Settings, load_settings
from streams.wiring import prepare_keys
from tests.streams.cli.terminal import Terminal
from tests.support.backed_up import House, new_database
from tests.support.brokers import running_broker
from tests.support.clickhouse_engine import RunningEngine
from tests.support.registers import MemoryWrapper, entered

DEPLOY = Path(__file__).parents[4] / "deploy"

pytestmark = [pytest.mark.embedded, pytest.mark.loopback]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backup", *arguments])


def require(result: Result) -> str:
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: RunningEngine) -> Settings:
    """Of an installation with two calls, and of the keys of its backups."""
    tenants = tmp_path / "tenants.yaml"
    tenants.write_bytes((DEPLOY / "tenants.example.yaml").read_bytes())
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CALLSTREAM_CLICKHOUSE_URL", engine.url(new_database()))
    monkeypatch.setenv("CALLSTREAM_TENANTS_FILE", str(tenants))
    assert "made" in require(run("keygen", str(tmp_path / "keys")))
    monkeypatch.setenv("CALLSTREAM_BACKUP_TO", str(tmp_path / "backups"))
    monkeypatch.setenv("CALLSTREAM_BACKUP_KEYS_TO", str(tmp_path / "keys-part"))
    monkeypatch.setenv("CALLSTREAM_BACKUP_PRIVATE_KEY_FILE", str(tmp_path / "keys" / "backup-private.pem"))
    monkeypatch.setenv("CALLSTREAM_BACKUP_SEALING_KEY_FILE", str(tmp_path / "keys" / "backup-sealing.key"))
    monkeypatch.setenv("CALLSTREAM_BACKUP_KEYS_SEALING_KEY_FILE", str(tmp_path / "keys" / "backup-keys-sealing.key"))
    return load_settings().settings


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    from streams.adapters.key_wrappers.from_settings import key_wrapper_from

    register = Register.of(settings)
    migrate_register(register)
    prepare_keys(settings)
    url = settings.clickhouse_url.get_secret_value()
    migrate(url)
    store = object_store_from(settings)
    store.apply()
    client = connect(url)
    wrapper: MemoryWrapper = key_wrapper_from(settings, PURPOSES)  # type: ignore[assignment] # any wrapper does
    opened = House(Systems(register, lambda: connect(url), store, SystemClock(), "1.2.3"), wrapper, url, client)
    opened.take_in("one")
    opened.take_in("two")
    yield opened
    client.close()
    register.close()


@pytest.mark.usefixtures("house")
def test_a_backup_is_made_listed_verified_and_given_back_into_a_folder(
    settings: Settings, tmp_path: Path, engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = json.loads(require(run("create", "--without-rules", "--json")))
    assert (made["objects"], made["previous"]) == (6, None)
    assert (tmp_path / "keys-part" / "backup" / "keys" / "keys.json").is_file()
    assert not (tmp_path / "backups" / "backup" / "keys").exists()
    assert [each["backup"] for each in json.loads(require(run("list", "--json")))] == [made["backup"]]
    assert made["backup"] in require(run("list"))
    assert "2 calls opened" in require(run("verify", "--full", "--open", "5"))
    assert "0 erased calls" in require(run("apply-erasures"))
    assert "0 erased calls" in require(run("tombstones", "--out", str(tmp_path / "erased.json")))

    monkeypatch.setenv("CALLSTREAM_CLICKHOUSE_URL", engine.url(new_database()))
    told = require(run("restore", "--into", str(tmp_path / "new"), "--tombstones", str(tmp_path / "erased.json")))
    assert "every row is as it was" in told
    assert "acme: 2 objects opened" in told
    restored = tmp_path / "new" / "restored-configuration" / "tenants_file" / "tenants.yaml"
    assert settings.tenants_file is not None
    assert restored.read_bytes() == settings.tenants_file.read_bytes()
    assert (tmp_path / "new" / "register" / "register.db").is_file()
    with pytest.raises(OperatorError, match="not empty: the register, ClickHouse, the object store"):
        require(run("restore", "--into", str(tmp_path / "new")))


@pytest.mark.parametrize("what", ["ClickHouse", "bucket", "bucket of backups", "broker"])
def test_nothing_is_given_back_where_something_does_not_answer(
    terminal: Terminal, house: House, engine: RunningEngine, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    require(run("create", "--without-rules"))
    monkeypatch.setattr("streams.adapters.kafka.client.ASK_WITHIN_S", 1.0)
    address, database = f"127.0.0.1:{free_port()}", new_database()
    terminal.set(clickhouse_url=engine.url(database))
    terminal.set(kafka_bootstrap=address)
    keys = {"access_key": "a", "secret_key": "hush-hush", "endpoint": address, "secure": False}
    into, named = ["--into", "new"], f"the object store does not answer as it should at {address}: "
    if what == "ClickHouse":
        terminal.set(clickhouse_url=f"http://u:hush-hush@{address}/callstream")
        named = f"ClickHouse did not answer connecting to {address}; start it, "
    elif what == "bucket":
        into = []
        terminal.set(data_dir=terminal.folder / "new", store_kind="s3", **{f"s3_{name}": keys[name] for name in keys})
    elif what == "bucket of backups":
        terminal.set(backup_to="s3://backups/", **{f"backup_s3_{name}": keys[name] for name in keys})
    else:
        into.append("--publish-rules")
        named = f"no Kafka broker answers at {address}: _TRANSPORT; start it, "
    ended = terminal.run("backup", "restore", *into)
    assert (ended.code, ended.out) == (4, "")
    (said,) = ended.err.splitlines()
    assert said.startswith(f"callstream: {named}")
    files = [path.name for path in (terminal.folder / "new").rglob("*") if path.is_file()]
    assert [name for name in files if not name.startswith("register.db")] == []
    databases = connect(engine.url("default"))
    assert database not in str(databases.command("SHOW DATABASES"))
    databases.close()
    assert entered(house.systems.register) == [("backup_created", "allowed"), ("backup_created", "done")]


def test_what_is_given_back_is_said_where_the_rules_are_not_published(
    terminal: Terminal, house: House, engine: RunningEngine, tmp_path: Path
) -> None:
    assert house.url
    require(run("create", "--without-rules"))
    terminal.set(clickhouse_url=engine.url(new_database()))
    with running_broker("tansu", tmp_path / "broker") as broker:  # it has no topics
        terminal.set(kafka_bootstrap=broker.kafka_bootstrap, kafka_flavour="tansu")
        ended = terminal.run("backup", "restore", "--into", "new", "--publish-rules")
    assert ended.code == 1
    assert "every row is as it was" in ended.out
    assert "now: callstream backup reset-groups" in ended.out
    said = ended.err.splitlines()[-1]
    assert said.startswith("the rules are not published (callstream rules publish does it): Kafka cannot be read: ")


@pytest.mark.usefixtures("house")
def test_verify_ends_with_one_and_names_what_is_wrong(tmp_path: Path) -> None:
    require(run("create", "--without-rules"))
    copies = (each for each in (tmp_path / "backups").rglob("objects/*/*") if each.is_file())
    path = max(copies, key=lambda each: each.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1])
    result = run("verify")
    assert result.exit_code == 1
    assert re.search(r"object recordings/acme/.+: \d+ bytes, and not \d+", result.stderr)


def test_pruning_keeps_the_newest(house: House) -> None:
    first = json.loads(require(run("create", "--without-rules", "--json")))["backup"]
    house.take_in("three")
    second = json.loads(require(run("create", "--without-rules", "--json")))["backup"]
    assert f"would remove {first}" in require(run("prune", "--dry-run"))
    assert f"removed {first}" in require(run("prune"))
    assert second in require(run("list"))
    assert "nothing is wrong" in require(run("verify", "--full", "--open", "5"))


@pytest.mark.usefixtures("house")
def test_what_somebody_else_has_signed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(run("create", "--without-rules"))
    require(run("keygen", str(tmp_path / "others")))
    monkeypatch.setenv("CALLSTREAM_BACKUP_PRIVATE_KEY_FILE", str(tmp_path / "others" / "backup-private.pem"))
    with pytest.raises(OperatorError, match="was changed, or somebody else has signed it"):
        require(run("list"))


def test_what_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path))
    with pytest.raises(OperatorError, match="backup_to is not set"):
        require(run("list"))
    monkeypatch.setenv("CALLSTREAM_BACKUP_TO", str(tmp_path))
    with pytest.raises(OperatorError, match="backup_private_key_file is not set"):
        require(run("create"))
    monkeypatch.setenv("CALLSTREAM_BACKUP_TO", "s3://somewhere/")
    monkeypatch.setenv("CALLSTREAM_BACKUP_PRIVATE_KEY_FILE", "/nowhere.pem")
    with pytest.raises(OperatorError, match="backup_s3_access_key is not set, and backup_to is a bucket"):
        require(run("list"))


def test_keys_are_not_made_twice(tmp_path: Path) -> None:
    require(run("keygen", str(tmp_path)))
    with pytest.raises(OperatorError, match="exists: name another folder"):
        require(run("keygen", str(tmp_path)))
