"""`callstream search`: options, errors, table, JSON; and a phone number that never reaches ClickHouse."""

import csv
import io
import json
import os
import pwd
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from openpyxl import load_workbook
from sqlalchemy import select

from processors.custody.customer_keys import CustomerKeys
from schemas.messages.call_ended import Role
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.register.register import Register
from streams.adapters.register.saved_searches import RegisterSavedSearches
from streams.adapters.register.tables import saved_searches
from streams.cli.console.access import account
from streams.ports import SystemClock
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import NO_REGISTER, accesses, register_of
from tests.support.clickhouse_engine import RunningEngine
from tests.support.stored_calls import KEY, PHONE, RICH, SECRET, T0, Call, Store

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def store(engine: RunningEngine) -> Iterator[Store]:
    url = engine.url(f"test_{uuid4().hex}")
    migrate(url)
    client = connect(url)
    stored = Store(url, client)
    stored.write(RICH, Call("c2", (("agent", "退款"),), ended_at=T0 - timedelta(days=1)))
    stored.write(Call("c3", (("agent", "[bold]退货[/]"),), tenant="bracket", team="[/x]", queue=":fire:"))
    stored.write(Call("c4", (("agent", "买流奶"),), tenant="noodles"))
    threat: tuple[Role, str] = ("customer", "再不处理我打12315")
    stored.write(
        Call("sorry", (threat, ("agent", "非常抱歉给您添麻烦了")), tenant="threats", tier="gold", tags=("vip",)),
        Call(
            "rude", (threat, ("agent", "随便您")), tenant="threats", ended_at=T0 - timedelta(days=1), silence_ms=12_000
        ),
    )
    yield stored
    client.close()


@pytest.fixture
def register(terminal: Terminal) -> Iterator[Register]:
    register = register_of(terminal.folder / "data")
    yield register
    register.close()


