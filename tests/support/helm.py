"""The chart of `deploy/helm` as Helm makes it, and what it is held against."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.contracts.s3_server import ServerUnavailableError, binary_of

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "deploy" / "helm" / "callstream"
HELM_MODULE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
CUSTOM_KINDS = REPOSITORY / "tests" / "data" / "kubernetes"
"""Schemas of custom kinds: KEDA 2.21.0 and the Prometheus Operator's API 0.95.2, made from their CRDs. Descriptions are
left out, unknown fields refused."""

Manifest = Mapping[str, Any]


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it; skips the test where there is none and none can be built."""
    try:
        program = binary_of("helm", HELM_MODULE, "HELM_BINARY")
    except ServerUnavailableError as error:
        pytest.skip(str(error))
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)


def rendered(values: Mapping[str, object] | None = None, *, folder: Path) -> list[Manifest]:
    """What Helm makes of the chart with these values over its own, in the namespace `calls`."""
    file = folder / "values.json"
    file.write_text(json.dumps(values or {}), encoding="utf-8")
    options = ["--namespace", "calls", "--kube-version", "1.31.0", "--values", str(file)]
    done = helm("template", "callstream", str(CHART), *options)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def of_kind(manifests: Iterable[Manifest], kind: str) -> dict[str, Manifest]:
    """Name → manifest."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def require_valid(manifest: Manifest, kubernetes: str) -> None:
    """By the schema of that version of Kubernetes, or of the custom kind; what is in neither fails."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    custom = CUSTOM_KINDS / group / f"{manifest['kind'].lower()}_{version}.json"
    if custom.is_file():
        jsonschema.validate(manifest, json.loads(custom.read_text(encoding="utf-8")))
    else:
        kubernetes_validate.validate(manifest, kubernetes, strict=True)
