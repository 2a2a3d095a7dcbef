import pytest

from processors.detectors.interruptions import InterruptionsDetector
from processors.judging.call_context import CallContext
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Interval, Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import Turn, heard, on_one_channel, said

DETECTOR = InterruptionsDetector()

AGENT_TALKS: Turn = ("agent", 0, 10_000, "我们这周有一个会员优惠活动全场商品满三百减五十")


def interruptions(*turns: Turn) -> tuple[MeasureValue, MeasureValue, MeasureValue]:
    """Interruptions by the customer, by the agent, back-channels of the customer."""
    values = measured(DETECTOR, heard(turns))
    return values["customer_interruptions"], values["agent_interruptions"], values["customer_back_channels"]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        pytest.param([("customer", 5_000, 7_000, "你先听我说")], (1, 0, 0), id="long enough, and says enough"),
        pytest.param([("customer", 9_500, 12_000, "你先听我说")], (1, 0, 0), id="exactly half a second of overlap"),
        pytest.param([("customer", 9_501, 12_000, "你先听我说")], (0, 0, 0), id="a hair less overlap"),
        pytest.param([("customer", 10_000, 12_000, "你先听我说")], (0, 0, 0), id="starts as the other ends"),
        pytest.param([("customer", 5_000, 7_000, "我要退货")], (1, 0, 0), id="four characters are enough"),
        pytest.param([("customer", 5_000, 7_000, "要退货")], (0, 0, 0), id="three are not"),
        pytest.param([("customer", 5_000, 7_000, "wait please")], (1, 0, 0), id="two words of another script"),
        pytest.param([("customer", 5_000, 7_000, "wait")], (0, 0, 0), id="one word of it"),
        pytest.param([("customer", 5_000, 5_900, "嗯嗯好的知道了")], (0, 0, 1), id="a long back-channel"),
        pytest.param([("customer", 5_000, 5_400, "嗯")], (0, 0, 1), id="a back-channel needs no half second"),
        pytest.param([("customer", 9_900, 10_300, "好的")], (0, 0, 0), id="an answer that comes a little early"),
        pytest.param([("customer", 10_500, 10_900, "好的")], (0, 0, 0), id="an answer is no back-channel"),
        pytest.param([("customer", 5_000, 5_400, " ")], (0, 0, 1), id="a short sound without words"),
        pytest.param([("customer", 5_000, 6_000, "要退货")], (0, 0, 1), id="a second, whatever was said"),
        pytest.param([("customer", 5_000, 6_001, "要退货")], (0, 0, 0), id="longer than a second"),
        pytest.param([("customer", 5_000, 6_001, " ")], (0, 0, 0), id="longer, without words"),
        pytest.param([("customer", 5_000, 5_600, "我要退货")], (1, 0, 0), id="four characters cut in, if shortly"),
        pytest.param([("customer", 5_000, 5_499, "我要退货")], (0, 0, 1), id="which take half a second"),
        pytest.param([("customer", 5_000, 5_600, "你先听我说")], (0, 0, 1), id="more than can be said in the time"),
        pytest.param([("customer", 9_500, 10_000, "不要")], (0, 0, 0), id="the other side speaks no more"),
        pytest.param([("customer", 9_500, 10_000, " ")], (0, 0, 0), id="nor after a sound without words"),
        pytest.param(
            [("customer", 9_500, 10_000, "不要"), ("agent", 10_300, 12_000, "您听我说")],
            (0, 0, 1),
            id="but does after a breath",
        ),
        pytest.param(
            [("customer", 9_500, 10_000, "不要"), ("agent", 10_301, 12_000, "您听我说")],
            (0, 0, 0),
            id="not after a pause",
        ),
        pytest.param(
            [
                ("customer", 9_000, 9_500, "不要"),
                ("customer", 10_100, 11_000, "我要退货"),
                ("agent", 10_050, 12_000, "您好"),
            ],
            (1, 0, 0),
            id="who goes on to speak wants the floor",
        ),
        pytest.param(
            [("customer", 5_000, 6_000, "不对"), ("customer", 6_500, 7_500, "我要退货")],
            (1, 0, 0),
            id="goes on to say enough after a breath",
        ),
        pytest.param(
            [("customer", 9_800, 14_000, "我要退货因为它坏了"), ("agent", 12_000, 15_000, "您先听我说完")],
            (0, 1, 0),
            id="who began a little early does not interrupt by being interrupted later",
        ),
        pytest.param(
            [("customer", 3_000, 4_000, "你先听我说"), ("customer", 7_000, 8_000, "听我说完好吗")],
            (2, 0, 0),
            id="twice",
        ),
    ],
)
def test_who_interrupts(turns: list[Turn], expected: tuple[int, int, int]) -> None:
    assert interruptions(AGENT_TALKS, *turns) == expected


