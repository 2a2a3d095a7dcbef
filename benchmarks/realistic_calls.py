"""Calls that look like those of a year of a call centre to indexes, statistics and compression.

Characters are 3,500 of the first level of GB 2312; words have two to four of them, drawn by a flattened Zipf's law, and
a text is a row of words, drawn by Zipf's law. So a few pairs of characters are everywhere, most are rare, and there are
pairs across the borders of words, as there are in Chinese. On top of that, `KEYWORDS` stand in a known share of calls.

`statements` gives SQL that makes calls inside ClickHouse, straight into the tables that `store` writes. Everything
follows from the number of the call: the same number gives the same call.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

CHARACTERS = 3_500
WORDS = 60_000
WORD_TABLE = "callstream_benchmark.words"

TENANTS = ("acme", "bright", "corner", "delta")
AGENTS = 400
"""Unless a year says otherwise. Numbered through all tenants: 60 % are of the first, 25, 10 and 5 % of the others."""
TEAM_SIZE = 20
QUEUES = ("售前", "售后", "投诉", "账务", "技术", "续费")
INQUIRY_TYPES = ("退款", "退货", "物流", "发票", "续费", "课程", "密码", "故障", "活动", "投诉", "咨询", "其他")
TOPICS = 60
"""`topic_0` is the most frequent one."""
RARE_TOPIC = "topic_rare"
RULES = 150
SENSITIVE_WORDS = ("保本", "绝对", "保证赚", "稳赚", "内部消息", "包过", "无风险", "刚性兑付", "最低价", "私下转账")
RARE_SENSITIVE_WORD = "代客理财"
RARE_ONE_OF = 500_000
"""What is rare stands in one of so many calls."""

SEGMENT_OF_CUSTOMER, SEGMENT_OF_AGENT = 1, 2


@dataclass(frozen=True)
class Keyword:
    """A phrase that stands in one of `one_of` calls, in one segment of the role."""

    text: str
    role: str
    one_of: int


KEYWORDS = (
    Keyword("我要退款", "customer", 10),
    Keyword("为您退款", "agent", 25),
    Keyword("学费分期", "customer", 1_000),
    Keyword("转人工客服经理", "customer", 5_000),
    Keyword("蓝鲸计划", "customer", RARE_ONE_OF),
    Keyword("WiFi 6E-2024", "customer", 20_000),
)


def characters() -> tuple[str, ...]:
    """The characters, the most frequent first."""
    last_row_is_short = 55
    found = [
        bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312")
        for row in range(16, 56)
        for cell in range(1, 90 if row == last_row_is_short else 95)
    ]
    random.Random(7).shuffle(found)  # noqa: S311 - a vocabulary is no secret
    return tuple(found[:CHARACTERS])


def vocabulary(words: int = WORDS) -> tuple[str, ...]:
    """Different words, the most frequent first."""
    chance = random.Random(11)  # noqa: S311
    letters = characters()
    weights = list(accumulate(1 / (rank + 20) for rank in range(1, len(letters) + 1)))
    found: dict[str, None] = {}
    while len(found) < words:
        length = chance.choices((2, 3, 4), (80, 12, 8))[0]
        found.setdefault("".join(chance.choices(letters, cum_weights=weights, k=length)))
    return tuple(found)


@dataclass(frozen=True)
class Year:
    """`calls` calls that end within 365 days from `start`, with numbers in the order of their days."""

    calls: int
    start: datetime
    agents: int = AGENTS

    @property
    def per_day(self) -> int:
        """Calls of one day."""
        return max(1, -(-self.calls // 365))

    def months(self) -> Iterator[tuple[int, int]]:
        """First and last number (exclusive) of the calls of each month."""
        first = 0
        while first < self.calls:
            day = self.start + timedelta(days=first // self.per_day)
            following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            last = min(self.calls, ((following - self.start).days) * self.per_day)
            yield first, last
            first = last


_DAY_MS = 86_400_000


def _call(year: Year, first: int, last: int) -> str:
    """The facts of each call that several tables need, as a subquery."""
    customers = max(1, year.calls // 4)
    start_ms = int(year.start.timestamp()) * 1000
    return f"""(
    SELECT
        number + {first} AS n,
        cityHash64(n, 1) % {year.agents} AS agent,
        multiIf(agent < {year.agents * 60 // 100}, 'acme', agent < {year.agents * 85 // 100}, 'bright',
            agent < {year.agents * 95 // 100}, 'corner', 'delta') AS tenant_id,
        concat('c-', leftPad(toString(n), 9, '0')) AS call_id,
        fromUnixTimestamp64Milli(toInt64({start_ms} + intDiv(n, {year.per_day}) * {_DAY_MS} + 28800000
            + intDiv(cityHash64(n, 2) % 50400000 + cityHash64(n, 3) % 50400000, 2)), 'UTC') AS ended_at,
        toUInt64(exp(12.3 + 1.1 * (cityHash64(n, 4) / 18446744073709551616 + cityHash64(n, 5) / 18446744073709551616
            + cityHash64(n, 6) / 18446744073709551616 - 1.5))) AS length_ms,
        multiIf(cityHash64(n, 7) % 100 < 96, 'analyzed', cityHash64(n, 7) % 100 < 98, 'too_short', 'no_audio')
            AS outcome,
        cityHash64(n, 8) % {customers} AS customer
    FROM numbers({last - first})
)"""  # noqa: S608 - numbers of ours


def _zipf(seed: str, size: int) -> str:
    """A number from 0 to size - 1, by Zipf's law."""
    return f"(toUInt32(exp({seed} / 18446744073709551616 * log({size + 1}))) - 1)"


def _among(values: tuple[str, ...], index: str) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"[{listed}][1 + {index}]"


def transcripts_sql(year: Year, first: int, last: int) -> str:
    """Transcripts of about 500 characters in some 20 segments, without words."""
    planted = " || ".join(
        f"if(s = {SEGMENT_OF_CUSTOMER if word.role == 'customer' else SEGMENT_OF_AGENT} "
        f"AND cityHash64(n, 's{number}') % {word.one_of} = 0, '{word.text}', '')"
        for number, word in enumerate(KEYWORDS)
    )
    pick = f"words[1 + {_zipf('cityHash64(n * 10000 + s * 100 + w)', WORDS)}]"
    return f"""
INSERT INTO transcript_versions (tenant_id, call_id, ended_at, outcome, outcome_reason, language, language_confidence,
    engine_name, engine_version, engine_model, real_time_factor, roles_inferred, speech_ms, rejected_count,
    segments.segment_id, segments.channel, segments.role, segments.start_ms, segments.end_ms, segments.text,
    segments.confidence, segments.word_text, segments.word_start_ms, segments.word_end_ms, segments.word_confidence,
    segments.agitated, segments.valence, segments.sound_agitated, segments.text_agitated, segments.emotion_source,
    segments.emotion_gap, transcribed_at, version)
WITH
    (SELECT groupArray(word) FROM (SELECT word FROM {WORD_TABLE} ORDER BY rank)) AS words,
    if(outcome = 'analyzed', 18 + cityHash64(n, 20) % 10, 0) AS size,
    range(size) AS ids,
    arrayMap(s -> arrayStringConcat(arrayMap(w -> {pick}, range(5 + cityHash64(n, s) % 10))) || {planted}, ids) AS texts
SELECT
    tenant_id, call_id, ended_at,
    if(outcome = 'analyzed', NULL, outcome), if(outcome = 'analyzed', NULL, 'told by the recording'),
    'zh', 0.98, 'faster_whisper', '1.2.1', 'base', 0.3, false,
    map('agent', intDiv(length_ms, 2), 'customer', intDiv(length_ms, 3)), 0,
    ids, arrayMap(s -> s % 2, ids), arrayMap(s -> if(s % 2 = 0, 'agent', 'customer'), ids),
    arrayMap(s -> intDiv(length_ms * s, size), ids), arrayMap(s -> intDiv(length_ms * (s + 1), size) - 200, ids),
    texts,
    arrayMap(s -> toFloat32(0.6 + cityHash64(n, s, 1) % 40 / 100), ids),
    arrayMap(s -> [], ids), arrayMap(s -> [], ids), arrayMap(s -> [], ids), arrayMap(s -> [], ids),
    arrayMap(s -> toFloat32(cityHash64(n, s, 2) % 100 / 100), ids), arrayMap(s -> toFloat32(0), ids),
    arrayMap(s -> toFloat32(cityHash64(n, s, 3) % 100 / 100), ids), arrayMap(s -> NULL, ids),
    arrayMap(s -> 'sound', ids), arrayMap(s -> NULL, ids),
    ended_at + INTERVAL 60 SECOND, toUnixTimestamp64Milli(ended_at) + 60000
FROM {_call(year, first, last)}
"""  # noqa: S608 - names and numbers of ours


_MEASURES = {
    "overlap_ms": "cityHash64(n, 40) % 9000",
    "non_talk_ms": "cityHash64(n, 41) % 60000",
    "unexcused_silence_ms": "cityHash64(n, 42) % 20000",
    "excused_silence_ms": "cityHash64(n, 43) % 20000",
    "longest_silence_ms": "cityHash64(n, 44) % 20000",
    "agent_interruptions": "cityHash64(n, 45) % 5",
    "customer_interruptions": "cityHash64(n, 46) % 5",
    "agent_interruption_rate": "cityHash64(n, 47) % 100 / 100",
    "customer_interruption_rate": "cityHash64(n, 48) % 100 / 100",
    "agent_back_channels": "cityHash64(n, 49) % 9",
    "customer_back_channels": "cityHash64(n, 50) % 9",
    "agent_speech_rate_cpm": "180 + cityHash64(n, 51) % 120",
    "customer_speech_rate_cpm": "160 + cityHash64(n, 52) % 140",
    "response_delay_median_ms": "200 + cityHash64(n, 53) % 1500",
    "customer_agitated_segments": "cityHash64(n, 54) % 4",
    "customer_agitation_max": "round(pow(cityHash64(n, 55) / 18446744073709551616, 3), 3)",
    "agent_agitation_max": "round(pow(cityHash64(n, 56) / 18446744073709551616, 4), 3)",
    "customer_sentiment_trend": "cityHash64(n, 57) % 200 / 100 - 1",
    "emotion_coping": "cityHash64(n, 58) % 2",
    "recording_notice": "cityHash64(n, 59) % 20 > 0",
    "risk_warning": "cityHash64(n, 60) % 10 > 0",
    "identity_verified_before_disclosure": "cityHash64(n, 61) % 10 > 0",
    "agent_talk_share": "round(0.3 + cityHash64(n, 62) % 400 / 1000, 3)",
    "duration_anomaly": "cityHash64(n, 63) % 100 = 0",
    "sensitive_words": "toUInt8(sensitive)",
}


def calls_sql(year: Year, first: int, last: int) -> str:
    """Judged calls with measures, findings, topics, score and risk."""
    measures = ", ".join(f"'{name}', toNullable(toFloat64({value}))" for name, value in _MEASURES.items())
    common = _among(SENSITIVE_WORDS, _zipf("cityHash64(n, 71)", len(SENSITIVE_WORDS)))
    word = f"if(cityHash64(n, 70) % {RARE_ONE_OF} = 0, '{RARE_SENSITIVE_WORD}', {common})"
    topic = f"'topic_' || toString({_zipf('cityHash64(n, t, 75)', TOPICS)})"
    queue = _among(QUEUES, f"cityHash64(n, 80) % {len(QUEUES)}")
    digits = max(4, len(str(year.agents - 1)))
    inquiry_type = _among(INQUIRY_TYPES, f"cityHash64(n, 81) % {len(INQUIRY_TYPES)}")
    return f"""
INSERT INTO call_versions (tenant_id, call_id, direction, handled_by, started_at, ended_at, agent_id, agent_team,
    agent_seniority, customer_key, customer_tags, customer_value_tier, queue, inquiry_type, industry, order_id,
    order_status, crm, recording_notice_played, csat_score, csat_scale_min, csat_scale_max, legal_hold, audio_uri,
    audio_sha256, audio_bytes, audio_container, audio_codec, audio_sample_rate_hz, audio_channels,
    audio_identical_channels, audio_truncated, outcome, outcome_reason, language, engine_name, engine_version,
    engine_model, real_time_factor, duration_ms, duration_in_band, measures, risk_level, risk_score, risk_reasons,
    findings.finding_id, findings.detector, findings.rule_id, findings.rule_version, findings.category, findings.role,
    findings.start_ms, findings.end_ms, findings.quote, findings.matched, findings.severity, findings.score_delta,
    findings.confidence, findings.attributes, topics.topic_id, topics.name, topics.role, topics.quote,
    topics.confidence, transcribed_at, analyzed_at, analysis_version, lexicon_version, version, score_form,
    score_form_version, score, score_groups, retention_class, retention_days)
WITH
    (SELECT groupArray(word) FROM (SELECT word FROM {WORD_TABLE} ORDER BY rank)) AS words,
    outcome = 'analyzed' AS heard,
    heard AND cityHash64(n, 72) % 100 < 8 OR cityHash64(n, 70) % {RARE_ONE_OF} = 0 AS sensitive,
    range(if(heard, cityHash64(n, 73) % 4 + toUInt8(sensitive), 0)) AS found,
    if(cityHash64(n, 74) % {RARE_ONE_OF} = 0, ['{RARE_TOPIC}'],
       arrayDistinct(arrayMap(t -> {topic}, range(if(heard, cityHash64(n, 76) % 4, 0))))) AS demands,
    multiIf(cityHash64(n, 77) % 100 < 3, 'high', cityHash64(n, 77) % 100 < 18, 'medium', 'low') AS risk,
    cityHash64(n, 78) % 5 AS has_order
SELECT
    tenant_id, call_id, if(cityHash64(n, 79) % 5 = 0, 'outbound', 'inbound'), 'human',
    ended_at - INTERVAL length_ms MILLISECOND, ended_at,
    'A' || leftPad(toString(agent), {digits}, '0'), tenant_id || '-' || toString(intDiv(agent, {TEAM_SIZE})),
    ['new', 'regular', 'senior'][1 + agent % 3], lower(hex(SHA256(concat('customer ', toString(customer))))), [], NULL,
    {queue}, {inquiry_type},
    'ecommerce', if(has_order < 2, 'O' || toString(1000000000 + intDiv(n * 3, 4)), NULL),
    if(has_order < 2, 'paid', NULL), map(), true,
    if(cityHash64(n, 82) % 4 = 0, 1 + cityHash64(n, 83) % 5, NULL), 1, 5, false,
    's3://callstream/' || tenant_id || '/' || call_id || '.wav', lower(hex(SHA256(call_id))), length_ms * 16,
    'wav', 'pcm_s16le', 8000, 2, false, false, outcome,
    if(heard, 'heard', 'told by the recording'), 'zh', 'faster_whisper', '1.2.1', 'base', 0.3, length_ms,
    length_ms BETWEEN 180000 AND 480000,
    if(heard, map({measures}), map()), if(heard, risk, NULL), if(heard, cityHash64(n, 84) % 100, NULL), [],
    arrayMap(f -> lower(hex(cityHash64(n, f))), found),
    arrayMap(f -> if(sensitive AND f = 0, 'sensitive_words', 'rules'), found),
    arrayMap(f -> 'rule_' || toString({_zipf("cityHash64(n, f, 85)", RULES)}), found), arrayMap(f -> '3', found),
    arrayMap(f -> if(sensitive AND f = 0, 'forbidden_promise', 'procedure'), found),
    arrayMap(f -> if(f % 2 = 0, 'agent', 'customer'), found),
    arrayMap(f -> intDiv(length_ms * f, 6), found), arrayMap(f -> intDiv(length_ms * f, 6) + 2000, found),
    arrayMap(f -> words[1 + cityHash64(n, f, 86) % 5000] || words[1 + cityHash64(n, f, 87) % 5000]
        || if(sensitive AND f = 0, {word}, '好的') || words[1 + cityHash64(n, f, 88) % 5000], found),
    arrayMap(f -> if(sensitive AND f = 0, {word}, '好的'), found),
    arrayMap(f -> ['info', 'low', 'medium', 'high'][1 + cityHash64(n, f, 89) % 4], found),
    arrayMap(f -> 0., found), arrayMap(f -> 1., found), arrayMap(f -> map('pack', 'ecommerce'), found),
    demands, demands, arrayMap(t -> 'customer', demands),
    arrayMap(t -> words[1 + cityHash64(n, t, 90) % 5000] || words[1 + cityHash64(n, t, 91) % 5000], demands),
    arrayMap(t -> 0.9, demands),
    ended_at + INTERVAL 60 SECOND, ended_at + INTERVAL 70 SECOND, 2, '3',
    2 * 10000000000000 + toUnixTimestamp64Milli(ended_at) + 70000,
    if(heard, 'general', NULL), if(heard, 1, NULL),
    if(heard AND cityHash64(n, 92) % 50 > 0,
        round(60 + (cityHash64(n, 93) % 1000 + cityHash64(n, 94) % 1000) / 50), NULL),
    if(heard, map('compliance', toNullable(toFloat64(cityHash64(n, 95) % 101)),
        'communication', toNullable(toFloat64(cityHash64(n, 96) % 101))), map()),
    'standard', 180
FROM {_call(year, first, last)}
"""  # noqa: S608 - names and numbers of ours


def outcomes_sql(year: Year, first: int, last: int) -> str:
    """What became of each call."""
    return f"""
INSERT INTO outcome_versions (tenant_id, call_id, outcome, reason, ended_at, since, version)
SELECT tenant_id, call_id, outcome, if(outcome = 'analyzed', 'heard', 'told by the recording'), ended_at,
    ended_at + INTERVAL 70 SECOND, 2 * 10000000000000 + toUnixTimestamp64Milli(ended_at) + 70000
FROM {_call(year, first, last)}
"""  # noqa: S608 - names and numbers of ours