class TestCommand:
    @pytest.fixture
    def there(self, store: Store, register: Register, terminal: Terminal) -> Terminal:  # noqa: ARG002 - made before
        terminal.set(clickhouse_url=store.url, customer_key_secret=SECRET)
        return terminal

    def test_it_finds_a_phrase_as_heard_and_logs_no_word(self, there: Terminal, register: Register) -> None:
        done = there.run("search", "--tenant", "acme", "--role", "customer", "--as-heard", "推宽", "--json")
        assert (done.code, done.err) == (0, "")
        assert [call["call_id"] for call in done.json["calls"]] == ["rich"]
        assert done.json["calls"][0]["quotes"][0]["text"] == "我要退款"
        access = accesses(register)[-1]
        assert (access.filters, access.calls_count) == (("phrases",), 1)
        assert "推宽" not in access.model_dump_json()

    def test_sounds_are_merged_as_the_settings_say(self, there: Terminal) -> None:
        found = {}
        for mergers in ("z_zh", "n_l"):
            there.set(sound_mergers=mergers)
            done = there.run("search", "--tenant", "noodles", "--as-heard", "牛奶", "--json")
            found[mergers] = [call["call_id"] for call in done.json["calls"]]
        assert found == {"z_zh": [], "n_l": ["c4"]}

    def test_older_calls_are_made_ready_once(self, there: Terminal) -> None:
        done = there.run("index-sounds")
        assert (done.code, done.out) == (0, "0 calls can be found by sound now\n")

    def test_one_syllable_is_too_little_to_be_heard(self, there: Terminal) -> None:
        done = there.run("search", "--tenant", "acme", "--as-heard", "嗯")
        assert done.code == 2
        assert "two syllables" in done.err

    def test_it_finds_a_phrase_of_the_customer(self, there: Terminal) -> None:
        done = there.run("search", "--tenant", "acme", "--customer-said", "退款", "--json")
        assert (done.code, done.err) == (0, "")
        (call,) = done.json["calls"]
        assert (call["call_id"], call["quotes"][0]["spans"]) == ("rich", [{"start": 2, "end": 4}])
        assert done.json["next_cursor"] is None

    def test_the_table_shows_the_quote_and_how_to_go_on(self, there: Terminal) -> None:
        done = there.run("search", "退款", "--tenant", "acme", "--limit", "1")
        assert "acme/c2" in done.out
        assert "agent: 退款" in done.out
        cursor = done.out.split("--cursor ")[1].strip()
        more = there.run("search", "退款", "--tenant", "acme", "--limit", "1", "--cursor", cursor)
        assert "acme/rich" in more.out
        assert "cursor" not in more.out

    def test_names_and_words_that_look_like_markup_are_shown_as_they_are(self, there: Terminal) -> None:
        done = there.run("search", "退货", "--tenant", "bracket", "--team", "[/x]")
        assert (done.code, done.err) == (0, "")
        assert "A1 ([/x])" in done.out
        assert "agent: [bold]退货[/]" in done.out

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param(["--phone", "+86 138-0013-8000"], id="phone, written in another way"),
            pytest.param(["--role", "customer", "退款"], id="role of the phrase"),
            pytest.param(["--score", "50..60"], id="score"),
            pytest.param(["--agitation", "0.5.."], id="agitation"),
            pytest.param(["--duration", "180..480"], id="duration in seconds"),
            pytest.param(["--duration", "200"], id="exactly so many seconds"),
            pytest.param(
                ["--from", "2026-02-19T20:00+08:00", "--to", "2026-02-19T20:00:01+08:00"], id="times with a zone"
            ),
            pytest.param(["--from", "2026-02-19T20:00", "--to", "2026-02-20"], id="times of the zone in the settings"),
            pytest.param(["--selected"], id="selected for review"),
            pytest.param(["--trigger", "safety", "--trigger", "sensitive_word"], id="by one of these triggers"),
            pytest.param(["--team", "north", "--risk", "high", "--topic", "delay", "--word", "保本"], id="several"),
        ],
    )
    def test_options(self, options: list[str], there: Terminal) -> None:
        done = there.run("search", "--tenant", "acme", "--json", *options)
        assert (done.code, "is seen by every user" in done.err) == (0, "--phone" in options)
        assert [call["call_id"] for call in done.json["calls"]] == ["rich"]

    def test_a_length_of_time_reaches_back_from_now(self, there: Terminal) -> None:
        assert there.run("search", "--tenant", "acme", "--last", "1000w", "--json").json["calls"]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            pytest.param(["--cursor", "xyz"], "no cursor", id="a cursor that is none"),
            pytest.param(["--tenant", "Nobody!"], "--tenant", id="a name that is no tenant"),
            pytest.param(["--tenant", "nobody"], "no call of tenant nobody", id="a tenant without calls"),
            pytest.param(["--from", "gestern"], "gestern is not a time", id="a time that is none"),
            pytest.param(["--to", "9999-01-01"], "the year must be from 1971 to 2105", id="a time too far away"),
            pytest.param(["--from", "2026-02-02", "--to", "2026-02-01"], "since must lie before until", id="no time"),
            pytest.param(["--from", "2026-02-02", "--last", "3d"], "either --from or --last", id="two beginnings"),
            pytest.param(["--last", "3 days"], "write 12h", id="a length that is none"),
            pytest.param(["--score", "good"], "--score is not a range", id="a range that is none"),
            pytest.param(["--score", ".."], "--score is not a range", id="a range without ends"),
            pytest.param(["--score", "nan"], "--score is not a range", id="not a number"),
            pytest.param(["--score", "90..10"], "range of score is empty", id="an empty range"),
            pytest.param(["--duration", "-5.."], "--duration", id="a negative length"),
            pytest.param(["--risk", "awful"], "--risk", id="an unknown risk"),
            pytest.param(["--trigger", "mood"], "--trigger", id="an unknown trigger"),
            pytest.param(["--role", "boss", "退款"], "--role", id="an unknown role"),
            pytest.param(["--phone", "退款"], "not a phone number", id="a phone number that is none"),
            pytest.param([" "], "at least one character", id="a phrase of spaces"),
        ],
    )
    def test_what_is_wrong_is_said(self, options: list[str], sentence: str, there: Terminal) -> None:
        done = there.run("search", *options, "--tenant", "acme")
        assert done.code in (1, 2)
        assert sentence in done.err
        assert "Traceback" not in done.err

    def test_a_search_is_logged_by_what_it_asked_and_not_with_the_words(
        self, there: Terminal, register: Register
    ) -> None:
        before = accesses(register)
        asked = ("--customer-said", "退款", "--phone", PHONE, "--reason", "complaint", "--ticket", "T-7")
        assert there.run("search", "--tenant", "acme", *asked).code == 0
        (line,) = [line for line in accesses(register) if line not in before]
        assert (line.tenant_id, line.calls_count) == ("acme", 1)
        assert (line.action, line.client, line.result, line.call_id) == ("searched", "cli", "allowed", None)
        assert (line.filters, line.reason, line.ticket) == (("customer_keys", "phrases"), "complaint", "T-7")
        said = line.encode().decode()
        assert "退款" not in said
        assert KEY not in said

    @pytest.mark.parametrize(
        ("options", "found"),
        [
            ("--customer-said 12315 --not-followed-by @apologizes --within 30s", ["rude"]),
            ("--customer-said 12315 --followed-by agent:对不起|抱歉 --within 1m", ["sorry"]),
            ("--agent-said 随便 --preceded-by customer:12315", ["rude"]),
            ("--agent-said 随便 --not-preceded-by anybody:12315 --within 2", []),
            ("12315 --agent-did-not-say 随便您", ["sorry"]),
            ("--not-said 随便您", ["sorry"]),
            ("--customer-did-not-say 随便您", ["sorry", "rude"]),
            ("--did apologizes", ["sorry"]),
            ("--did-not general.apologizes", ["rude"]),
            ("--tier gold --tag vip --direction inbound", ["sorry"]),
            ("--silence 12..", ["rude"]),
            ("--measure longest_silence_ms=..11999", []),
            ("--order-status 退款中", []),
        ],
    )
    def test_what_was_not_said_and_what_follows_are_options(
        self, options: str, found: list[str], there: Terminal
    ) -> None:
        done = there.run("search", "--tenant", "threats", *options.split(), "--json")
        assert (done.code, done.err) == (0, "")
        assert [call["call_id"] for call in done.json["calls"]] == found

    def test_a_call_and_each_quote_link_to_the_console_at_their_second(self, there: Terminal) -> None:
        words = ["search", "--tenant", "threats", "--agent-said", "随便", "--preceded-by", "customer:12315"]
        (call,) = there.run(*words, "--json").json["calls"]
        assert {call["call_url"], *(quote["call_url"] for quote in call["quotes"])} == {""}
        there.set(console_url="https://console.example/calls/{tenant_id}/{call_id}?t={second}")
        (call,) = there.run(*words, "--json").json["calls"]
        links = [f"https://console.example/calls/threats/rude?t={second}" for second in (0, 1)]
        assert [call["call_url"], *(quote["call_url"] for quote in call["quotes"])] == [links[0], *links]
        shown = there.run(*words).out
        assert links[0].removeprefix("https://")[:12] in shown

    def test_the_log_names_steps_and_tells_no_word_of_them(self, there: Terminal, register: Register) -> None:
        words = ["--customer-said", "12315", "--not-followed-by", "agent:抱歉", "--not-said", "转接"]
        assert there.run("search", "--tenant", "threats", *words, "--tag", "vip").code == 0
        line = accesses(register)[-1]
        assert line.filters == ("not_phrases", "phrases", "steps", "tags")
        assert not {"抱歉", "转接", "vip"} & set(line.model_dump_json().split('"'))
        assert "抱歉" not in line.model_dump_json()

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ("--not-followed-by agent:抱歉", "before or after what?"),
            ("甲 乙 --followed-by agent:抱歉", "told of one phrase"),
            ("甲 --followed-by 抱歉", "who says what? write agent:抱歉"),
            ("甲 --followed-by agent:|", "who says what?"),
            ("甲 --followed-by agent:抱歉 --within 30h", "write 30s or 2m"),
            ("甲 --within 30s", "--within says how long"),
            ("--did sings", "@sings is no act that consists of words alone; there are"),
            ("--measure silence", "write NAME=10..20"),
            ("--measure reading_upset=0.5..", "--measure: what reading suspects is no measure"),
            ("--direction up", "--direction: Input should be 'inbound' or 'outbound'"),
        ],
    )
    def test_what_cannot_be_looked_for_is_a_sentence(self, options: str, sentence: str, there: Terminal) -> None:
        done = there.run("search", "--tenant", "threats", *options.split())
        assert done.code == 2
        assert sentence in " ".join(re.sub("[│╭╮╰╯─]", " ", done.err).split())
        assert done.out == ""

    def test_the_account_in_the_log_is_that_of_the_kernel(
        self, there: Terminal, register: Register, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.setenv(name, "somebody_else")
        before = accesses(register)
        assert there.run("search", "--tenant", "acme").code == 0
        (line,) = [line for line in accesses(register) if line not in before]
        assert line.user_id == f"os:{pwd.getpwuid(os.getuid()).pw_name}"

    def test_a_number_on_the_command_line_is_warned_of_and_not_repeated(
        self, there: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(PHONE + "\n"))
        hidden = there.run("search", "--tenant", "acme", "--phone", "-", "--json")
        assert (hidden.code, hidden.err) == (0, "")
        shown = there.run("search", "--tenant", "acme", "--phone", PHONE, "--json")
        assert (shown.code, shown.json) == (0, hidden.json)
        assert "is seen by every user of this machine" in shown.err
        assert PHONE not in shown.err

    def test_what_cannot_be_logged_is_not_shown(self, there: Terminal) -> None:
        there.set(register_url=NO_REGISTER)
        done = there.run("search", "--tenant", "acme")
        assert done.code == 4
        assert done.out == ""

    def test_a_reason_that_is_a_sentence_is_refused(self, there: Terminal) -> None:
        done = there.run("search", "--tenant", "acme", "--reason", "王先生投诉")
        assert done.code == 2
        assert "--reason must be one word" in done.err
        assert (done.out, "王先生" in done.err) == ("", False)

    def test_a_phone_number_is_found_under_every_version_of_the_secret(self, store: Store, there: Terminal) -> None:
        """Also those of before there were versions, and not those of another tenant's key."""
        former, new = "the secret of version 1", "the secret of version 2"
        keys = {version: CustomerKeys(version, {version: secret}) for version, secret in ((1, former), (2, new))}
        days_ago = {
            "under-2": (keys[2].of("loyal", PHONE), 1),
            "under-1": (keys[1].of("loyal", PHONE), 2),
            "under-0": (KEY, 3),
            "another": (keys[2].of("acme", PHONE), 4),
        }
        for call_id, (key, days) in days_ago.items():
            store.write(Call(call_id, (), tenant="loyal", customer=key, ended_at=T0 - timedelta(days=days)))
        there.set(
            customer_key_secret=new,
            customer_key_version=2,
            customer_key_former_secrets=json.dumps({"1": former, "0": SECRET}),
        )
        done = there.run("search", "--tenant", "loyal", "--phone", PHONE, "--json")
        assert [call["call_id"] for call in done.json["calls"]] == ["under-2", "under-1", "under-0"]

        there.set(customer_key_former_secrets="")
        done = there.run("search", "--tenant", "loyal", "--phone", PHONE, "--json")
        assert [call["call_id"] for call in done.json["calls"]] == ["under-2"]

    def test_a_phone_number_without_a_key_is_refused(self, there: Terminal) -> None:
        there.set(customer_key_secret="")
        done = there.run("search", "--tenant", "acme", "--phone", PHONE)
        assert done.code == 1
        assert "customer_key_secret is not set" in done.err


@pytest.mark.usefixtures("register")
def test_only_the_hash_of_a_phone_number_reaches_clickhouse(store: Store, terminal: Terminal) -> None:
    asked: list[str] = []
    query = Client.query

    def listening(self: Client, *arguments: Any, **options: Any) -> Any:
        asked.append(f"{arguments} {options}")
        return query(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(store.client), "query", listening)
        terminal.set(clickhouse_url=store.url, customer_key_secret=SECRET)
        terminal.run("search", "--tenant", "acme", "--phone", PHONE)
    said = " ".join(asked)
    assert KEY in said
    assert "13800138000" not in said
    assert PHONE not in said


class TestFiles:
    @pytest.fixture
    def there(self, store: Store, register: Register, terminal: Terminal) -> Terminal:  # noqa: ARG002 - made before
        terminal.set(clickhouse_url=store.url, customer_key_secret=SECRET)
        return terminal

    def test_a_page_as_csv_and_as_a_workbook(self, there: Terminal, register: Register) -> None:
        asked = ("search", "退款", "--tenant", "acme", "--csv", "found.csv", "--xlsx", "found.xlsx")
        done = there.run(*asked, "--lang", "zh")
        assert (done.code, done.out) == (0, "")
        assert accesses(register)[-1].calls_count == 2
        with (there.folder / "found.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["通话编号"] for row in rows] == ["c2", "rich"]
        assert "退款" in rows[1]["命中内容"]
        sheet = load_workbook(there.folder / "found.xlsx").worksheets[0]
        assert [row[1].value for row in sheet.iter_rows()] == ["通话编号", "c2", "rich"]
        again = there.run(*asked)
        assert (again.code, "exists" in again.err) == (1, True)
        assert there.run("search", "--tenant", "acme", "--json", "--csv", "both.csv").code == 2

    def test_headings_in_english(self, there: Terminal) -> None:
        assert there.run("search", "--tenant", "acme", "--csv", "en.csv", "--lang", "en").code == 0
        assert (there.folder / "en.csv").read_text("utf-8-sig").startswith("tenant,call,ended,")


class TestSaved:
    @pytest.fixture
    def there(self, store: Store, register: Register, terminal: Terminal) -> Terminal:  # noqa: ARG002 - made before
        terminal.set(clickhouse_url=store.url, customer_key_secret=SECRET)
        return terminal

    def test_a_search_is_kept_used_changed_and_forgotten(self, there: Terminal, register: Register) -> None:
        asked = ("退款", "--tenant", "acme", "--customer-said", "退款", "--last", "1000w", "--selected", "--limit", "7")
        assert there.run("search", *asked, "--save", "退款 & 入选").code == 0
        listed = there.run("search", "--list-saved")
        assert listed.out == "退款 & 入选: --tenant acme --customer-said 退款 --last 1000w --selected 退款\n"
        before = len(accesses(register))
        kept = there.run("search", "--saved", "退款 & 入选", "--json")
        assert kept.json == there.run("search", *asked, "--json").json
        used, typed = accesses(register)[before:]
        assert (used.filters, used.calls_count) == (typed.filters, typed.calls_count)
        other = there.run("search", "--saved", "退款 & 入选", "--tenant", "noodles", "--json")
        assert other.json["calls"] == []
        assert there.run("search", "--forget", "退款 & 入选").code == 0
        for option in ("--saved", "--forget"):
            done = there.run("search", option, "退款 & 入选")
            assert (done.code, "has kept no search" in done.err) == (2, True)

    def test_the_last_days_are_those_of_whenever_it_is_used(self, there: Terminal, register: Register) -> None:
        assert there.run("search", "--tenant", "acme", "--last", "7d", "--save", "week").code == 0
        with register.reading() as tx:
            (criteria,) = tx.execute(select(saved_searches.c.criteria)).scalars()
        assert json.loads(criteria) == {"tenant": ["acme"], "last": "7d"}

    @pytest.mark.parametrize(
        "options",
        [
            pytest.param(("--phone", PHONE), id="a phone number"),
            pytest.param(("--order", "O-1"), id="an order"),
            pytest.param(("我的手机是一三八一二三四五六七八",), id="a number that was said"),
            pytest.param(("--customer-said", "13812345678"), id="a number as a phrase"),
        ],
    )
    def test_what_tells_a_customer_apart_is_not_kept(self, options: tuple[str, ...], there: Terminal) -> None:
        done = there.run("search", "--tenant", "acme", *options, "--save", "mine")
        assert (done.code, done.out, "not kept" in done.err) == (2, "", True)
        assert there.run("search", "--list-saved").out == ""

    def test_names(self, there: Terminal) -> None:
        for name in ("", " ", "a\nb", "x" * 65):
            assert "a name has" in there.run("search", "--tenant", "acme", "--save", name).err

    def test_a_search_of_another_release_is_refused_by_name(self, there: Terminal, register: Register) -> None:
        searches = RegisterSavedSearches(register, f"os:{account()}", SystemClock())
        assert searches.keep("old", {"tenant": ["acme"], "moon": "full"})
        assert "has moon, which" in there.run("search", "--saved", "old").err
