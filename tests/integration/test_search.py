"""Search on a real engine: nothing is found that is not there, nothing is missed, pages join, tenants stay apart."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.search_sql import SearchPhrase, SearchQuery, Span, of_index
from processors.text.phonetic import MERGERS
from processors.text.syllables import syllables
from schemas.clickhouse.migrations import load_migrations
from schemas.messages.call_ended import Role
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.queries.index_sounds import index_sounds
from streams.queries.search import SearchError, only_tenant, search, unknown_values
from tests.support.clickhouse_engine import RunningEngine
from tests.support.stored_calls import KEY, LONELY, RICH, T0, Call, Store

pytestmark = pytest.mark.embedded


@pytest.fixture
def open_store(new_database: Callable[[], str]) -> Iterator[Callable[[], Store]]:
    opened: list[Client] = []

    def new() -> Store:
        url = new_database()
        opened.append(connect(url))
        return Store(url, opened[-1])

    yield new
    for client in opened:
        client.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


# --- phrases

ALPHABET = (*"退款保本的我", *"ab1A", *"，。？“”'\"%_\\`{}:-\t\n\r 　", "😀", "é", "e\u0301", "\u2028", "Ω")
ROLES: tuple[Role, ...] = ("agent", "customer", "unknown")


def said_at_random(chance: random.Random) -> tuple[tuple[Role, str], ...]:
    return tuple(
        (chance.choice(ROLES), "".join(chance.choices(ALPHABET, k=chance.randint(1, 8))))
        for _ in range(chance.randint(0, 5))
    )


def phrase_at_random(chance: random.Random, calls: Sequence[Call]) -> str:
    """Of a segment, across the border of two, or of no call at all."""
    said = [text for _, text in chance.choice([call for call in calls if call.said]).said]
    kind = chance.random()
    if kind < 0.6:
        text = chance.choice(said)
    elif kind < 0.8:
        text = "".join(chance.sample(said, k=min(2, len(said))))
    else:
        text = "".join(chance.choices(ALPHABET, k=4))
    start = chance.randrange(len(text))
    return text[start : start + chance.randint(1, 5)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_phrase_is_found_exactly_where_it_stands_in_a_segment(seed: int, store: Store) -> None:
    chance = random.Random(seed)
    calls = [Call(f"c{number}", said_at_random(chance), ended_at=T0 - timedelta(hours=number)) for number in range(150)]
    for start in range(0, len(calls), 50):
        store.write(*calls[start : start + 50])
        if start == 50:
            store.merge_texts()
    phrases = [
        (text, chance.choice([None, "agent", "customer", "unknown"]))
        for text in (phrase_at_random(chance, calls) for _ in range(50))
        if text.strip()
    ]
    found_any = 0
    for text, role in phrases:
        there = [call.call_id for call in calls if any(text in said and role in (None, who) for who, said in call.said)]
        assert store.ids(phrases=[{"text": text, "role": role}]) == there, (text, role)
        assert there == like(store, text, role)
        found_any += bool(there)
    assert found_any > len(phrases) // 3


def like(store: Store, text: str, role: str | None) -> list[str]:
    """What LIKE finds in the view of segments."""
    pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    query = """SELECT DISTINCT ended_at, call_id FROM segments
        WHERE text LIKE {pattern:String} AND ({role:String} = '' OR role = {role:String}) ORDER BY ended_at DESC"""
    rows = store.client.query(query, parameters={"pattern": f"%{pattern}%", "role": role or ""}).result_rows
    return [call_id for _, call_id in rows]


def by_view(store: Store, text: str, first: str = "2026-03-01", last: str = "2026-03-31") -> list[tuple[str, str, str]]:
    """Call, role and text of what the view `search_text` finds, latest first."""
    query = """SELECT call_id, role, text FROM search_text(phrase = {phrase:String}, first = {first:Date32},
        last = {last:Date32}) WHERE tenant_id = 'acme' ORDER BY ended_at DESC, call_id, segment_id"""
    rows = store.client.query(query, parameters={"phrase": text, "first": first, "last": last}).result_rows
    return [(call_id, role, said) for call_id, role, said in rows]


def test_the_view_of_text_finds_what_stands_in_segments_as_they_are_now(store: Store) -> None:
    chance = random.Random(4)
    calls = [
        Call(f"c{number:03d}", said_at_random(chance), ended_at=T0 - timedelta(hours=number)) for number in range(60)
    ]
    store.write(*calls)
    store.write(Call("replaced", (("customer", "退款保本"),)))
    store.write(Call("replaced", (("customer", "嗯"),)), after_s=120)
    store.write(Call("blocked", (("customer", "退款保本"),)))
    store.client.command("INSERT INTO blocked_calls (tenant_id, call_id) VALUES ('acme', 'blocked')")
    phrases = [text for text in (phrase_at_random(chance, calls) for _ in range(15)) if text.strip()]
    for text in (*phrases, "退款保本", "退", "'", "%"):
        there = [(call.call_id, role, said) for call in calls for role, said in call.said if text in said]
        assert by_view(store, text) == there, text


def test_the_view_of_text_takes_days_of_the_tenant_and_leaves_granules_out(store: Store) -> None:
    midnight = datetime(2026, 3, 10, 16, 0, tzinfo=UTC)  # in Shanghai
    store.write(*(Call(f"c{number:03d}", (("agent", "您好"),)) for number in range(200)))
    store.write(Call("before", (("agent", "打12315"),), ended_at=midnight - timedelta(milliseconds=1)))
    store.write(Call("after", (("customer", "打12315"),), ended_at=midnight))
    store.merge_texts()
    assert [call for call, *_ in by_view(store, "12315", last="2026-03-10")] == ["before"]
    assert [call for call, *_ in by_view(store, "12315", first="2026-03-11")] == ["after"]
    sql = """EXPLAIN indexes = 1
        SELECT call_id FROM search_text(phrase = '12315', first = '2026-03-01', last = '2026-03-31')
        SETTINGS use_index_for_in_with_subqueries = 0"""  # otherwise the calls are looked up before there is a plan
    plan = "\n".join(row[0] for row in store.client.query(sql).result_rows)
    assert "customer_text_index" in plan
    assert re.search(r"Combined skip indexes.*?Granules: 1/3", plan, re.DOTALL), plan


@pytest.mark.parametrize(
    ("text", "role", "found"),
    [
        pytest.param("退款", "customer", ["one"], id="who said it"),
        pytest.param("退款", "agent", ["two"], id="the other one"),
        pytest.param("退款", None, ["one", "two"], id="anybody"),
        pytest.param("退", None, ["one", "two"], id="one character"),
        pytest.param("我要退款", None, ["one"], id="a phrase"),
        pytest.param("要款", None, [], id="characters of it that do not touch"),
        pytest.param("退款好的", None, [], id="across the border of two segments of one role"),
        pytest.param("WiFi 6E", None, ["two"], id="Latin letters, a space and a digit"),
        pytest.param("wifi", None, [], id="another case"),
        pytest.param("6", None, ["two"], id="one digit"),
        pytest.param("100%", None, ["three"], id="a percent sign is no pattern"),
        pytest.param("1_0", None, [], id="nor is an underscore"),
        pytest.param("C:\\new", None, ["three"], id="a backslash"),
        pytest.param("'); --", None, ["three"], id="a quote"),
        pytest.param("款\n好", None, [], id="a line break that is the border"),
    ],
)
def test_phrases(text: str, role: str | None, found: list[str], store: Store) -> None:
    store.write(
        Call("one", (("customer", "我要退款"), ("customer", "好的")), ended_at=T0),
        Call("two", (("agent", "退款要WiFi 6E"),), ended_at=T0 - timedelta(hours=1)),
        Call("three", (("unknown", "100% C:\\new"), ("unknown", "'); --")), ended_at=T0 - timedelta(hours=2)),
    )
    assert store.ids(phrases=[{"text": text, "role": role}]) == found


def test_several_phrases_must_all_be_said(store: Store) -> None:
    store.write(
        Call("both", (("customer", "我要退款"), ("agent", "不行"))),
        Call("one", (("customer", "我要退款，不行"),)),
    )
    phrases = [{"text": "退款", "role": "customer"}, {"text": "不行", "role": "agent"}]
    assert store.ids(phrases=phrases) == ["both"]


def test_a_quote_says_where_it_is(store: Store) -> None:
    store.write(Call("c1", (("agent", "您好"), ("customer", "退款😀退款，我要退款"), ("agent", "退款"))))
    (hit,) = store.all(phrases=[{"text": "退款", "role": "customer"}])
    (quote,) = hit.quotes
    assert (quote.segment_id, quote.role, quote.start_ms, quote.end_ms) == (1, "customer", 1_000, 1_900)
    assert quote.spans == (Span(start=0, end=2), Span(start=3, end=5), Span(start=8, end=10))
    assert {quote.text[span.start : span.end] for span in quote.spans} == {"退款"}


def test_a_quote_of_a_segment_of_several_lines_is_whole(store: Store) -> None:
    store.write(Call("c1", (("customer", "好\n我要退款"), ("customer", "退款"), ("unknown", "退"))))
    (hit,) = store.all(phrases=[{"text": "退款"}])
    assert [(quote.segment_id, quote.text) for quote in hit.quotes] == [(0, "好\n我要退款"), (1, "退款")]


def test_a_transcript_that_was_replaced_is_not_found_by_what_it_said(store: Store) -> None:
    store.write(Call("c1", (("customer", "我要退款"),)))
    store.write(Call("c1", (("customer", "我要退货"),)), after_s=120)
    store.write(Call("c1", (("customer", "我要退款"),)))
    assert store.ids(phrases=[{"text": "退款"}]) == []
    assert store.ids(phrases=[{"text": "要退款"}]) == []
    assert store.ids(phrases=[{"text": "退货"}]) == ["c1"]


def test_transcripts_from_before_search_was_there_are_found(engine: RunningEngine) -> None:
    url = engine.url(f"test_{uuid4().hex}")
    files = load_migrations()
    before = next(each.number for each in files if each.name == "search") - 1
    migrate(url, files[:before], views={})
    client = connect(url)
    old = Store(url, client)
    first = Call("c1", (("customer", "我要退款"),), agitation=0.9, rules=(("rules", "r1", "x"),))
    old.write(first, without=("agent_id", "agent_team", "sounds"))
    migrate(url)
    Store(url, client).write(Call("c2", (("customer", "我要退款"),), ended_at=T0 - timedelta(days=200)))
    store = Store(url, client)
    assert store.ids(phrases=[{"text": "退款", "role": "customer"}]) == ["c1", "c2"]
    assert store.ids(agitation_min=0.8) == ["c1"]
    assert store.ids(rules=["r1"]) == ["c1"]
    client.close()


def test_the_index_is_built_by_merges_and_hides_nothing_before_and_after(store: Store) -> None:
    for number in range(3):
        store.write(Call(f"c{number}", ended_at=T0 - timedelta(minutes=number)))
    for is_built in (False, True):
        query = """SELECT sum(secondary_indices_compressed_bytes) > 0 FROM system.parts
            WHERE active AND database = currentDatabase() AND table = 'search_text_versions'"""
        assert bool(store.client.command(query)) == is_built
        assert store.ids(phrases=[{"text": "退款"}]) == ["c0", "c1", "c2"]
        assert store.ids(phrases=[{"text": "退我"}]) == []
        store.merge_texts()


# --- as heard


@pytest.mark.parametrize(
    ("text", "role", "found"),
    [
        pytest.param("保本保息", None, ["misheard", "written"], id="however it was written"),
        pytest.param("保本保息", "customer", ["written"], id="by whom"),
        pytest.param("保本洗澡", None, [], id="syllables that do not touch"),
        pytest.param("保席保本", None, [], id="pairs that are all there, but not in this order"),
        pytest.param("12315", None, ["digits", "spoken"], id="digits as they are said"),
        pytest.param("幺二三一五", "agent", ["digits"], id="said in figures"),
        pytest.param("电话", None, [], id="what was masked has no sound"),
    ],
)
def test_a_phrase_is_found_by_its_sound(text: str, role: str | None, found: list[str], store: Store) -> None:
    store.write(
        Call("misheard", (("agent", "这款保本，保溪"), ("agent", "本保息保"))),
        Call("written", (("customer", "保本保息吗"), ("agent", "嗯")), ended_at=T0 - timedelta(hours=1)),
        Call("digits", (("agent", "请打12315"),), ended_at=T0 - timedelta(hours=2)),
        Call("spoken", (("unknown", "打幺二三幺五，号码[电话]"),), ended_at=T0 - timedelta(hours=3)),
    )
    for _ in range(2):
        assert store.ids(phrases=[{"text": text, "role": role, "as_heard": True}]) == found
        store.merge_texts()


def test_a_quote_as_heard_is_shown_as_it_was_written(store: Store) -> None:
    store.write(Call("c1", (("agent", "您好"), ("agent", "这款保本，保溪，保本保息"), ("customer", "保本保溪"))))
    (hit,) = store.all(phrases=[{"text": "保本保息", "role": "agent", "as_heard": True}])
    (quote,) = hit.quotes
    assert (quote.segment_id, quote.text) == (1, "这款保本，保溪，保本保息")
    assert [quote.text[span.start : span.end] for span in quote.spans] == ["保本，保溪", "保本保息"]


def test_phrases_as_heard_and_as_written_and_conditions_hold_together(store: Store) -> None:
    said: tuple[tuple[Role, str], ...] = (("agent", "保本保溪"), ("customer", "我要退款"))
    store.write(
        Call("both", said, agent="A1"),
        Call("other", said, agent="A2", ended_at=T0 - timedelta(hours=1)),
        Call("one", said[:1], agent="A1", ended_at=T0 - timedelta(hours=2)),
    )
    phrases = [{"text": "保本保息", "as_heard": True}, {"text": "退款"}]
    assert store.ids(phrases=phrases) == ["both", "other"]
    assert store.ids(phrases=phrases, agents=["A1"]) == ["both"]


def test_sounds_are_merged_when_a_search_asks_for_it(store: Store) -> None:
    store.write(Call("c1", (("agent", "买流奶"),)))
    phrase = {"text": "牛奶", "as_heard": True}
    assert store.ids(phrases=[phrase]) == []
    assert store.ids(phrases=[{**phrase, "merged_sounds": MERGERS}]) == ["c1"]


def test_as_many_ways_to_hear_a_phrase_as_there_can_be(store: Store) -> None:
    said = "".join(character for character, readings in syllables().items() if len(readings) > 1)
    store.write(Call("c1", (("agent", said),)))
    assert store.ids(phrases=[{"text": said[:100], "as_heard": True, "merged_sounds": MERGERS}]) == ["c1"]


def test_candidates_that_only_have_the_pairs_do_not_end_a_page(store: Store) -> None:
    store.write(
        *(Call(f"c{number:02d}", (("agent", "本保息，保本。保本保"),), ended_at=T0) for number in range(40)),
        Call("there", (("agent", "保本保溪"),), ended_at=T0 - timedelta(hours=1)),
    )
    page = store.page(limit=1, phrases=[{"text": "保本保息", "as_heard": True}])
    assert [hit.call_id for hit in page.hits] == ["there"]
    assert page.next_cursor is None


def test_the_index_over_sounds_leaves_granules_out(store: Store) -> None:
    store.write(*(Call(f"c{number:03d}", (("agent", "您好"),)) for number in range(200)))
    store.write(Call("rare", (("agent", "保本保溪"),), ended_at=T0 - timedelta(hours=1)))
    store.merge_texts()
    phrase = SearchPhrase(text="保本保息", role="agent", as_heard=True)
    condition = of_index(SearchQuery(tenants=("acme",), phrases=(phrase,)))
    sql = f"EXPLAIN indexes = 1 SELECT count() FROM search_text_versions WHERE {condition.sql}"  # noqa: S608
    plan = "\n".join(row[0] for row in store.client.query(sql, parameters=dict(condition.parameters)).result_rows)
    assert "agent_sounds_index" in plan
    assert "Granules: 1/3" in plan, plan


def test_transcripts_from_before_are_found_by_sound_once_they_were_read(engine: RunningEngine) -> None:
    url = engine.url(f"test_{uuid4().hex}")
    files = load_migrations()
    before = next(each.number for each in files if each.name == "as_heard") - 1
    migrate(url, files[:before], views={})
    client = connect(url)
    old = [
        Call("c1", (("agent", "保本保溪"), ("customer", "好的"))),
        Call("c2", (("unknown", "保本保锡"),), ended_at=T0 - timedelta(days=200)),
        Call("c3", (("agent", "保本保溪"),), ended_at=T0 - timedelta(days=201), tenant="bright"),
        Call("nothing", (("agent", "嗯"),), ended_at=T0 - timedelta(days=300)),
    ]
    Store(url, client).write(*old, without=("sounds",))
    migrate(url)
    store = Store(url, client)
    store.write(Call("new", (("agent", "保本保溪"),), ended_at=T0 + timedelta(days=1)))
    store.write(Call("c2", (("unknown", "保本保锡，好"),), ended_at=T0 - timedelta(days=200)), after_s=120)
    phrase = {"text": "保本保息", "as_heard": True}
    assert store.ids(phrases=[phrase]) == ["new", "c2"]
    assert list(index_sounds(client)) == [1, 1]
    assert store.ids(phrases=[phrase]) == ["new", "c1", "c2"]
    assert store.ids(phrases=[phrase], tenants=["bright"]) == ["c3"]
    assert store.ids(phrases=[{"text": "保本保溪"}]) == ["new", "c1"]
    assert list(index_sounds(client)) == []
    client.close()


# --- conditions


@pytest.mark.parametrize(
    ("matching", "other"),
    [
        pytest.param({"call_ids": ["rich", "x"]}, {"call_ids": ["ric"]}, id="call"),
        pytest.param({"agents": ["A1"]}, {"agents": ["A"]}, id="agent"),
        pytest.param({"teams": ["north", "south"]}, {"teams": ["south"]}, id="team"),
        pytest.param({"customer_keys": [KEY]}, {"customer_keys": ["0" * 64]}, id="customer"),
        pytest.param({"queues": ["售后"]}, {"queues": ["售"]}, id="queue"),
        pytest.param({"inquiry_types": ["退款"]}, {"inquiry_types": ["退货"]}, id="inquiry type"),
        pytest.param({"order_ids": ["O-1"]}, {"order_ids": ["O-2"]}, id="order"),
        pytest.param({"order_statuses": ["退款中"]}, {"order_statuses": ["已退款"]}, id="order status"),
        pytest.param({"tags": ["老客户", "x"]}, {"tags": ["客户"]}, id="tag"),
        pytest.param({"value_tiers": ["gold"]}, {"value_tiers": ["silver"]}, id="value tier"),
        pytest.param({"directions": ["outbound"]}, {"directions": ["inbound"], "agents": ["A1"]}, id="direction"),
        pytest.param(
            {"measures": [{"name": "longest_silence_ms", "least": 12_000}]},
            {"measures": [{"name": "longest_silence_ms", "most": 11_999}, {"name": "turns", "least": 0}]},
            id="measure; what was not measured lies in no range",
        ),
        pytest.param(
            {"not_rules": ["finance.other"], "agents": ["A1"]},
            {"not_rules": ["finance.notice"], "agents": ["A1"]},
            id="no such rule",
        ),
        pytest.param({"topics": ["delay"]}, {"topics": ["invoice"]}, id="topic"),
        pytest.param({"risks": ["high", "medium"]}, {"risks": ["low"]}, id="risk"),
        pytest.param({"triggers": ["safety", "sensitive_word"]}, {"triggers": ["safety"]}, id="trigger"),
        pytest.param({"rules": ["finance.notice"]}, {"rules": ["finance"]}, id="rule"),
        pytest.param({"words": ["保本"]}, {"words": ["录音"]}, id="sensitive word, not what another detector matched"),
        pytest.param({"score_min": 59.5, "score_max": 59.5}, {"score_min": 60}, id="score, its ends included"),
        pytest.param({"score_max": 60}, {"score_max": 59}, id="score from below"),
        pytest.param({"agitation_min": 0.8}, {"agitation_min": 0.81}, id="emotion"),
        pytest.param({"agitation_max": 0.8}, {"agitation_max": 0.79}, id="emotion from below"),
        pytest.param({"duration_min_ms": 200_000}, {"duration_min_ms": 200_001}, id="duration"),
        pytest.param({"duration_max_ms": 200_000}, {"duration_max_ms": 199_999}, id="duration from below"),
        pytest.param(
            {"outcomes": ["no_audio", "analyzed"], "agents": ["A1"]}, {"outcomes": ["no_audio"]}, id="outcome"
        ),
        pytest.param(
            {"since": RICH.ended_at, "until": RICH.ended_at + timedelta(milliseconds=1)},
            {"since": RICH.ended_at + timedelta(milliseconds=1), "until": T0},
            id="time, its beginning included",
        ),
        pytest.param(
            {"since": RICH.ended_at - timedelta(days=1)},
            {"since": RICH.ended_at - timedelta(days=1), "until": RICH.ended_at},
            id="time, its end excluded",
        ),
    ],
)
def test_each_condition_holds_for_one_call_and_not_for_the_other(
    matching: dict[str, object], other: dict[str, object], store: Store
) -> None:
    store.write(RICH, LONELY)
    assert store.ids(**matching) == ["rich"]
    assert store.ids(**other) == []
    assert store.ids(**matching, phrases=[{"text": "退款", "role": "customer"}]) == ["rich"]
    assert store.ids(**other, phrases=[{"text": "退款"}]) == []


def test_any_sensitive_word(store: Store) -> None:
    store.write(RICH, LONELY)
    assert store.ids(sensitive=True) == ["rich"]
    (hit,) = store.all(sensitive=True, rules=["finance.notice"], topics=["delay"])
    assert [(quote.kind, quote.rule_id, quote.topic_id) for quote in hit.quotes] == [
        ("finding", "finance.promise", None),
        ("finding", "finance.notice", None),
        ("topic", None, "delay"),
    ]
    assert [hit.quotes[0].text[span.start : span.end] for span in hit.quotes[0].spans] == ["保本"]
    assert (hit.quotes[0].start_ms, hit.quotes[0].end_ms) == (2_000, 2_900)


def test_whatever_selected_it(store: Store) -> None:
    unselected = replace(LONELY, call_id="unselected", triggers=())
    by_reading = replace(LONELY, call_id="by_reading", triggers=("reading",))
    store.write(RICH, LONELY, unselected, by_reading)
    assert sorted(store.ids(selected=True)) == ["by_reading", "rich"], "what is not known is not selected"
    assert store.ids(triggers=["reading"]) == ["by_reading"]


def test_a_hit_shows_the_call(store: Store) -> None:
    store.write(RICH)
    (hit,) = store.all()
    assert hit.model_dump(exclude={"quotes"}) == {
        **{"tenant_id": "acme", "call_id": "rich", "direction": "outbound", "outcome": "analyzed"},
        **{"started_at": RICH.ended_at - timedelta(minutes=3), "ended_at": RICH.ended_at},
        **{"agent_id": "A1", "agent_team": "north", "queue": "售后", "inquiry_type": "退款", "order_id": "O-1"},
        **{"duration_ms": 200_000, "risk_level": "high", "score": 59.5, "agitation": 0.8},
        "triggers": ("duration_anomaly", "sensitive_word"),
        "topics": ("refund", "delay"),
    }


def test_a_judgement_that_was_replaced_is_not_found_by_what_it_found(store: Store) -> None:
    store.write(Call("c1", risk="high", topics=("refund",), rules=(("rules", "r1", "x"),), agitation=0.9))
    store.write(Call("c1", risk="low"), version=2)
    store.write(Call("c1", risk="high", topics=("refund",), rules=(("rules", "r1", "x"),), agitation=0.9))
    for former in ({"risks": ["high"]}, {"topics": ["refund"]}, {"rules": ["r1"]}, {"agitation_min": 0.5}):
        assert store.ids(**former) == [], former
        assert store.ids(**former, phrases=[{"text": "退款"}]) == [], former
    assert store.ids(risks=["low"]) == ["c1"]


@pytest.mark.parametrize("seed", [4, pytest.param(5, marks=pytest.mark.long)])
def test_any_combination_finds_what_a_reference_in_python_finds(seed: int, store: Store) -> None:
    chance = random.Random(seed)
    calls = [
        Call(
            f"c{number:03d}",
            tuple(
                (chance.choice(ROLES), chance.choice(["我要退款", "您好", "不行", "好的退款"]))
                for _ in range(chance.randint(0, 4))
            ),
            tenant=chance.choice(["acme", "bright"]),
            ended_at=T0 - timedelta(days=chance.randint(0, 500)),
            agent=chance.choice(["A1", "A2"]),
            queue=chance.choice(["x", "y", None]),
            risk=chance.choice([None, "low", "high"]),
            topics=tuple(chance.sample(["refund", "delay"], k=chance.randint(0, 2))),
            score=chance.choice([None, 10, 50, 90]),
        )
        for number in range(200)
    ]
    for start in range(0, 200, 40):
        store.write(*calls[start : start + 40])
    for _ in range(25):
        options = {
            "tenants": chance.choice([["acme"], ["bright", "acme"]]),
            "agents": ["A1"],
            "queues": ["x"],
            "risks": ["high"],
            "topics": ["refund"],
            "score_min": 50,
            "since": T0 - timedelta(days=300),
            "phrases": [{"text": chance.choice(["退款", "要退款", "您"]), "role": chance.choice([None, "customer"])}],
        }
        names = ["tenants", *chance.sample([name for name in options if name != "tenants"], k=chance.randint(0, 4))]
        query = SearchQuery.model_validate({name: options[name] for name in names})
        expected = sorted(
            (call for call in calls if matches(call, query)),
            key=lambda call: (call.ended_at, call.tenant, call.call_id),
            reverse=True,
        )
        found = store.all(limit=chance.choice([3, 50]), **query.model_dump())
        assert [(hit.tenant_id, hit.call_id) for hit in found] == [(each.tenant, each.call_id) for each in expected]


def matches(call: Call, query: SearchQuery) -> bool:
    return (
        call.tenant in query.tenants
        and (not query.agents or call.agent in query.agents)
        and (not query.queues or call.queue in query.queues)
        and (not query.risks or call.risk in query.risks)
        and (not query.topics or bool({*call.topics} & {*query.topics}))
        and (query.score_min is None or (call.score is not None and call.score >= query.score_min))
        and (query.since is None or call.ended_at >= query.since)
        and all(
            any(phrase.text in text and phrase.role in (None, role) for role, text in call.said)
            for phrase in query.phrases
        )
    )


def test_a_phrase_that_is_in_more_calls_than_are_tried_one_by_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.queries.search.FEW_CANDIDATES", 10)
    calls = [
        Call(f"c{number:03d}", ended_at=T0 - timedelta(minutes=number), queue="x" if number % 60 == 59 else "y")
        for number in range(200)
    ]
    store.write(*calls)
    for limit in (1, 2):
        hits = store.all(limit=limit, queues=["x"], phrases=[{"text": "退款"}])
        assert [hit.call_id for hit in hits] == ["c059", "c119", "c179"]


# --- pages


@pytest.mark.parametrize(
    "conditions", [{}, {"phrases": [{"text": "退款"}]}, {"agents": ["A1"], "phrases": [{"text": "退"}]}]
)
def test_pages_join_while_calls_arrive_come_again_and_are_judged_again(
    conditions: dict[str, object], store: Store
) -> None:
    calls = [Call(f"c{number:02d}", ended_at=T0 - timedelta(days=3 * (number // 2))) for number in range(40)]
    store.write(*calls)
    seen: list[str] = []
    cursor: str | None = None
    for number in range(100):
        page = store.page(limit=7, cursor=cursor, **conditions)
        seen += [hit.call_id for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(page.hits) == 7
        store.write(Call(f"new{number}", ended_at=T0 + timedelta(hours=number + 1)))
        store.write(*calls, version=number % 3 + 1, after_s=60 + number)
        store.write(*calls[::3])
    assert seen == [
        call.call_id for call in sorted(calls, key=lambda call: (call.ended_at, call.call_id), reverse=True)
    ]


def test_many_calls_that_ended_at_once_are_told_apart(store: Store) -> None:
    store.write(*(Call(f"c{number:02d}", tenant=tenant) for number in range(30) for tenant in ("acme", "bright")))
    hits = store.all(limit=7, tenants=["bright", "acme"])
    expected = [(tenant, f"c{number:02d}") for tenant in ("bright", "acme") for number in reversed(range(30))]
    assert [(hit.tenant_id, hit.call_id) for hit in hits] == expected


def test_repeats_beyond_a_page_of_candidates_end(store: Store) -> None:
    for version in range(1, 30):
        store.write(Call("again", risk="high"), version=version)
    store.write(Call("older", risk="high", ended_at=T0 - timedelta(minutes=1)))
    assert [hit.call_id for hit in store.all(limit=1, risks=["high"])] == ["again", "older"]


def test_the_last_page_has_no_cursor(store: Store) -> None:
    store.write(*(Call(f"c{number}") for number in range(4)))
    assert store.page(limit=4).next_cursor is None
    assert store.page(limit=3).next_cursor is not None


# --- tenants and errors


def test_nothing_of_another_tenant_is_found(store: Store) -> None:
    twin = RICH.__dict__ | {"tenant": "bright"}
    store.write(RICH, Call(**twin))
    for conditions in ({}, {"phrases": [{"text": "退款"}]}, {"customer_keys": [KEY, "0" * 64]}, {"call_ids": ["rich"]}):
        assert [hit.tenant_id for hit in store.all(tenants=["acme"], **conditions)] == ["acme"]
        both = [hit.tenant_id for hit in store.all(tenants=["acme", "bright"], **conditions)]
        assert both == ["bright", "acme"]


def test_a_tenant_without_calls_is_named(store: Store) -> None:
    store.write(RICH)
    with pytest.raises(SearchError, match="no call of tenant nobody"):
        store.page(tenants=["acme", "nobody"])


def test_a_search_that_takes_too_long_says_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(RICH)
    monkeypatch.setattr("streams.queries.search.MOST_SECONDS", 0.000_001)
    with pytest.raises(SearchError, match="narrow it in time"):
        search(store.client, SearchQuery(tenants=("acme",)))


def test_a_number_is_found_as_it_is_said_and_as_it_is_written(store: Store) -> None:
    store.write(
        Call("figures", (("customer", "我要打12315投诉"),), ended_at=T0),
        Call("characters", (("customer", "我要打一二三一五投诉"),), ended_at=T0 - timedelta(hours=1)),
        Call("phone", (("customer", "我要打幺二三幺五投诉"),), ended_at=T0 - timedelta(hours=2)),
        Call("mixed", (("customer", "我要打幺二三一五投诉"),), ended_at=T0 - timedelta(hours=3)),
        Call("other", (("customer", "我要打12345投诉"),), ended_at=T0 - timedelta(hours=4)),
    )
    for text in ("12315", "一二三一五", "幺二三幺五", "打12315投诉", "打１２３１５投诉", "一二三幺五", "12三15"):
        found = store.ids(phrases=[{"text": text, "role": "customer"}])
        assert found == ["figures", "characters", "phone", "mixed"], text


def test_a_name_that_no_call_has_is_said_with_those_that_are_alike(store: Store) -> None:
    store.write(
        Call("one", team="售后一组", topics=("logistics_delay",), rules=(("threats", "general.media", "曝光"),)),
        Call("two", tenant="other", topics=("refund_slow",)),
    )
    asked = {"topics": ["logistic_delay", "logistics_delay"], "teams": ["售后二组"], "rules": ["nothing.alike"]}
    assert unknown_values(store.client, SearchQuery.model_validate({"tenants": ["acme"]} | asked)) == [
        "no call of acme has the topic logistic_delay; did you mean logistics_delay?",
        "no call of acme has the rule nothing.alike",
        "no call of acme has the team 售后二组; did you mean 售后一组?",
    ]
    by_name = "no call of acme has the topic {}; did you mean logistics_delay?"
    for name in ("物流延迟", "物流延迟！", "物流 延迟", "Logistics_Delay", "logistics-delay?"):
        query = SearchQuery.model_validate({"tenants": ["acme"], "topics": [name]})
        assert unknown_values(store.client, query) == [by_name.format(name)]
    known = {"tenants": ["acme", "other"], "topics": ["logistics_delay", "refund_slow"], "teams": ["售后一组"]}
    assert unknown_values(store.client, SearchQuery.model_validate(known)) == []


def test_the_tenant_need_not_be_named_where_there_is_one(store: Store) -> None:
    with pytest.raises(SearchError, match="no call yet"):
        only_tenant(store.client)
    store.write(Call("one"), Call("two"))
    assert only_tenant(store.client) == "acme"
    store.write(Call("three", tenant="other"))
    with pytest.raises(SearchError, match="--tenant: acme, other"):
        only_tenant(store.client)
