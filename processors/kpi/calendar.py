"""The calendar of analysts as SQL: weeks, months, and which days are working days in China.

Days off and the weekends that are worked for them are announced by the State Council each November for the next year;
`chinese_calendar` has them. Of years that it does not know nobody can tell, so `is_workday` is null there.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from chinese_calendar.constants import Holiday, holidays, workdays

FIRST_YEAR = 2015
"""The calendar begins with it: no recording is older."""
YEARS_AHEAD = 3
"""So many years follow those whose days off are known."""

KNOWN_YEARS = range(min(holidays).year, max(holidays).year + 1)


def calendar_select() -> str:
    """A row per day, with the columns of `dim_calendar` in their order."""
    first, last = date(FIRST_YEAR, 1, 1), date(KNOWN_YEARS[-1] + YEARS_AHEAD, 12, 31)
    off: dict[str, list[date]] = defaultdict(list)
    for day, name in sorted(holidays.items()):
        off[name].append(day)
    chinese = {holiday.value: vars(holiday)["chinese"] for holiday in Holiday}
    zh = ", ".join(f"day IN ({_days(off[name])}), '{chinese[name]}'" for name in off)
    en = ", ".join("day IN ({}), '{}'".format(_days(off[name]), name.replace("'", "\\'")) for name in off)
    known = f"toYear(day) BETWEEN {KNOWN_YEARS[0]} AND {KNOWN_YEARS[-1]}"
    return f"""\
SELECT
    day,
    toDate32(toMonday(day)) AS week,
    toDate32(toStartOfMonth(day)) AS month,
    toDate32(toStartOfQuarter(day)) AS quarter,
    toYear(day) AS year,
    toDayOfWeek(day) AS weekday,
    CAST(weekday >= 6, 'Bool') AS is_weekend,
    CAST(if({known}, day IN ({_days(workdays)}) OR weekday < 6 AND isNull(holiday_zh), NULL), 'Nullable(Bool)')
        AS is_workday,
    multiIf({zh}, NULL) AS holiday_zh,
    multiIf({en}, NULL) AS holiday_en
FROM (SELECT arrayJoin(range({(last - first).days + 1})) + toDate32('{first}') AS day)"""  # noqa: S608 - dates


def _days(days: Iterable[date]) -> str:
    """As literals, sorted."""
    return ", ".join(f"'{day}'" for day in sorted(days))
