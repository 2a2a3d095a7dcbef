import pytest

from processors.clickhouse.rows import CALLS, rows_for_analysis
from processors.detectors.base.contract import ResponseDelays
from processors.detectors.talk import TalkDetector
from processors.judging.call_context import CallContext
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.messages.pii import PiiSpan
from schemas.messages.sound import AudioQuality, CallSound, ChannelMeasures
from schemas.messages.transcript import Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import Turn, heard, on_one_channel, said

DETECTOR = TalkDetector()

CALL = heard([("customer", 0, 2_000, "我要退货谢谢"), ("agent", 2_500, 8_500, "好的请问您的订单号是多少")])


def with_rates(transcript: Transcript, agent_cpm: float | None, customer_cpm: float | None) -> Transcript:
    """As `listen` counted."""
    channels = tuple(
        ChannelMeasures(
            channel=channel,
            role=role,
            speech_ms=0,
            characters_per_minute=rate,
            quality=AudioQuality(clipped_share=0),
        )
        for channel, (role, rate) in enumerate((("agent", agent_cpm), ("customer", customer_cpm)))
    )
    return transcript.model_copy(update={"sound": CallSound(channels=channels)})


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        pytest.param(CALL, 0.75, id="six of eight seconds"),
        pytest.param(said(("agent", "您好")), 1.0, id="the customer is silent"),
        pytest.param(said(("customer", "你好")), 0.0, id="the agent is silent"),
        pytest.param(
            heard([("agent", 0, 2_000, "您好"), ("customer", 0, 2_000, "你好")]), 0.5, id="at once counts for both"
        ),
    ],
)
def test_the_talk_share_is_the_agents_part_of_all_speech(transcript: Transcript, expected: float) -> None:
    assert measured(DETECTOR, transcript)["agent_talk_share"] == expected


def test_the_talk_share_of_segments_without_length_is_not_measured() -> None:
    assert not_measured(DETECTOR, heard([("agent", 500, 500, "您好")]))["agent_talk_share"] == "no_speech"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("我要退货谢谢", 180.0, id="characters"),
        pytest.param("订单2781", 180.0, id="digits are spoken one by one"),
        pytest.param("my order number please", 120.0, id="words of another script"),
    ],
)
def test_the_speech_rate_counts_what_was_said_per_minute(text: str, expected: float) -> None:
    assert measured(DETECTOR, heard([("customer", 0, 2_000, text)]))["customer_speech_rate_cpm"] == expected


def test_the_speech_rate_is_that_of_listen_where_it_has_one() -> None:
    values = measured(DETECTOR, with_rates(CALL, 211.5, None))
    assert values["agent_speech_rate_cpm"] == 211.5
    assert values["customer_speech_rate_cpm"] == 180.0


def test_two_channels_of_one_role_have_no_common_rate() -> None:
    transcript = with_rates(CALL, 211.5, 150.0)
    assert transcript.sound is not None
    channels = tuple(each.model_copy(update={"role": "agent"}) for each in transcript.sound.channels)
    transcript = transcript.model_copy(update={"sound": CallSound(channels=channels)})
    assert measured(DETECTOR, transcript)["agent_speech_rate_cpm"] == 120.0


def test_what_was_masked_slows_nobody_down() -> None:
    transcript = heard([("customer", 0, 2_000, "我要退货谢谢"), ("customer", 3_000, 9_000, "[银行卡]")])
    span = PiiSpan(
        kind="bank_card",
        segment_id=1,
        role="customer",
        start_ms=3_000,
        end_ms=9_000,
        start_char=0,
        end_char=5,
        confidence=1,
        placeholder="[银行卡]",
    )
    masked = transcript.model_copy(update={"pii": (span,)})
    assert measured(DETECTOR, masked)["customer_speech_rate_cpm"] == 180.0


def test_who_says_nothing_has_no_speech_rate() -> None:
    skipped = not_measured(DETECTOR, said(("agent", "您好")))
    assert skipped["customer_speech_rate_cpm"] == "no_customer_speech"
    assert "agent_speech_rate_cpm" not in skipped


