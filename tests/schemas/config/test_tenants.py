"""What differs between tenants: zones and bands, and what cannot be meant is refused with its line."""

from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schemas.config.tenants import DurationBand, TenantDays, TenantsError, read_tenants

FILE = """\
version: 1
tenants:
  - id: acme
    timezone: America/New_York
  - id: bolt
    timezone: Asia/Shanghai
    duration_band: {min_s: 60, max_s: 240}
industries:
  - id: medical
    duration_band: {min_s: 300, max_s: 900}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tenants.yaml"
    file.write_text(FILE, encoding="utf-8")
    return file


def test_without_a_file_all_tenants_are_alike() -> None:
    days = TenantDays.of("Asia/Shanghai", read_tenants(None))
    assert (days.others, days.zones) == ({}, (ZoneInfo("Asia/Shanghai"),))
    assert read_tenants(None).duration_band("acme", "general") is None


def test_a_tenant_has_the_weight_of_all_others_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text("version: 1\ntenants:\n  - {id: acme, weight: 2.5}\n  - {id: bolt}\n", encoding="utf-8")

    tenants = read_tenants(file)

    assert [tenants.weight(tenant) for tenant in ("acme", "bolt", "other")] == [2.5, 1, 1]
    file.write_text("version: 1\ntenants:\n  - {id: acme, weight: 0}\n", encoding="utf-8")
    with pytest.raises(TenantsError, match=r"tenant acme, field tenants\.0\.weight"):
        read_tenants(file)


def test_a_tenant_has_its_zone_and_all_others_the_usual_one(file: Path) -> None:
    days = TenantDays.of("Asia/Shanghai", read_tenants(file))
    assert days.others == {"acme": "America/New_York"}
    moment = datetime.fromisoformat("2026-03-01T03:30:00+00:00")
    assert days.day_of(moment, "acme") == date(2026, 2, 28)
    assert days.day_of(moment, "bolt") == days.day_of(moment, None) == date(2026, 3, 1)
    assert days.first_start(date(2026, 3, 1)) == datetime.fromisoformat("2026-03-01T00:00:00+08:00")
    assert days.last_start(date(2026, 3, 1)) == datetime.fromisoformat("2026-03-01T00:00:00-05:00")


def test_the_band_of_a_tenant_goes_before_that_of_the_industry(file: Path) -> None:
    tenants = read_tenants(file)
    assert tenants.duration_band("bolt", "medical") == DurationBand(min_s=60, max_s=240)
    assert tenants.duration_band("acme", "medical") == DurationBand(min_s=300, max_s=900)
    assert tenants.duration_band("acme", "finance") is None


def test_claims_are_adopted_by_pack_or_by_name_and_a_tenants_own_list_goes_before_that_of_all(tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    file.write_text(
        "version: 1\nclaims: [finance]\ntenants:\n  - id: acme\n    claims: [ecommerce.warranty]\n  - id: bolt\n",
        encoding="utf-8",
    )
    tenants = read_tenants(file)
    assert tenants.adopts("bolt", "finance", "annual_return")
    assert tenants.adopts("acme", "ecommerce", "warranty")
    assert not tenants.adopts("acme", "ecommerce", "shipping")
    assert not tenants.adopts("acme", "finance", "annual_return")
    assert not read_tenants(None).adopts("acme", "finance", "annual_return")
    assert tenants.adopted_claims() == {"finance", "ecommerce.warranty"}


def test_the_example_can_be_read() -> None:
    tenants = read_tenants(Path(__file__).parents[3] / "deploy" / "tenants.example.yaml")
    assert tenants.duration_band("acme-us", "medical") == DurationBand(min_s=180, max_s=900)


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        pytest.param(
            "America/New_York",
            "Mars/Base",
            "4: tenant acme, field tenants.0.timezone",
            "must be a time zone",
            id="no zone",
        ),
        pytest.param(
            "    timezone: Asia/Shanghai", "    claims: [Finance]", "6: tenant bolt", "pattern", id="no name of a claim"
        ),
        pytest.param("min_s: 60", "min_s: 240", "7: tenant bolt", "min_s must be less than max_s", id="no width"),
        pytest.param(
            "duration_band: {min_s: 60, max_s: 240}",
            "reading: {weights: models/bolt}",
            "7: tenant bolt, field tenants.1.reading.weights",
            "must begin with /",
            id="a folder that is somewhere else for each worker",
        ),
        pytest.param(
            "duration_band: {min_s: 60, max_s: 240}",
            "reading: {suspect_from: 0.4}",
            "7: tenant bolt",
            "suspect_from or alert_from goes together with model",
            id="a threshold of heads that nobody knows",
        ),
        pytest.param("id: bolt", "id: acme", "", "tenant acme occurs twice", id="a tenant twice"),
        pytest.param(
            "    duration_band: {min_s: 300",
            "    band: {min_s: 300",
            "industry medical",
            "field required",
            id="a slip of the pen",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(file: Path, old: str, new: str, where: str, what: str) -> None:
    file.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(TenantsError) as error:
        read_tenants(file)
    assert any(where in problem and what in problem for problem in error.value.problems), error.value.problems


@pytest.mark.parametrize("name", ["localtime", "right/Asia/Shanghai", "posix/Asia/Shanghai", "Factory", "Etc/GMT-15"])
def test_a_zone_that_is_another_elsewhere_is_refused(file: Path, name: str) -> None:
    """The engine does not know them, they are those of one machine, or count leap seconds."""
    file.write_text(FILE.replace("America/New_York", name), encoding="utf-8")
    with pytest.raises(TenantsError, match="must be a time zone"):
        read_tenants(file)


def test_a_day_begins_where_it_begins_also_without_a_midnight() -> None:
    days = TenantDays("Pacific/Kiritimati", {"baker": "Etc/GMT+12", "santiago": "America/Santiago"})
    assert days.day_of(datetime.fromisoformat("2025-09-07T04:00:00+00:00"), "santiago") == date(2025, 9, 7)
    assert days.day_of(datetime.fromisoformat("2025-09-07T03:59:59+00:00"), "santiago") == date(2025, 9, 6)
    leap = date(2024, 2, 29)
    assert days.first_start(leap) == datetime.fromisoformat("2024-02-28T10:00:00+00:00")
    assert days.last_start(leap) == datetime.fromisoformat("2024-02-29T12:00:00+00:00")
    assert days.day_of(days.last_start(leap), "acme") == date(2024, 3, 1)