def test_who_begins_in_a_pause_does_not_interrupt_but_who_goes_on_then_does() -> None:
    assert interruptions(
        ("agent", 0, 4_500, "我们这周有活动"),
        ("customer", 4_900, 8_000, "我先说一下"),
        ("agent", 5_000, 7_000, "您先听我说完"),
    ) == (0, 1, 0)


def test_what_follows_an_utterance_does_not_make_it_an_interruption() -> None:
    """The customer's first words overlap too little; the agent begins again, and only the second ones interrupt."""
    assert interruptions(
        ("agent", 0, 5_600, "我们这周有活动"),
        ("customer", 5_200, 5_600, "你先听我说"),
        ("agent", 5_700, 9_000, "全场都可以用"),
        ("customer", 5_800, 7_000, "听我说完好吗"),
    ) == (1, 0, 0)


def with_speech(transcript: Transcript, role: Role, *spans: tuple[int, int]) -> Transcript:
    """The call with other speech of that role, whatever was understood of it."""
    intervals = tuple(Interval(start_ms=start_ms, end_ms=end_ms) for start_ms, end_ms in spans)
    return transcript.model_copy(update={"speech": {**transcript.speech, role: intervals}})


def test_who_is_interrupted_need_not_be_understood() -> None:
    customer = heard([("customer", 0, 900, "我要退货"), ("customer", 3_000, 4_500, "你先听我说")])
    transcript = with_speech(customer, "agent", (1_500, 4_000))
    values = measured(DETECTOR, transcript)
    assert (values["customer_interruptions"], values["customer_interruption_rate"]) == (1, 0.5)


def test_a_noise_before_the_words_is_no_overlap_of_theirs() -> None:
    late = heard([AGENT_TALKS, ("customer", 9_600, 12_000, "你先听我说")])
    transcript = with_speech(late, "customer", (7_000, 12_000))
    assert measured(DETECTOR, transcript)["customer_interruptions"] == 0


@pytest.mark.parametrize(
    ("confidence", "text", "expected"),
    [
        pytest.param(0.15, "这个", 1, id="short and unsure: a 嗯 that was written as something"),
        pytest.param(0.9, "这个", 0, id="short and sure: words"),
        pytest.param(0.15, "这个呢", 0, id="unsure and longer: words"),
    ],
)
def test_recognisers_write_a_hum_as_any_short_word(confidence: float, text: str, expected: int) -> None:
    """Where the other side speaks no more: else the time alone tells."""
    transcript = heard([AGENT_TALKS, ("customer", 9_800, 10_200, text)])
    agent, customer = transcript.segments
    unsure = customer.model_copy(update={"confidence": confidence})
    transcript = transcript.model_copy(update={"segments": (agent, unsure)})
    assert measured(DETECTOR, transcript)["customer_back_channels"] == expected


@pytest.mark.parametrize("text", ["你先听我说", "谢谢观看"])
def test_an_unsure_text_of_a_short_sound_is_no_interruption(text: str) -> None:
    transcript = heard([AGENT_TALKS, ("customer", 5_000, 5_900, text)])
    agent, customer = transcript.segments
    unsure = customer.model_copy(update={"confidence": 0.3})
    values = measured(DETECTOR, transcript.model_copy(update={"segments": (agent, unsure)}))
    assert (values["customer_interruptions"], values["customer_back_channels"], values["customer_turns"]) == (0, 1, 0)


def test_sounds_that_were_not_understood_at_all_count_by_their_time() -> None:
    transcript = with_speech(
        heard([AGENT_TALKS, ("customer", 11_000, 12_000, "我要退货")]),
        "customer",
        *((2_000, 2_400), (5_000, 6_000), (7_000, 8_500), (9_900, 10_400), (11_000, 12_000)),
    )
    assert measured(DETECTOR, transcript)["customer_back_channels"] == 2


