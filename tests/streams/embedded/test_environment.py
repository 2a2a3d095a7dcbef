"""What a child process finds in its environment: what its stage needs, and no secret of another."""

import ast
import inspect
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest
from pydantic import SecretStr

from streams import analysis, wiring
from streams.adapters.clickhouse import history
from streams.adapters.kafka import alert_source, client, faust_source
from streams.adapters.object_store import from_settings
from streams.embedded.environment import handed_on
from streams.embedded.stack import worker_spec
from streams.runtime import worker_context
from streams.settings import (
    COMMANDS,
    EVERY_WORKER,
    Settings,
    group_of,
    load_settings,
    setting_fields,
    setting_groups,
    setting_models,
    variable_of,
)
from streams.topology import WORKER_NAMES, WORKERS, worker_stage

SECRETS = sorted(
    name for model in setting_models() for name, field in model.model_fields.items() if field.annotation is SecretStr
)
KAFKA, CLICKHOUSE, S3, SPEECH = "kafka_sasl_password", "clickhouse_url", "s3_secret_key", "speech_api_key"
KAFKA_KEY = "kafka_ssl_key_password"
ARCHIVE = "archive_s3_secret_key"
REGISTER = "register_url"
MAY_HAVE = {
    "listen": {KAFKA, S3, SPEECH, REGISTER, "audio_keys", "transcript_keys"},
    "receive": {KAFKA, S3, REGISTER, "received_keys", "transcript_keys"},
    "judge": {KAFKA, CLICKHOUSE, REGISTER},
    "heal": {KAFKA, CLICKHOUSE, S3, REGISTER, "transcript_keys"},
    "sweep": {KAFKA, S3, REGISTER},
    "relay": {KAFKA, REGISTER},
    "audit": {KAFKA, CLICKHOUSE, S3, REGISTER, "audit_checkpoint_url", "audit_checkpoint_secret"},
    "store": {KAFKA, CLICKHOUSE, REGISTER},
    "watch": {KAFKA, CLICKHOUSE, REGISTER},
    "rollup": {CLICKHOUSE, REGISTER},
    "observe": {KAFKA, CLICKHOUSE, REGISTER},
    "notify": {KAFKA, REGISTER},
    "keep": {KAFKA, CLICKHOUSE, "clickhouse_keeper_url", S3, ARCHIVE, REGISTER, "audio_keys", "transcript_keys"},
    "play": {CLICKHOUSE, S3, ARCHIVE, REGISTER, "audio_keys", "transcript_keys"},
}


@pytest.mark.parametrize("stage", MAY_HAVE)
def test_a_worker_is_given_the_secrets_of_what_it_asks_and_no_others(stage: str) -> None:
    assert {CLICKHOUSE, S3, KAFKA, "customer_key_secret"} <= set(SECRETS)
    given = worker_spec(stage, 0, Settings(), restart=False).env
    both_of_kafka = {KAFKA, KAFKA_KEY} if KAFKA in MAY_HAVE[stage] else set()
    assert {name for name in SECRETS if variable_of(name) in given} == MAY_HAVE[stage] | both_of_kafka
    assert variable_of("rules_private_key_file") not in given
    assert (variable_of("subscriptions_file") in given) is (stage in ("notify", "observe"))


def test_no_secret_is_given_to_every_worker() -> None:
    assert [name for name in SECRETS if group_of(name) == EVERY_WORKER] == []


def test_every_group_is_needed_by_a_stage_and_every_group_that_one_needs_is_there() -> None:
    needed = {group for stage in WORKERS for group in stage.setting_groups}
    assert needed | {EVERY_WORKER, COMMANDS} == setting_groups().keys()
    assert sorted(name for names in setting_groups().values() for name in names) == sorted(setting_fields())


def test_a_worker_finds_in_its_environment_what_was_set_for_it() -> None:
    settings = load_settings({"CALLSTREAM_RETRY_MAX_WAIT_S": "7", "CALLSTREAM_SURGE_RATIO": "2.5"}).settings
    told = load_settings(worker_spec("watch", 0, settings, restart=False).env).settings
    assert (told.retry_max_wait_s, told.surge_ratio) == (7, 2.5)


