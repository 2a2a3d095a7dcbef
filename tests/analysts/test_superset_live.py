"""The dashboards in a real Superset: `make superset`.

Imported as docs/analysts.md says, every chart asked over the API of Superset, every dashboard opened in Chromium where
there is one. With SUPERSET_PICTURES=docs/superset the pictures of the documentation are taken again.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streams.embedded.clickhouse_engine import password_file
from streams.embedded.ports import free_port
from tests.analysts.superset_bundle import FOLDER, REPOSITORY, Chart, charts, read, script
from tests.support.clickhouse_engine import RunningEngine
from tests.support.processes import eventually

pytestmark = [pytest.mark.superset, pytest.mark.embedded]

BIN = Path(os.environ.get("SUPERSET_BIN", REPOSITORY / ".venv-superset" / "bin"))
PASSWORD = secrets.token_urlsafe(12)
CHARTS = charts()
upgrade = script("bundle") and script("upgrade")


@dataclass(frozen=True)
class Trial:
    """A Superset that runs on its own folder."""

    home: Path
    url: str
    clickhouse_url: str
    environ: dict[str, str]

    def run(self, *arguments: str) -> None:
        done = subprocess.run(arguments, env=self.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def trial(sample_engine: RunningEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    assert (BIN / "superset").is_file(), "run `make superset`, which installs it"
    home = tmp_path_factory.mktemp("superset")
    (home / "secret_key").write_text(secrets.token_urlsafe(32), encoding="ascii")
    (home / "admin.password").write_text(PASSWORD, encoding="ascii")
    port = free_port()
    environ = os.environ | {
        "SUPERSET_TRIAL_HOME": str(home),
        "SUPERSET_HOME": str(home),
        "SUPERSET_CONFIG_PATH": str(FOLDER / "trial_config.py"),
        "FLASK_APP": "superset",
    }
    address = f"clickhousedb://analyst@127.0.0.1:{sample_engine.port}/callstream"
    started = Trial(home, f"http://127.0.0.1:{port}", address, environ)
    superset = str(BIN / "superset")
    started.run(superset, "db", "upgrade")
    name = ["--username", "admin", "--firstname", "a", "--lastname", "b", "--email", "admin@example.com"]
    started.run(superset, "fab", "create-admin", *name, "--password", PASSWORD)
    started.run(superset, "init")
    secret = password_file(sample_engine.data_dir, "analyst")
    archive = str(home / "callstream.zip")
    arguments = ["--out", archive, "--url", address, "--password-file", str(secret)]
    started.run(str(BIN / "python"), str(FOLDER / "bundle.py"), *arguments)
    started.run(superset, "import-dashboards", "--path", archive, "--username", "admin")
    log = (home / "server.log").open("wb")
    server = [str(BIN / "gunicorn"), "--workers", "2", "--threads", "4", "--timeout", "120"]
    command = [*server, "--bind", f"127.0.0.1:{port}", "superset.app:create_app()"]
    process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
    try:
        assert eventually(lambda: answers(started.url) or process.poll() is not None, give_up_after_s=120)
        assert process.poll() is None, (home / "server.log").read_text(errors="replace")[-3000:]
        yield started
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def answers(url: str) -> bool:
    try:
        with upgrade.build_opener().open(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def superset(trial: Trial) -> Any:
    return upgrade.Superset(trial.url, "admin", PASSWORD)


def test_everything_was_imported(superset: Any) -> None:
    everything = "(page_size:100)"
    found = {
        kind: superset.get(f"/api/v1/{kind}/?q={everything}")["result"] for kind in ("dashboard", "chart", "dataset")
    }
    titles = {content["dashboard_title"] for content in read("dashboards").values()}
    assert {one["dashboard_title"] for one in found["dashboard"]} == titles
    assert sorted(one["slice_name"] for one in found["chart"]) == sorted(c.content["slice_name"] for c in CHARTS)
    assert len(found["dataset"]) == len(read("datasets"))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_a_chart_gives_rows(chart: Chart, superset: Any) -> None:
    name = chart.dataset["table_name"]
    query = f"(filters:!((col:table_name,opr:eq,value:{name})))"
    (dataset,) = superset.get(f"/api/v1/dataset/?q={query}")["result"]
    answer = superset.post("/api/v1/chart/data", query_context(chart, dataset["id"]))
    (result,) = answer["result"]
    assert result["error"] is None
    assert result["rejected_filters"] == []
    assert result["rowcount"] > 0


def query_context(chart: Chart, dataset_id: int) -> dict[str, Any]:
    """What the page of Superset asks for such a chart, but for what it does with the rows afterwards."""
    time = {"col": "day", "op": "TEMPORAL_RANGE", "val": "No filter"}
    raw = chart.params.get("query_mode") == "raw"
    query: dict[str, Any] = {
        "columns": chart.columns,
        "filters": [time, *({"col": c, "op": o, "val": v} for c, o, v in chart.filters)],
        "extras": {"time_grain_sqla": chart.params.get("time_grain_sqla")},
        "row_limit": chart.params.get("row_limit", 1000),
        "orderby": [],
    }
    if not raw:
        query["metrics"] = chart.metrics
    return {
        "datasource": {"id": dataset_id, "type": "table"},
        "queries": [query],
        "result_format": "json",
        "result_type": "full",
        "force": True,
    }


def test_every_dashboard_is_drawn_without_an_error_or_an_empty_chart(trial: Trial) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium here")
    out = os.environ.get("SUPERSET_PICTURES") or str(trial.home / "pictures")
    admin = ["--user", "admin", "--password-file", str(trial.home / "admin.password")]
    arguments = ["--url", trial.url, *admin, "--out", out, "--chromium", chromium]
    trial.run(str(BIN / "python"), str(FOLDER / "screenshots.py"), *arguments)


def test_a_later_version_takes_the_place_of_an_earlier_one(trial: Trial, superset: Any) -> None:
    """Last, because it changes the datasets."""
    admin = ["--user", "admin", "--superset-password-file", str(trial.home / "admin.password")]
    arguments = ["--superset", trial.url, *admin, "--url", trial.clickhouse_url, "--first-contact-days", "14"]
    trial.run(str(BIN / "python"), str(FOLDER / "upgrade.py"), *arguments)
    datasets = superset.get("/api/v1/dataset/?q=(page_size:100)")["result"]
    assert len(datasets) == len(read("datasets"))
    with_a_window = [each["table_name"] for each in read("datasets").values() if "window_days = 7)" in each["sql"]]
    assert sorted(one["table_name"] for one in datasets if "window_days = 14)" in one["sql"]) == sorted(with_a_window)
    test_a_chart_gives_rows(CHARTS[0], superset)
