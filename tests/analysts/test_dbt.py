"""The dbt project of examples/ is built by an analyst's own account, and again, and holds what the calls say."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest
import yaml

from processors.clickhouse.grants import own_databases
from schemas.config.roles import load_roles, load_users
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.own_databases import make_own_databases, own_tables_of
from streams.adapters.clickhouse.sink import ClickHouseSink
from tests.integration.test_roles import CALLS_OF, MOVED, PASSWORD, fill
from tests.support.clickhouse_engine import RunningEngine, running_engine

pytestmark = [pytest.mark.embedded, pytest.mark.dbt]

REPOSITORY = Path(__file__).parents[2]
PROJECT = REPOSITORY / "examples" / "dbt"
DBT = REPOSITORY / ".venv-dbt" / "bin" / "dbt"
OWN = "callstream_own_acme"
OF_TENANT = {call_id for call_id, of in CALLS_OF.items() if of[0] == "acme"} | {MOVED}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """With calls of two tenants, and an analyst of one who writes."""
    if not DBT.exists():
        pytest.skip("dbt is not installed: make dbt")
    folder = tmp_path_factory.mktemp("dbt")
    users = folder / "users.yaml"
    (folder / "dan.password").write_text(PASSWORD)
    dan = {"name": "dan", "role": "bi_analyst", "tenants": ["acme"], "own_database": True}
    users.write_text(yaml.safe_dump({"users": [dan | {"password_file": "dan.password"}]}))
    with running_engine(folder / "engine", users) as running:
        migrate(running.url())
        client = connect(running.url())
        fill(ClickHouseSink(client))
        make_own_databases(client, own_databases(load_users(users, load_roles()), "callstream"))
        client.close()
        yield running


def build(engine: RunningEngine, folder: Path) -> subprocess.CompletedProcess[str]:
    account = {"USER": "dan", "PASSWORD": PASSWORD, "PORT": str(engine.port), "SCHEMA": OWN}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        **{f"DBT_CALLSTREAM_{name}": value for name, value in account.items()},
    }
    command = [str(DBT), "--no-use-colors", "build", "--profiles-dir", ".", "--no-version-check"]
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_an_analyst_builds_the_project_twice_and_it_holds_what_the_calls_say(
    engine: RunningEngine, tmp_path: Path
) -> None:
    folder = Path(copytree(PROJECT, tmp_path / "project"))
    client = connect(engine.url())
    try:
        counted = []
        for _ in range(2):
            built = build(engine, folder)
            assert built.returncode == 0, built.stdout
            assert "ERROR=0 SKIP=0" in built.stdout
            ((repeats, weeks),) = client.query(
                f"SELECT sum(known_calls), count() FROM {OWN}.weekly_repeats_by_topic"  # noqa: S608 - a name of ours
            ).result_rows
            counted.append((repeats, weeks))
        assert counted[0] == counted[1], "a second build counts no call twice"
        assert counted[0][1] > 0
        ((calls,),) = client.query(f"SELECT sum(calls) FROM {OWN}.agent_months").result_rows  # noqa: S608
        assert calls == len(OF_TENANT), "of the own tenant, each once"
        ((customers,),) = client.query(
            f"SELECT sum(customers) FROM {OWN}.customer_cohorts WHERE months_later = 0"  # noqa: S608
        ).result_rows
        assert customers == len(OF_TENANT) - 1, "two of the calls are one customer's"
    finally:
        client.close()
    assert own_tables_of(engine.url(), "acme") == [
        f"{OWN}.{name}" for name in ("agent_months", "customer_cohorts", "weekly_repeats_by_topic")
    ]
    assert own_tables_of(engine.url(), "other") == []