class TestWhatIsReadIsGiven:
    """A setting that a worker reads and was not given would be its default, without a word."""

    @pytest.mark.parametrize("stage", WORKER_NAMES)
    def test_by_the_file_of_the_stage_and_what_it_calls_of_the_wiring(self, stage: str) -> None:
        tree = ast.parse(inspect.getsource(resolve_name(worker_stage(stage).builder.partition(":")[0])))
        read = set(settings_read(tree)) | {name for called in wiring_of(tree) for name in settings_read(called)}
        assert read or stage == "play", "each but play, whose file hands its settings on, reads some"
        assert {name: group_of(name) for name in read if not is_given(stage, name)} == {}

    def test_by_what_all_workers_run(self) -> None:
        sources = [Path(inspect.getfile(worker_context)).parent / "worker_context.py", Path("streams/worker.py")]
        for source in sources:
            read = set(settings_read(ast.parse((Path(__file__).parents[3] / source).read_text(encoding="utf-8"))))
            assert {group_of(name) for name in read} <= {EVERY_WORKER}

    @pytest.mark.parametrize(
        ("module", "groups"),
        [
            pytest.param(client, {"Kafka"}, id="Kafka"),
            pytest.param(faust_source, {"Kafka"}, id="Faust"),
            pytest.param(alert_source, {"Kafka"}, id="alerts"),
            pytest.param(history, {"ClickHouse", "judging", "baselines"}, id="what is known of other calls"),
            pytest.param(from_settings, {"object store", "archive"}, id="object store"),
        ],
    )
    def test_by_adapters(self, module: ModuleType, groups: set[str]) -> None:
        read = set(settings_read(ast.parse(inspect.getsource(module))))
        assert {group_of(name) for name in read} <= groups | {EVERY_WORKER}


def is_given(stage: str, name: str) -> bool:
    return group_of(name) in (EVERY_WORKER, *worker_stage(stage).setting_groups)


PROPERTIES = {
    "engine": "speech_engine",
    "object_store": "store_kind",
    "merged_sounds": "sound_mergers",
    "pii_keep_last_by_kind": "pii_keep_last",
}
"""Of `Settings` → the setting that it is made of."""


def settings_read(tree: ast.AST) -> Iterator[str]:
    """Names of the settings that are read as `settings.NAME`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2].strip("_") == "settings":
            name = PROPERTIES.get(node.attr, node.attr)
            if name in setting_fields():
                yield name


def wiring_of(tree: ast.AST) -> Iterable[ast.AST]:
    """The functions of `streams.wiring` and `streams.analysis` that are called there, and those that these call."""
    functions = {
        node.name: node
        for module in (wiring, analysis)
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.FunctionDef)
    }
    found: dict[str, ast.AST] = {}
    left = [tree]
    while left:
        for node in ast.walk(left.pop()):
            if isinstance(node, ast.Name) and node.id in functions and node.id not in found:
                found[node.id] = functions[node.id]
                left.append(functions[node.id])
    return found.values()


ENVIRONMENT = {
    "PATH": "/bin",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/srv",
    "https_proxy": "http://proxy:3128",
    "AWS_SECRET_ACCESS_KEY": "of the shell",
    "HOOK_SECRET": "of a subscriber",
    "HF_TOKEN": "of the hub",
    "CALLSTREAM_CLICKHOUSE_URL": "with its password",
}
OF_THE_SYSTEM = {"PATH", "LC_ALL", "PYTHONPATH", "https_proxy"}


@pytest.mark.parametrize(
    ("stage", "more"),
    [
        pytest.param("listen", {"HF_TOKEN"}, id="listen"),
        pytest.param("judge", set(), id="judge"),
        pytest.param("notify", {"AWS_SECRET_ACCESS_KEY", "HOOK_SECRET", "HF_TOKEN"}, id="notify"),
    ],
)
def test_other_variables_go_to_who_needs_them_and_settings_to_nobody(stage: str, more: set[str]) -> None:
    spec = worker_spec(stage, 0, Settings(), restart=False)
    assert handed_on(ENVIRONMENT, spec.variables).keys() == OF_THE_SYSTEM | more
    assert handed_on(ENVIRONMENT).keys() == OF_THE_SYSTEM


def test_what_is_handed_on_of_a_real_environment_finds_programs() -> None:
    assert handed_on(os.environ)["PATH"] == os.environ["PATH"]
