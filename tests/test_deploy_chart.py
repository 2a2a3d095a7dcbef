"""The Helm chart: valid for Kubernetes and for the custom kinds, whole by the topology, and safe where it counts."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError

from streams.cli.main import app
from streams.runtime.metrics import METRICS
from streams.settings import CONFIG_VARIABLE, PREFIX, load_settings, setting_fields
from streams.topology import WORKER_NAMES, StageEntry, worker_stage
from tests.support.cases import every_case
from tests.support.helm import CHART, Manifest, helm, of_kind, rendered, require_valid
from tests.test_deploy import example_environment

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
STAGES: dict[str, dict[str, Any]] = VALUES["stages"]
OLDEST, NEWEST = "1.29", "1.37"
EVERYTHING = {
    "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]},
    "trust": {"configMap": "authorities"},
    "metrics": {"podMonitor": True, "rules": True, "labels": {"release": "prometheus"}},
    "serviceAccount": {"annotations": {"example.internal/role": "callstream"}},
    "files": {"tenants.yaml": "tenants: {}\n", "subscriptions.yaml": "subscriptions: []\n"},
    "stages": {
        name: {"enabled": True, **({"scaling": {"enabled": True}} if "scaling" in each else {})}
        for name, each in STAGES.items()
    },
}
"""Every object that the chart can make."""


def stage_of(name: str) -> str:
    stage: str = STAGES[name].get("stage", name.replace("-", "_"))
    return stage


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return rendered(EVERYTHING, folder=tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    return rendered(folder=tmp_path_factory.mktemp("chart"))


def pods(manifests: list[Manifest]) -> dict[str, Any]:
    """Name → spec of every pod."""
    found = of_kind(manifests, "Deployment") | of_kind(manifests, "Job")
    return {name: each["spec"]["template"]["spec"] for name, each in found.items()}


def containers(pod: Any) -> list[Any]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def asked(stage: StageEntry) -> set[str]:
    """The systems of `networkPolicy` that a stage asks, by the topology."""
    groups = {"keys": "keys", "people": "people", "hearing": "speech", "second reading": "second_reader"}
    systems = {"ClickHouse": "clickhouse", "object store": "object_store"}
    found = {systems.get(each, each) for each in stage.asks} | {
        groups[each] for each in stage.settings if each in groups
    }
    # The audit log tells a witness what it signed.
    found |= {"subscribers"} if "auditing" in stage.settings else set()
    return found | ({"kafka"} if stage.reads or stage.writes else set())


def test_there_is_a_deployment_for_every_worker_of_the_topology_and_for_nothing_else() -> None:
    assert {stage_of(name) for name in STAGES} == set(WORKER_NAMES)
    off = {stage_of(name) for name, each in STAGES.items() if not each.get("enabled", True)}
    needy = {name for name in WORKER_NAMES if worker_stage(name).needs_setting}
    assert off - {"listen"} == needy, "a stage that needs a setting is off until somebody sets it"


def test_a_stage_may_reach_what_the_topology_says_that_it_asks_and_no_more() -> None:
    with every_case() as cases:
        for name, each in STAGES.items():
            with cases.case(name):
                assert set(each["egress"]) == asked(worker_stage(stage_of(name)))


def test_stages_of_which_one_is_enough_are_one() -> None:
    several = {stage_of(name) for name, each in STAGES.items() if each.get("replicas", 1) > 1}
    assert [name for name in several if worker_stage(name).scales_by == "one is enough"] == []


@pytest.mark.parametrize("name", STAGES)
def test_the_settings_of_the_chart_load_with_the_secrets_of_a_stage(name: str, tmp_path: Path) -> None:
    stage = stage_of(name)
    file, folder = tmp_path / "callstream.toml", tmp_path / "secrets"
    lines = [f"{key} = {yaml_as_toml(value)}" for key, value in VALUES["settings"].items()]
    file.write_text("\n".join(lines), encoding="utf-8")
    folder.mkdir()
    environ = {each["name"]: each["value"] for each in STAGES[name].get("env", ())}
    for variable, value in example_environment(stage).items():
        setting = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE and variable not in environ:
            (folder / setting).write_text(value, encoding="utf-8")
    environ["CALLSTREAM_SECRETS_DIR"] = str(folder)
    settings = load_settings(environ, file, worker_stage(stage).setting_groups).settings
    assert settings.store_kind == "s3"


def yaml_as_toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')


@pytest.mark.processes
def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    done = helm("lint", "--strict", "--kube-version", "1.31.0", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.processes
def test_everything_is_valid_in_the_newest_kubernetes_and_one_of_each_kind_in_the_oldest(
    everything: list[Manifest],
) -> None:
    with every_case() as cases:
        for manifest in everything:
            with cases.case((manifest["kind"], manifest["metadata"]["name"])):
                require_valid(manifest, NEWEST)
        for manifest in {each["kind"]: each for each in everything}.values():
            with cases.case((manifest["kind"], OLDEST)):
                require_valid(manifest, OLDEST)


@pytest.mark.processes
def test_a_misspelt_field_would_be_seen(everything: list[Manifest]) -> None:
    scaled = of_kind(everything, "ScaledObject")["callstream-listen"]
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        require_valid({**scaled, "spec": {**scaled["spec"], "maxReplicas": 3}}, NEWEST)
    deployment = of_kind(everything, "Deployment")["callstream-judge"]
    with pytest.raises(ValidationError, match="replica"):
        require_valid({**deployment, "spec": {**deployment["spec"], "replica": 3}}, NEWEST)
    with pytest.raises(SchemaNotFoundError):
        require_valid({"apiVersion": "example.internal/v1", "kind": "Unknown", "metadata": {"name": "x"}}, NEWEST)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"stages": {"listen": {"replica": 2, "egress": []}}}, "replica"),
        ({"stages": {"judge": {"egress": ["postgres"]}}}, "egress"),
        ({"setings": {}}, "setings"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"metrics": {"port": 0}}, "port"),
    ],
)
def test_a_value_that_the_chart_does_not_know_is_named(values: dict[str, object], named: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = helm("template", "callstream", str(CHART), "--kube-version", "1.31.0", "--values", str(file))
    assert done.returncode != 0
    assert named in done.stderr


@pytest.mark.processes
def test_no_pod_is_root_or_writes_to_its_image_and_each_has_a_limit(everything: list[Manifest]) -> None:
    with every_case() as cases:
        for name, pod in pods(everything).items():
            with cases.case(name):
                assert pod["securityContext"]["runAsNonRoot"] is True
                assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
                assert pod["automountServiceAccountToken"] is False
                assert pod["enableServiceLinks"] is False
                for each in containers(pod):
                    security = each["securityContext"]
                    assert security["readOnlyRootFilesystem"] is True
                    assert security["allowPrivilegeEscalation"] is False
                    assert security["capabilities"] == {"drop": ["ALL"]}
                    assert each["resources"]["limits"]["memory"]
                    assert each["image"].endswith("@sha256:" + "0" * 64)
                    written = {mount["mountPath"] for mount in each["volumeMounts"] if not mount.get("readOnly")}
                    assert written == {"/var/lib/callstream", "/var/cache/callstream", "/tmp"}  # noqa: S108


@pytest.mark.processes
def test_secrets_come_by_file_and_each_stage_has_its_own(everything: list[Manifest]) -> None:
    for name, pod in pods(everything).items():
        secrets = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        owner = "commands" if name.endswith("migrations") else name.removeprefix("callstream-").removesuffix("-gpu")
        assert secrets == [f"callstream-{owner}", f"callstream-{owner}-files"]
        for each in containers(pod):
            variables = {entry["name"]: entry.get("value") for entry in each["env"]}
            assert None not in variables.values(), "a variable out of a secret can be read by whoever sees the process"
            assert "envFrom" not in each
            ours = {variable for variable in variables if variable.startswith(PREFIX)} - {CONFIG_VARIABLE}
            assert {variable.removeprefix(PREFIX).lower() for variable in ours} <= setting_fields().keys()
            assert variables["CALLSTREAM_SECRETS_DIR"] == "/run/secrets/callstream"


@pytest.mark.processes
def test_workers_are_asked_how_they_are_where_they_tell_it(everything: list[Manifest]) -> None:
    paths = {"startupProbe": "/startupz", "livenessProbe": "/livez"}
    of_itself = {"path": "/readyz", "port": "metrics"}
    of_its_service = {"path": "/v1/health/ready", "port": "https", "scheme": "HTTPS"}  # without ClickHouse, too
    for name, deployment in of_kind(everything, "Deployment").items():
        (worker,) = deployment["spec"]["template"]["spec"]["containers"]
        command, stage = worker["args"]
        assert (command, stage) == ("worker", stage_of(name.removeprefix("callstream-")))
        assert {probe: worker[probe]["httpGet"]["path"] for probe in paths} == paths
        is_served = stage in ("serve", "play")
        assert worker["readinessProbe"]["httpGet"] == (of_its_service if is_served else of_itself)
        (port,) = (each["containerPort"] for each in worker["ports"] if each["name"] == "metrics")
        environ = {entry["name"]: entry["value"] for entry in worker["env"]}
        assert environ["CALLSTREAM_METRICS_ADDRESS"] == f"0.0.0.0:{port}"
        assert load_settings({"CALLSTREAM_METRICS_ADDRESS": environ["CALLSTREAM_METRICS_ADDRESS"]})


@pytest.mark.processes
def test_a_release_begins_with_topics_bucket_and_tables_and_stops_where_one_fails(everything: list[Manifest]) -> None:
    (job,) = of_kind(everything, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    commands = [each["args"] for each in containers(pod)]
    assert commands == [["topics", "apply"], ["bucket", "apply"], ["migrate"]]
    group = typer.main.get_command(app)
    for first, *rest in commands:
        command = group.commands[first]  # type: ignore[attr-defined]  # a group of click
        (command.commands[rest.pop(0)] if rest else command).make_context(first, rest)
    # What it mounts is there before it: hooks of a lower weight, or Secrets that exist.
    (settings,) = (volume["configMap"]["name"] for volume in pod["volumes"] if volume["name"] == "settings")
    annotations = of_kind(everything, "ConfigMap")[settings]["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(annotations["helm.sh/hook-weight"]) < int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    assert "hook-failed" not in job["metadata"]["annotations"]["helm.sh/hook-delete-policy"], "its log is wanted then"


@pytest.mark.processes
def test_listen_grows_with_the_audio_that_waits(everything: list[Manifest], as_it_is: list[Manifest]) -> None:
    for name, scaled in of_kind(everything, "ScaledObject").items():
        (trigger,) = scaled["spec"]["triggers"]
        query = trigger["metadata"]["query"]
        assert set(re.findall(r"\bcallstream_\w+", query)) <= {metric.name for metric in METRICS}
        assert 'namespace="calls"' in query
        assert trigger["metricType"] == "AverageValue"
        assert trigger["metadata"]["ignoreNullValues"] == "false", "else no measure would read as nothing waits"
        assert scaled["spec"]["fallback"]["replicas"] >= 1
        assert scaled["spec"]["scaleTargetRef"]["name"] == name
        deployment = of_kind(everything, "Deployment")[name]
        assert "replicas" not in deployment["spec"], "the chart and KEDA would undo each other's"
    assert set(of_kind(everything, "ScaledObject")) == {"callstream-listen", "callstream-listen-gpu"}
    assert of_kind(as_it_is, "ScaledObject") == {}


@pytest.mark.processes
def test_a_pool_of_gpus_has_its_nodes_and_its_settings(everything: list[Manifest]) -> None:
    pod = pods(everything)["callstream-listen-gpu"]
    (worker,) = pod["containers"]
    assert worker["args"] == ["worker", "listen"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"]
    assert pod["tolerations"]
    assert {"name": "CALLSTREAM_WHISPER_DEVICE", "value": "cuda"} in worker["env"]


@pytest.mark.processes
def test_only_what_has_replicas_has_a_budget_for_disruptions(everything: list[Manifest]) -> None:
    """One of a single pod would keep a node from ever being emptied."""
    with_budget = set(of_kind(everything, "PodDisruptionBudget"))
    deployments = of_kind(everything, "Deployment")
    several = {name for name, each in deployments.items() if each["spec"].get("replicas", 2) > 1}
    assert with_budget == several


@pytest.mark.processes
def test_volumes_with_keys_outlive_the_release_and_have_one_user(everything: list[Manifest]) -> None:
    claims = of_kind(everything, "PersistentVolumeClaim")
    assert set(claims) == {f"callstream-{name}" for name, each in STAGES.items() if each.get("volumeSize")}
    assert {stage_of(name.removeprefix("callstream-")) for name in claims} == {"audit", "keep", "second_read"}
    for name, claim in claims.items():
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert of_kind(everything, "Deployment")[name]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.processes
def test_every_pod_has_a_network_policy_that_selects_it(everything: list[Manifest]) -> None:
    policies = of_kind(everything, "NetworkPolicy")
    workloads = of_kind(everything, "Deployment") | of_kind(everything, "Job")
    assert policies.keys() == workloads.keys()
    for name, policy in policies.items():
        labels = workloads[name]["spec"]["template"]["metadata"]["labels"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert all(rule["to"] for rule in policy["spec"]["egress"]), "a rule without `to` lets everything through"
        assert all(rule["from"] for rule in policy["spec"]["ingress"])


@pytest.mark.processes
def test_a_monitor_finds_the_port_of_every_worker(everything: list[Manifest]) -> None:
    (monitor,) = of_kind(everything, "PodMonitor").values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for deployment in of_kind(everything, "Deployment").values():
        template = deployment["spec"]["template"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


@pytest.mark.processes
def test_the_alert_rules_are_those_that_were_tested(everything: list[Manifest]) -> None:
    (made,) = of_kind(everything, "PrometheusRule").values()
    files = sorted((CHART.parents[1] / "prometheus" / "rules").glob("*.yaml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    assert groups
    assert made["spec"]["groups"] == groups


def test_a_pod_has_the_time_that_its_worker_may_take_to_finish() -> None:
    assert VALUES["defaults"]["terminationGracePeriodSeconds"] > load_settings({}).settings.finish_within_s


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    pyproject = (CHART.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{chart["appVersion"]}"' in pyproject
