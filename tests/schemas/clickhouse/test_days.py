"""Days of tenants as SQL; that they are those of the clock, tests/integration/test_days.py tries on the engine."""

from schemas.clickhouse.days import by_zone, clock, day, with_days
from schemas.clickhouse.views import load_views
from schemas.config.tenants import TenantDays

ALIKE = TenantDays("Asia/Shanghai")
APART = TenantDays("Asia/Shanghai", {"acme": "Europe/London", "bolt": "America/New_York", "cord": "Europe/London"})


def test_with_one_zone_there_is_nothing_to_choose() -> None:
    assert day(ALIKE, "ended_at") == "toDate32(ended_at, 'Asia/Shanghai')"


def test_tenants_of_one_zone_share_an_expression() -> None:
    assert by_zone(APART, lambda zone: zone) == (
        "multiIf(tenant_id IN ('bolt'), 'America/New_York', tenant_id IN ('acme', 'cord'), 'Europe/London', "
        "'Asia/Shanghai')"
    )


def test_placeholders_of_views_become_sql() -> None:
    text = "{{day coalesce(ended_at, since)}} AS day, {{clock at}} AS at_local {{on_cluster}}"
    made = f"{day(APART, 'coalesce(ended_at, since)')} AS day, {clock(APART, 'at')} AS at_local {{{{on_cluster}}}}"
    assert with_days(text, APART) == made


def test_no_view_takes_a_day_of_utc() -> None:
    """`toDate(ended_at)` would be one: every day in a view is made of the zone of the tenant."""
    for name, sql in load_views(days=APART).items():
        for found in ("toDate(", "toStartOfDay(", "toYYYYMMDD("):
            assert found not in sql, name
        if " AS day" in sql:
            assert sql.count("toDate32(") % 3 == 0, name  # as many as there are zones