def test_the_rate_is_of_the_turns_of_who_interrupts() -> None:
    values = measured(
        DETECTOR,
        heard(
            [
                AGENT_TALKS,
                ("customer", 2_000, 2_400, "嗯"),
                ("customer", 9_000, 12_000, "你先听我说"),
                ("agent", 12_500, 14_000, "您请说"),
                ("customer", 14_500, 16_000, "我要退货"),
                ("agent", 16_500, 17_000, "好的"),
                ("customer", 17_500, 18_000, "谢谢"),
            ]
        ),
    )
    assert values["customer_interruption_rate"] == 0.3333
    assert (values["customer_interruptions"], values["customer_turns"], values["agent_turns"]) == (1, 3, 3)
    assert values["agent_interruption_rate"] == 0
    assert values["overlap_ms"] == 1_400


def test_a_side_without_turns_has_no_rate() -> None:
    transcript = heard([AGENT_TALKS])
    assert not_measured(DETECTOR, transcript) == {"customer_interruption_rate": "no_turns"}
    values = measured(DETECTOR, transcript)
    assert (values["customer_turns"], values["customer_interruptions"], values["agent_turns"]) == (0, 0, 1)


INTERRUPTED = heard([AGENT_TALKS, ("customer", 5_000, 7_000, "你先听我说")])


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        pytest.param(said(("unknown", "您好"), ("unknown", "你好")), "speaker_unknown", id="nobody says who speaks"),
        pytest.param(on_one_channel(INTERRUPTED), "one_channel", id="one channel, and the event names no speakers"),
        pytest.param(heard([]), "no_speech", id="nothing was said"),
    ],
)
def test_what_cannot_be_known_is_null(transcript: Transcript, reason: str) -> None:
    assert not_measured(DETECTOR, transcript) == dict.fromkeys(DETECTOR.measures, reason)
    assert found(DETECTOR, transcript) == []


def test_two_channels_with_the_same_sound_are_one() -> None:
    assert INTERRUPTED.audio is not None
    facts = INTERRUPTED.audio.model_copy(update={"identical_channels": True})
    transcript = INTERRUPTED.model_copy(update={"audio": facts})
    assert not_measured(DETECTOR, transcript)["overlap_ms"] == "one_channel"


@pytest.mark.parametrize(
    ("agent_until_ms", "expected"),
    [pytest.param(10_000, 1, id="the event has them overlap"), pytest.param(5_000, 0, id="it has them take turns")],
)
def test_on_one_channel_the_event_says_who_speaks_over_whom(agent_until_ms: int, expected: int) -> None:
    shared_out = heard([("agent", 0, 5_000, "我们这周有活动"), ("customer", 5_000, 7_000, "你先听我说")])
    transcript = on_one_channel(shared_out, ("agent", 0, agent_until_ms), ("customer", 5_000, 7_000))
    assert measured(DETECTOR, transcript)["customer_interruptions"] == expected


def test_a_finding_says_who_cut_in_with_what() -> None:
    (finding,) = found(DETECTOR, INTERRUPTED)
    assert (finding.category, finding.role, finding.quote) == ("interruption", "customer", "你先听我说")
    assert (finding.rule_id, finding.rule_version) == ("interruptions.interruption", "1")
    assert (finding.start_ms, finding.end_ms) == (5_000, 7_000)
    assert finding.attributes == {"overlap_ms": 2_000, "segment_id": 1, "match_start": 0, "match_end": 5}


def test_the_quote_of_a_flood_of_words_is_cut() -> None:
    flood = "你们这是骗人" * 50
    transcript = heard([AGENT_TALKS, ("customer", 5_000, 30_000, flood), ("customer", 30_100, 31_000, flood)])
    (finding,) = found(DETECTOR, transcript)
    assert finding.quote == flood[:120]
    assert finding.attributes["last_segment_id"] == 2


def test_agents_who_interrupt_weigh_more_than_customers() -> None:
    agent = heard([("customer", 0, 9_000, "我要投诉你们"), ("agent", 5_000, 7_000, "您先听我说完")])
    assert [finding.severity for finding in found(DETECTOR, agent)] == ["medium"]
    assert [finding.severity for finding in found(DETECTOR, INTERRUPTED)] == ["low"]


def test_thousands_of_interruptions_are_counted() -> None:
    turns: list[Turn] = []
    for at in range(2_000):
        turns.append(("agent", at * 4_000, at * 4_000 + 3_000, "我们这周有活动"))
        turns.append(("customer", at * 4_000 + 1_000, at * 4_000 + 3_500, "你先听我说"))
    results = list(DETECTOR.process(CallContext(heard(turns))))
    assert len(results) == 2_000 + len(DETECTOR.measures)
