"""`callstream retain`, `hold` and `release`: what is due, what holds it, and who lets go."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from processors.custody.authorization import ACTIONS, Actor, Grant
from processors.custody.holds import CustomerScope
from processors.custody.listed_call import ListedCall
from processors.custody.retention import Keep, terms_of
from schemas.config.retention import read_retention_policy
from schemas.errors import RetryableError
from streams import purging
from streams.adapters.register.holds import RegisterCaseList, RegisterCases
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.retentions import KeepDecision, RegisterRetentions
from streams.cli.command_settings import command_settings
from streams.cli.hold import desk
from streams.cli.main import app
from streams.ports import CallKey, SystemClock
from streams.queries.exchange_list import ListIfItAnswers
from streams.stages.holding import Asking, Holding
from tests.support.holding import ListedEntries

ENDED_AT = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
NUMBER = "13812345678"
SECRET = "s" * 32


@dataclass
class Exchange:
    """`ExchangeList` in memory."""

    calls: dict[CallKey, ListedCall] = field(default_factory=dict)
    answers: bool = True

    def among(self, calls: Collection[CallKey]) -> Mapping[CallKey, ListedCall]:
        self._answer()
        return {call: self.calls[call] for call in calls if call in self.calls}

    def of_customers(self, tenant_id: str, customers: Collection[CustomerScope]) -> frozenset[str]:
        self._answer()
        keys = {key for one in customers for key in one.keys}
        return frozenset(call for (of, call), one in self.calls.items() if of == tenant_id and one.customer_keys & keys)

    def close(self) -> None: ...

    def _answer(self) -> None:
        if not self.answers:
            raise RetryableError("ClickHouse does not answer")


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.fixture(autouse=True)
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: Exchange) -> Iterator[Register]:
    """Whoever runs a command may do all of it; the audit log is in memory."""
    monkeypatch.setenv("CALLSTREAM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CALLSTREAM_CUSTOMER_KEY_SECRET", SECRET)
    register = Register(sqlite_url(tmp_path / "register" / "register.db"))
    migrate_register(register)
    clock, entries = SystemClock(), ListedEntries()
    cases = RegisterCases(register, clock, entries, lambda _calls: frozenset())
    actor = Actor("li", (Grant("administrator", "*", frozenset(ACTIONS)),))

    @contextmanager
    def open_desk(ticket: str | None = None) -> Iterator[desk.Desk]:
        holding = Holding(cases, RegisterRetentions(register, clock), entries, clock)
        asking, listed = Asking(actor, "cli", ticket), ListIfItAnswers(exchange)
        yield desk.Desk(command_settings(), holding, asking, RegisterCaseList(register), listed)

    monkeypatch.setattr(desk, "open_desk", open_desk)
    monkeypatch.setattr(purging, "listed_from", lambda _settings: exchange)
    yield register
    register.close()


def decide(register: Register, call_id: str, of_class: str, **more: str | None) -> None:
    classes = [one for one in read_retention_policy().classes if one.id == of_class]
    command = Keep(*terms_of(classes, 2, ENDED_AT, "capture"))
    RegisterRetentions(register, SystemClock()).decide([KeepDecision("acme", call_id, ENDED_AT, command, **more)])


def run(*arguments: str, typed: str | None = None) -> Result:
    result = CliRunner().invoke(app, list(arguments), input=typed)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def planned(*arguments: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(run("retain", "plan", "--json", *arguments).stdout)
    return found


def test_the_plan_says_what_would_go_why_and_when_and_what_is_held(register: Register) -> None:
    decide(register, "c1", "general")
    decide(register, "c2", "finance")
    decide(register, "c3", "general")
    assert run("hold", "open", "k-1", "--tenant", "acme", "--reason", "lawsuit", "--call", "c3").exit_code == 0
    assert planned("--until", "2026-08-28")["calls"] == []
    plan = planned("--until", "2026-12-31")
    assert [(one["call_id"], one["on"], one["action"], one["held_by"]) for one in plan["calls"]] == [
        ("c1", "2026-08-29", "delete", []),
        ("c3", "2026-08-29", "delete", ["k-1"]),
    ]
    assert plan["calls"][0]["reason"] == "retention_over"
    assert plan["counts"] == [
        {"what": "delete", "retention_class": "general", "calls": 1},
        {"what": "held", "retention_class": "general", "calls": 1},
    ]
    text = run("retain", "plan", "--until", "2026-12-31").stdout
    assert "acme/c3" in text
    assert "k-1" in text
    assert "held: 1 of class general" in text
    assert "nothing is due" in run("retain", "plan", "--tenant", "other", "--until", "2026-12-31").stdout


def test_a_case_of_a_customer_whose_number_nobody_sees(register: Register) -> None:
    key = command_settings().customer_keys.of("acme", NUMBER)
    decide(register, "c1", "general", customer_key=key)
    opened = run(
        *("hold", "open", "k-1", "--tenant", "acme", "--reason", "lawsuit", "--customer", "-"), typed=f"{NUMBER}\n"
    )
    assert opened.exit_code == 0, opened.output
    assert NUMBER not in opened.output
    shown = json.loads(run("hold", "show", "k-1", "--tenant", "acme", "--json").stdout)
    assert (shown["state"], shown["customers"], shown["held"]) == ("open", 1, ["c1"])
    assert json.loads(run("hold", "list", "--json").stdout)[0]["case_id"] == "k-1"
    assert "k-1" in run("hold", "list").stdout
    assert run("release", "k-1", "--tenant", "acme", "--reason", "settled").stdout == "case k-1 is released\n"
    assert run("release", "k-1", "--tenant", "acme", "--reason", "settled").stdout == "case k-1 was released before\n"
    assert json.loads(run("hold", "list", "--json").stdout) == []


def test_a_case_holds_what_the_exchanges_list_alone_calls_the_customers(register: Register, exchange: Exchange) -> None:
    key = command_settings().customer_keys.of("acme", NUMBER)
    decide(register, "c1", "general", customer_key=key)
    decide(register, "c2", "general")
    exchange.calls = {("acme", call): ListedCall(frozenset({key}), ENDED_AT) for call in ("c1", "c2", "c3")}
    opened = run("hold", "open", "k-1", "--tenant", "acme", "--reason", "lawsuit", "--customer", NUMBER)
    assert "1 call(s) are known by their own events, and 2 by the exchange's list alone" in opened.stdout
    shown = json.loads(run("hold", "show", "k-1", "--tenant", "acme", "--json").stdout)
    assert (shown["held"], shown["by_list_alone"]) == (["c1", "c2", "c3"], 2)
    assert {one["call_id"]: one["held_by"] for one in planned("--until", "2026-12-31")["calls"]} == {
        "c1": ["k-1"],
        "c2": ["k-1"],
    }
    assert json.loads(run("retain", "show", "c2", "--tenant", "acme", "--json").stdout)["held_by"] == ["k-1"]


def test_without_an_answer_of_the_list_a_case_is_opened_all_the_same(register: Register, exchange: Exchange) -> None:
    exchange.answers = False
    decide(register, "c1", "general")
    opened = run("hold", "open", "k-1", "--tenant", "acme", "--reason", "lawsuit", "--customer", NUMBER)
    assert "an unknown number by the exchange's list" in opened.stdout
    for shown in (
        opened,
        run("hold", "show", "k-1", "--tenant", "acme", "--json"),
        run("retain", "plan", "--until", "2026-12-31", "--json"),
        run("retain", "show", "c1", "--tenant", "acme", "--json"),
    ):
        assert shown.exit_code == 0
        assert "are held all the same: ClickHouse does not answer" in shown.stderr


def test_the_end_of_a_contract_is_told(register: Register) -> None:
    decide(register, "c1", "insurance_sale", contract_id="p-1")
    shown = json.loads(run("retain", "show", "c1", "--tenant", "acme", "--json").stdout)
    assert (shown["waits_for"], shown["due_on"]) == (["contract_ended"], None)
    told = run("retain", "event", "contract_ended", "2027-01-31", "--tenant", "acme", "--contract", "p-1")
    assert told.stdout == "1 of 1 call(s) are kept by it from now on\n"
    shown = json.loads(run("retain", "show", "c1", "--tenant", "acme", "--json").stdout)
    assert (shown["retention_class"], shown["decided_by"], shown["due_on"]) == ("insurance_sale", "event", "2037-01-28")
    assert "due_on: 2037-01-28" in run("retain", "show", "c1", "--tenant", "acme").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("retain", "show", "c9", "--tenant", "acme"), "nothing is known", id="an unknown call"),
        pytest.param(("hold", "show", "k-9", "--tenant", "acme"), "acme has no case k-9", id="an unknown case"),
        pytest.param(
            ("retain", "event", "contract_ended", "2027-01-31", "--tenant", "acme"), "either --call", id="of nothing"
        ),
        pytest.param(
            ("hold", "open", "k 1", "--tenant", "acme", "--reason", "x", "--call", "c1"), "letters, digits", id="case"
        ),
        pytest.param(
            ("hold", "extend", "k1", "--tenant", "acme", "--call", "c1", "--from", "2026-01-01"),
            "go with --customer",
            id="span",
        ),
    ],
)
def test_what_cannot_be_is_said(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert sentence in result.output
