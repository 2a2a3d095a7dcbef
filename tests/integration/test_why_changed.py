"""The parts of a difference add up to it, on the real engine, and are those of a reference that is written as one would
explain it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from processors.kpi.why_changed import LEVELS, PARTS, why_changed_of
from streams.adapters.clickhouse.connection import connect
from tests.support.cases import every_case

pytestmark = pytest.mark.embedded

Class = tuple[str | None, ...]


@dataclass(frozen=True)
class Cell:
    """Calls that are alike in all levels: of both periods count, numerator and denominator."""

    classes: Class
    before: tuple[float, float] = (0.0, 0.0)
    after: tuple[float, float] = (0.0, 0.0)
    pending: int = 0


@dataclass(frozen=True)
class Told:
    value: float | None
    amount: float | None
    is_separable: bool


def a_cell(before: tuple[float, float] = (0, 0), after: tuple[float, float] = (0, 0), **classes: str) -> Cell:
    usual = {"late": "on time", "industry": "finance", "mix": "refund", "models": "m1", "forms": "f@1", "rules": "r@1"}
    return Cell(tuple((usual | classes)[level.part] for level in LEVELS), before, after)


@pytest.fixture(scope="module")
def client(databases: Any) -> Iterator[Client]:
    with databases.lending() as new:
        found = connect(new())
        classes = ", ".join(f"k{depth} Nullable(String)" for depth in range(len(LEVELS)))
        numbers = ", ".join(
            f"{name} Float64" for name in ("x_before", "y_before", "x_after", "y_after", "pending_after")
        )
        found.command(
            f"CREATE TABLE cells (tenant_id String, {classes}, {numbers}) ENGINE = MergeTree ORDER BY tenant_id"
        )
        yield found
        found.command("DROP TABLE cells")
        found.close()


@pytest.fixture
def told(client: Client) -> Callable[[Mapping[str, Iterable[Cell]]], dict[str, dict[tuple[str, str | None], Told]]]:
    def ask(tenants: Mapping[str, Iterable[Cell]]) -> dict[str, dict[tuple[str, str | None], Told]]:
        rows = [
            (tenant, *cell.classes, *cell.before, *cell.after, float(cell.pending))
            for tenant, cells in tenants.items()
            for cell in cells
        ]
        client.command("TRUNCATE TABLE cells")
        client.insert("cells", rows)
        cells = "SELECT *, 100. AS scale, y_before AS n_before, y_after AS n_after, 0 AS pending_before FROM cells"
        answers: dict[str, dict[tuple[str, str | None], Told]] = defaultdict(dict)
        query = f"SELECT tenant_id, part, item, value, amount, is_separable FROM ({why_changed_of(cells)})"  # noqa: S608
        for tenant, part, item, *rest in client.query(query).result_rows:
            assert (part, item) not in answers[tenant]
            answers[tenant][part, item] = Told(*rest)
        return answers

    return ask


def by_part(told: Mapping[tuple[str, str | None], Told]) -> dict[str, float]:
    parts: dict[str, float] = defaultdict(float)
    for (part, _), each in told.items():
        assert each.value is not None
        parts[part] += each.value
    return {part: value for part, value in parts.items() if abs(value) > 1e-9}


# --- the reference


def ratio(cells: Iterable[Cell], period: str) -> float:
    x, y = (sum(getattr(cell, period)[place] for cell in cells) for place in (0, 1))
    return float(x / y)


def size(cells: Iterable[Cell], period: str) -> float:
    return float(sum(getattr(cell, period)[1] for cell in cells))


def explained(cells: list[Cell], depth: int = 0, weight: float = 1.0, unclear: bool = False) -> dict[str, float]:
    """Part → what of the difference it is, before scaling."""
    parts: dict[str, float] = defaultdict(float)
    if depth == len(LEVELS):
        parts["unexplained" if unclear else "within"] += weight * (ratio(cells, "after") - ratio(cells, "before"))
        return parts
    part = LEVELS[depth].part
    classes: dict[str | None, list[Cell]] = defaultdict(list)
    for cell in cells:
        classes[cell.classes[depth]].append(cell)
    both = {
        name: each
        for name, each in classes.items()
        if size(each, "before") > 0 and size(each, "after") > 0 and not (part == "late" and name == "late")
    }
    alike = [cell for each in both.values() for cell in each]
    if any(size(alike, period) < 0.2 * size(cells, period) for period in ("before", "after")):
        below = explained(cells, depth + 1, weight, unclear or part != "late")
        for name, value in below.items():
            parts[name] += value
        return parts
    parts[part] += weight * (ratio(cells, "after") - ratio(alike, "after"))
    parts[part] -= weight * (ratio(cells, "before") - ratio(alike, "before"))
    for each in both.values():
        shares = {period: size(each, period) / size(alike, period) for period in ("before", "after")}
        mean = (ratio(each, "before") + ratio(each, "after")) / 2
        parts[part] += weight * (shares["after"] - shares["before"]) * mean
        share = (shares["before"] + shares["after"]) / 2
        for name, value in explained(each, depth + 1, weight * share, unclear).items():
            parts[name] += value
    return parts


def random_cells(chance: Random) -> list[Cell]:
    """A few classes at each level, some of them in one period alone, some empty, of very different sizes."""
    cells: dict[Class, Cell] = {}
    for _ in range(chance.randrange(2, 25)):
        classes = tuple(
            chance.choice(("late", "on time", "on time") if level.part == "late" else "abc"[: chance.randrange(1, 4)])
            for level in LEVELS
        )
        sides = []
        for _ in ("before", "after"):
            y = chance.choice((0.0, 1.0, chance.uniform(1, 1_000), chance.uniform(1, 1e6)))
            sides.append((y * chance.choice((0.0, 1.0, chance.random())), y))
        cells[classes] = Cell(classes, sides[0], sides[1])
    cells[("on time",) + ("a",) * 5] = Cell(("on time",) + ("a",) * 5, (chance.random(), 1.0), (chance.random(), 1.0))
    return list(cells.values())


def test_the_parts_add_up_to_the_difference_and_are_those_of_the_reference(told: Any) -> None:
    tenants = {f"t{seed}": random_cells(Random(seed)) for seed in range(80)}
    answers = told(tenants)
    assert answers.keys() == tenants.keys()
    seen: set[str] = set()
    for tenant, cells in tenants.items():
        found = answers[tenant]
        difference = 100 * (ratio(cells, "after") - ratio(cells, "before"))
        assert sum(each.value for each in found.values()) == pytest.approx(difference, abs=1e-11), tenant
        amounts = sum(cell.after[0] for cell in cells) - sum(cell.before[0] for cell in cells)
        assert sum(each.amount for each in found.values()) == pytest.approx(amounts, rel=1e-12, abs=1e-6), tenant
        expected = {name: 100 * value for name, value in explained(cells).items() if abs(value) > 1e-11}
        assert by_part(found) == pytest.approx(expected, abs=1e-8), tenant
        seen |= expected.keys()
    assert seen == set(PARTS) - {"volume"}, "the cells do not try every part"


CHANGES: Mapping[str, tuple[list[Cell], dict[str, float]]] = {
    "as many more calls move no ratio": (
        [a_cell((10, 100), (200, 1_000))],
        {"within": 10.0},
    ),
    "harder calls, each as well handled as before": (
        [a_cell((50, 50), (25, 25), mix="easy"), a_cell((0, 50), (0, 75), mix="hard")],
        {"mix": -25.0},
    ),
    "one better, one worse by as much": (
        [a_cell((40, 50), (30, 50), mix="easy"), a_cell((20, 50), (30, 50), mix="hard")],
        {},
    ),
    "half of the calls are judged by a rule that is new": (
        [a_cell((90, 100), (90, 100)), a_cell((0, 0), (0, 100), rules="r@2")],
        {"rules": -45.0},
    ),
    "new rules from the first day on: nobody can tell them from a real change": (
        [a_cell((90, 100)), a_cell((0, 0), (60, 100), rules="r@2")],
        {"unexplained": -30.0},
    ),
    "what came late is left out before the rest is compared": (
        [a_cell((90, 100), (80, 100)), a_cell((0, 0), (0, 100), late="late")],
        {"late": -40.0, "within": -10.0},
    ),
    "a period that was stored late as a whole is compared as it is": (
        [a_cell((90, 100), late="late"), a_cell((0, 0), (80, 100))],
        {"within": -10.0},
    ),
    "an industry that is gone": (
        [a_cell((90, 100), (90, 100)), a_cell((10, 100), (0, 0), industry="education")],
        {"industry": 40.0},
    ),
    "another recogniser for some calls, another form for others": (
        [
            a_cell((90, 100), (80, 100)),
            a_cell((0, 0), (20, 100), models="m2"),
            a_cell((0, 0), (4, 10), forms="f@2"),
        ],
        {"models": 100 * (104 / 210 - 84 / 110), "forms": 100 * (84 / 110 - 0.8), "within": -10.0},
    ),
}


def test_what_changed_is_named(told: Any) -> None:
    answers = told({name: cells for name, (cells, _) in CHANGES.items()})
    with every_case() as cases:
        for name, (_, expected) in CHANGES.items():
            with cases.case(name):
                assert by_part(answers[name]) == pytest.approx(expected)


def test_what_the_parts_say_beside_their_value(told: Any) -> None:
    withheld = Cell(a_cell().classes, (50, 100), (5, 10), pending=90)
    found = told(
        {
            "more": [a_cell((10, 100), (20, 200))],
            "new rules": [a_cell((90, 100)), a_cell((0, 0), (60, 100), rules="r@2")],
            "pending": [withheld],
            "gone": [a_cell((50, 100))],
        }
    )
    assert found["more"]["volume", None].amount == pytest.approx(10)
    assert sum(each.value for each in found["more"].values()) == 0
    assert {each.amount for (part, _), each in found["more"].items() if part != "volume"} == {0}
    assert {part for (part, _), each in found["new rules"].items() if not each.is_separable} == {"rules"}
    assert {(each.value, each.amount) for each in found["pending"].values()} == {(None, None)}
    assert "gone" not in found, "a tenant without calls in one of the periods has no difference"
