"""The datasets of Superset say of each KPI what the registry says."""

from processors.kpi.superset import with_kpis
from schemas.config.kpis.kpi import read_kpis
from tests.analysts.superset_bundle import BUNDLE


def test_the_kpis_in_the_datasets_are_those_of_the_registry() -> None:
    """Else: `callstream kpi superset`."""
    datasets = sorted((BUNDLE / "datasets").rglob("*.yaml"))
    assert datasets
    for path in datasets:
        text = path.read_text(encoding="utf-8")
        assert with_kpis(path.stem, text, read_kpis()) == text, path
