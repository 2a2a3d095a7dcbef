"""The semantic model: what dbt's own reader and rules say of it, and that nothing of the registry is lost."""

from typing import Any

import pytest
import yaml
from dbt_semantic_interfaces.implementations.metric import PydanticMetric
from dbt_semantic_interfaces.implementations.node_relation import PydanticNodeRelation
from dbt_semantic_interfaces.implementations.project_configuration import PydanticProjectConfiguration
from dbt_semantic_interfaces.implementations.semantic_manifest import PydanticSemanticManifest
from dbt_semantic_interfaces.implementations.semantic_model import PydanticSemanticModel
from dbt_semantic_interfaces.transformations.semantic_manifest_transformer import PydanticSemanticManifestTransformer
from dbt_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator

from processors.kpi.semantic import SEMANTIC_FILE, TIME_SPINE_MODEL, SemanticNameError, semantic_files
from schemas.config.kpis.kpi import KpiRegistry, read_kpis

REGISTRY = read_kpis()
FILES = semantic_files(REGISTRY, 7, "callstream")
CONTENT: dict[str, Any] = yaml.safe_load(FILES[SEMANTIC_FILE])
METRICS = {metric["name"]: metric for metric in CONTENT["metrics"]}


def manifest() -> PydanticSemanticManifest:
    """As dbt makes it of the file: `model: ref(…)` becomes the place of the table."""
    models = []
    for model in CONTENT["semantic_models"]:
        place = PydanticNodeRelation(alias=model["model"].split("'")[1], schema_name="analytics")
        models.append(PydanticSemanticModel.parse_obj({**model, "node_relation": place}))
    (spine,) = CONTENT["models"]
    primary = {"name": spine["time_spine"]["standard_granularity_column"], "time_granularity": "day"}
    configuration = PydanticProjectConfiguration.parse_obj(
        {
            "time_spine_table_configurations": [],
            "time_spines": [
                {"node_relation": {"alias": spine["name"], "schema_name": "analytics"}, "primary_column": primary}
            ],
        }
    )
    metrics = [PydanticMetric.parse_obj(metric) for metric in CONTENT["metrics"]]
    return PydanticSemanticManifest(semantic_models=models, metrics=metrics, project_configuration=configuration)


def test_it_keeps_every_rule_of_dbt() -> None:
    made = PydanticSemanticManifestTransformer.transform(manifest())
    found = SemanticManifestValidator[PydanticSemanticManifest]().validate_semantic_manifest(made)
    assert [issue.as_readable_str() for issue in found.all_issues] == []
    assert {metric.name for metric in made.metrics} > METRICS.keys()


def test_every_kpi_is_a_metric_or_is_named_as_left_out() -> None:
    left_out = {
        *("response_delay_p90", "time_to_solution", "late_refunds", "satisfaction_match", "alerts", "lift"),
        *(
            "lift_by_people",
            "selection_lift_by_people",
            "satisfaction_match_by_people",
            "satisfaction_within_10_by_people",
        ),
    }
    assert {kpi.id for kpi in REGISTRY.kpis} - METRICS.keys() == left_out
    head = FILES[SEMANTIC_FILE].split("version:")[0]
    assert all(name in head for name in left_out)


def test_a_ratio_is_a_ratio_and_what_is_pending_is_withheld() -> None:
    assert METRICS["greeting"]["type"] == "ratio"
    assert METRICS["recording_completeness"]["type"] == "ratio"
    withheld = METRICS["first_contact_resolution"]
    assert (withheld["type"], METRICS["first_contact_resolution_so_far"]["type"]) == ("derived", "ratio")
    assert withheld["type_params"]["expr"] == (
        "if(first_contact_resolution_decided >= 9 * first_contact_resolution_pending, "
        "first_contact_resolution_so_far, NULL)"
    )
    kinds = {metric["type"] for name, metric in METRICS.items() if name != "calls"}
    assert kinds == {"ratio", "derived"}


def test_every_model_that_is_named_has_a_file() -> None:
    named = {model["model"].split("'")[1] for model in CONTENT["semantic_models"]} | {TIME_SPINE_MODEL}
    assert {f"{name}.sql" for name in named} | {SEMANTIC_FILE} == FILES.keys()


@pytest.mark.parametrize("name", ["two__lines", "week", "calls", "ends_"])
def test_a_name_that_dbt_has_no_room_for_is_refused(name: str) -> None:
    kpi = REGISTRY.ratios[0].model_copy(update={"id": name})
    with pytest.raises(SemanticNameError, match=f"KPI {name}: "):
        semantic_files(KpiRegistry(version=1, kpis=(kpi,)), 7, "callstream")