@pytest.mark.parametrize(
    ("turns", "median_ms", "p90_ms"),
    [
        pytest.param([("customer", 0, 900, "你好"), ("agent", 1_400, 2_000, "您好")], 500, 500, id="one answer"),
        pytest.param(
            [
                *[("customer", at * 10_000, at * 10_000 + 900, "请问") for at in range(10)],
                *[("agent", at * 10_000 + 1_000 + at * 100, at * 10_000 + 5_000, "请讲") for at in range(10)],
            ],
            550,
            900,
            id="the median lies between, the ninetieth percentile is one of them",
        ),
        pytest.param(
            [
                ("customer", 0, 2_000, "我要退货"),
                ("agent", 1_800, 4_000, "好的请问订单号"),
                ("customer", 5_000, 6_000, "二七八一"),
                ("agent", 6_300, 7_000, "谢谢"),
            ],
            300,
            300,
            id="who speaks before the end does not answer",
        ),
        pytest.param(
            [
                ("customer", 0, 4_000, "我要退货因为它坏了"),
                ("agent", 2_000, 2_300, "嗯"),
                ("agent", 4_800, 6_000, "好的请问订单号"),
            ],
            800,
            800,
            id="nor does who hums",
        ),
        pytest.param(
            [("customer", 0, 900, "你好"), ("agent", 1_100, 2_000, "请稍等"), ("agent", 12_000, 13_000, "久等了")],
            200,
            200,
            id="what follows in the same turn is no second answer",
        ),
    ],
)
def test_the_response_delay_is_from_the_customers_end_to_the_agents_turn(
    turns: list[Turn], median_ms: int, p90_ms: int
) -> None:
    values = measured(DETECTOR, heard(turns))
    assert (values["response_delay_median_ms"], values["response_delay_p90_ms"]) == (median_ms, p90_ms)


def test_the_delay_of_every_answer_is_kept_in_the_order_of_the_call() -> None:
    """A percentile of many calls cannot be made of the percentiles of each."""
    call = heard(
        [
            ("customer", 0, 2_000, "我要退货谢谢"),
            ("agent", 4_000, 6_000, "好的请问您的订单号是多少"),
            ("customer", 6_500, 8_000, "二七八一"),
            ("agent", 8_300, 9_500, "好的已经为您登记了"),
        ]
    )
    results = DETECTOR.process(CallContext(call))
    assert [each.values_ms for each in results if isinstance(each, ResponseDelays)] == [(2_000, 300)]
    nothing = DETECTOR.process(CallContext(said(("agent", "您好"))))
    assert not any(isinstance(each, ResponseDelays) for each in nothing)
    analysis = Judge(JudgeSettings()).judge(call, call.transcribed_at)
    assert analysis.response_delays_ms == (2_000, 300)
    (row,) = rows_for_analysis(analysis)[CALLS]
    assert row["response_delays_ms"] == [2_000, 300]


def test_without_answers_there_is_no_delay() -> None:
    skipped = not_measured(DETECTOR, said(("agent", "您好"), ("customer", "你好")))
    assert skipped == dict.fromkeys(("response_delay_median_ms", "response_delay_p90_ms"), "no_responses")


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        pytest.param(said(("unknown", "您好")), "speaker_unknown", id="nobody says who speaks"),
        pytest.param(on_one_channel(said(("agent", "您好"))), "one_channel", id="one channel, one speaker named"),
        pytest.param(heard([]), "no_speech", id="nothing was said"),
    ],
)
def test_what_cannot_be_known_is_null(transcript: Transcript, reason: str) -> None:
    assert not_measured(DETECTOR, transcript) == dict.fromkeys(DETECTOR.measures, reason)


def test_one_channel_whose_speakers_are_named_is_measured() -> None:
    assert measured(DETECTOR, on_one_channel(CALL)) == measured(DETECTOR, CALL)
    assert found(DETECTOR, CALL) == []
