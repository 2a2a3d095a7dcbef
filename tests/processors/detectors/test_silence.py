import pytest

from processors.detectors.silence import SilenceDetector
from schemas.messages.transcript import Interval, Transcript
from tests.processors.detectors.results import found, measured, not_measured
from tests.processors.transcripts import Turn, heard, on_one_channel, said

DETECTOR = SilenceDetector()
EXCUSES = DETECTOR.measures[2:]


def waited(asked: str, answer: str = "让您久等了", by: str = "agent", after_ms: int = 5_000) -> Transcript:
    """The agent says something; then nobody speaks, until somebody says something."""
    next_ms = 3_000 + after_ms
    closing: Turn = ("agent" if by == "agent" else "customer", next_ms, next_ms + 900, answer)
    return heard([("customer", 0, 900, "帮我看看"), ("agent", 1_000, 3_000, asked), closing])


def excused(transcript: Transcript) -> tuple[object, object]:
    values = measured(DETECTOR, transcript)
    return values["excused_silences"], values["unexcused_silences"]


@pytest.mark.parametrize(
    "asked",
    [
        "请稍等",
        "好的,稍等一下。",
        "请稍候",
        "麻烦您等一下",
        "请您稍微等一会",
        "我帮您查询一下",
        "我查一下",
        "请不要挂机",
        "請稍等",
        "我幫您查詢一下",
        "我这边给您核实一下",
        "请您保持在线",
        "这就为您确认",
        "请您耐心等待",
        "您先别挂电话",
        pytest.param("请稍后", id="稍候 misheard"),
        pytest.param("请少等", id="稍等 misheard"),
        pytest.param("我帮您查醒一下", id="查询一下 misheard"),
        pytest.param("请稍等,我马上为您处理这个问题", id="asks in the middle"),
    ],
)
def test_who_was_asked_to_wait_and_gets_an_answer_has_an_excused_silence(asked: str) -> None:
    assert excused(waited(asked)) == (1, 0)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("我看一下您的订单", id="to look is no request"),
        pytest.param("让您久等了", id="the wait is over"),
        pytest.param("已经帮您查询到了", id="looked up already"),
        pytest.param("我刚才查了一下", id="looked up before"),
        pytest.param("已经为您确认好了", id="confirmed already"),
        pytest.param("退款请您耐心等待三到五天", id="to wait for days"),
        pytest.param("请您稍后再拨", id="to call again later"),
        pytest.param("那我稍后再给您打电话", id="later is not now"),
    ],
)
def test_without_a_request_a_silence_is_not_excused(asked: str) -> None:
    assert excused(waited(asked)) == (0, 1)


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        pytest.param(waited("请稍等", "喂你还在吗", by="customer"), (0, 1), id="the customer had to end it"),
        pytest.param(waited("请稍等", "您的包裹已经到了"), (1, 0), id="the agent answers without an apology"),
        pytest.param(waited("请稍等", "嗯"), (0, 1), id="a hum is no answer"),
        pytest.param(
            heard(
                [
                    ("agent", 0, 2_000, "请稍等"),
                    ("customer", 6_000, 6_400, "嗯"),
                    ("agent", 12_000, 13_000, "让您久等了"),
                ]
            ),
            (2, 0),
            id="a customer who hums while waiting does not end it",
        ),
        pytest.param(waited("请稍等", after_ms=120_000), (1, 0), id="however long the silence itself is"),
        pytest.param(
            heard(
                [
                    ("agent", 0, 2_000, "请稍等"),
                    ("customer", 2_500, 62_000, "我跟你说"),
                    ("agent", 70_000, 71_000, "让您久等了"),
                ]
            ),
            (1, 0),
            id="asked exactly 60 s before the silence",
        ),
        pytest.param(
            heard(
                [
                    ("agent", 0, 2_000, "请稍等"),
                    ("customer", 2_500, 62_001, "我跟你说"),
                    ("agent", 70_000, 71_000, "让您久等了"),
                ]
            ),
            (0, 1),
            id="asked longer ago",
        ),
        pytest.param(
            heard([("agent", 0, 70_000, "请稍等" + "我看看" * 30), ("agent", 75_000, 76_000, "让您久等了")]),
            (0, 1),
            id="asked long ago in a long speech",
        ),
        pytest.param(
            heard([("customer", 0, 2_000, "你稍等一下"), ("agent", 7_000, 8_000, "好的您说")]),
            (0, 1),
            id="it was the customer who asked",
        ),
        pytest.param(
            heard([("agent", 0, 1_000, "您好"), ("customer", 5_000, 6_000, "你好"), ("agent", 6_100, 7_000, "请稍等")]),
            (0, 1),
            id="asked only afterwards",
        ),
        pytest.param(said(("agent", "请稍等"), ("agent", "您好")), (0, 0), id="no silence of three seconds"),
    ],
)
def test_what_excuses_a_silence(transcript: Transcript, expected: tuple[int, int]) -> None:
    assert excused(transcript) == expected


@pytest.mark.parametrize(
    ("closing", "is_excused"),
    [
        pytest.param("非常抱歉", True, id="an apology"),
        pytest.param("感谢您的耐心等待", True, id="thanks for the patience"),
        pytest.param("谢谢您的等待", True, id="thanks for waiting"),
        pytest.param("不好意思请您再稍等一下", True, id="an apology, though it asks to wait once more"),
        pytest.param("查到了", True, id="a short answer"),
        pytest.param("有货", True, id="a shorter one"),
        pytest.param("您的订单昨天已经发货，请问还有什么可以帮您？", True, id="an answer before a question"),
        pytest.param("查到了您的订单已经发货请稍等我再看退款", True, id="an answer before another request"),
        pytest.param("好的，您这边余额是五千元", True, id="an answer after a hum"),
        pytest.param("喂", False, id="whether anybody is there"),
        pytest.param("喂，您好，您还在吗？", False, id="the same in more words"),
        pytest.param("您好", False, id="a greeting"),
        pytest.param("请您再稍等一下", False, id="another request"),
        pytest.param("我这边再帮您查一下", False, id="another request, without asking"),
        pytest.param("请稍等，我马上回来", False, id="another request with what it is for"),
        pytest.param("请问您的订单号是多少", False, id="a question"),
        pytest.param("您是张先生吗？", False, id="a question that expects yes"),
        pytest.param("您好,讓您久等了", True, id="in the other script"),
    ],
)
def test_only_an_apology_or_an_answer_excuses(closing: str, is_excused: bool) -> None:
    assert excused(waited("请稍等", closing)) == ((1, 0) if is_excused else (0, 1))


def test_an_answer_may_be_cut_into_segments_but_not_come_after_the_customer_or_another_silence() -> None:
    before: list[Turn] = [
        ("customer", 0, 900, "帮我看看"),
        ("agent", 1_000, 3_000, "请稍等"),
        ("agent", 8_000, 8_400, "喂"),
    ]
    assert excused(heard([*before, ("agent", 8_800, 10_000, "您的包裹到了")])) == (1, 0)
    customer: Turn = ("customer", 8_500, 8_700, "在的")
    assert excused(heard([*before, customer, ("agent", 8_800, 10_000, "您的包裹到了")])) == (0, 1)
    assert excused(heard([*before, ("agent", 12_000, 13_000, "您的包裹到了")])) == (1, 1)


def test_a_silence_that_only_a_noise_ends_is_not_excused() -> None:
    transcript = heard([("agent", 0, 2_000, "请稍等")])
    speech = {"agent": (*transcript.speech["agent"], Interval(start_ms=9_000, end_ms=9_300))}
    assert excused(transcript.model_copy(update={"speech": speech})) == (0, 1)


def test_words_may_be_timed_a_little_before_the_voice() -> None:
    transcript = heard(
        [("agent", 0, 2_000, "请稍等"), ("agent", 7_700, 9_000, "久等了"), ("customer", 9_100, 9_900, "没关系")]
    )
    speech = {
        **transcript.speech,
        "agent": (Interval(start_ms=0, end_ms=2_000), Interval(start_ms=8_000, end_ms=9_000)),
    }
    assert excused(transcript.model_copy(update={"speech": speech})) == (1, 0)


@pytest.mark.parametrize(
    ("turns", "non_talk_ms", "longest_ms"),
    [
        pytest.param([("agent", 5_000, 6_000, "您好")], 0, 0, id="before the first and after the last speech"),
        pytest.param(
            [("agent", 0, 1_000, "您好"), ("customer", 3_999, 5_000, "你好")],
            0,
            2_999,
            id="just short of three seconds",
        ),
        pytest.param(
            [("agent", 0, 1_000, "您好"), ("customer", 4_000, 5_000, "你好")], 3_000, 3_000, id="three seconds"
        ),
        pytest.param(
            [("agent", 0, 1_000, "您好"), ("customer", 5_000, 5_500, "你好"), ("agent", 10_500, 11_000, "请讲")],
            9_000,
            5_000,
            id="two are added",
        ),
        pytest.param(
            [("agent", 0, 9_000, "您好"), ("customer", 1_000, 2_000, "你好"), ("agent", 9_500, 9_900, "请讲")],
            0,
            500,
            id="nobody is silent while the other speaks",
        ),
    ],
)
def test_only_what_both_leave_unsaid_counts(turns: list[Turn], non_talk_ms: int, longest_ms: int) -> None:
    values = measured(DETECTOR, heard(turns, duration_ms=60_000))
    assert (values["non_talk_ms"], values["longest_silence_ms"]) == (non_talk_ms, longest_ms)


def test_segments_stand_in_for_speech_intervals() -> None:
    transcript = waited("请稍等")
    without = transcript.model_copy(update={"speech": {}})
    assert measured(DETECTOR, without) == measured(DETECTOR, transcript)


@pytest.mark.parametrize(
    ("transcript", "reason"),
    [
        pytest.param(
            heard([("unknown", 0, 1_000, "请稍等"), ("unknown", 5_000, 6_000, "久等了")]),
            "speaker_unknown",
            id="nobody says who asked",
        ),
        pytest.param(
            on_one_channel(heard([("agent", 0, 1_000, "请稍等"), ("agent", 5_000, 6_000, "久等了")])),
            "one_channel",
            id="one channel, one speaker named",
        ),
        pytest.param(
            heard([("agent", 0, 1_000, "hold on"), ("agent", 5_000, 6_000, "thanks")], language="en"),
            "language_not_supported",
            id="a language whose requests are not known",
        ),
    ],
)
def test_a_silence_is_measured_where_its_excuse_is_not(transcript: Transcript, reason: str) -> None:
    assert measured(DETECTOR, transcript) == {"non_talk_ms": 4_000, "longest_silence_ms": 4_000}
    assert not_measured(DETECTOR, transcript) == dict.fromkeys(EXCUSES, reason)
    assert found(DETECTOR, transcript) == []


def test_a_call_without_words_is_no_silence() -> None:
    assert not_measured(DETECTOR, heard([])) == dict.fromkeys(DETECTOR.measures, "no_speech")


@pytest.mark.parametrize(
    ("silence_ms", "severity"), [pytest.param(9_999, "low", id="short"), pytest.param(10_000, "medium", id="long")]
)
def test_an_unexcused_silence_weighs_by_its_length(silence_ms: int, severity: str) -> None:
    (finding,) = found(DETECTOR, waited("我看一下", "喂", by="customer", after_ms=silence_ms))
    assert (finding.category, finding.role, finding.severity) == ("unexcused_silence", "unknown", severity)
    assert (finding.start_ms, finding.end_ms) == (3_000, 3_000 + silence_ms)
    assert finding.attributes == {"silence_ms": silence_ms, "spoke_before": "agent", "spoke_after": "customer"}


def test_a_request_in_vain_is_not_quoted() -> None:
    (finding,) = found(DETECTOR, waited("请稍等", "喂你还在吗", by="customer"))
    assert (finding.category, finding.quote) == ("unexcused_silence", "")


def test_the_last_of_several_requests_is_quoted() -> None:
    (finding,) = found(DETECTOR, waited("请稍等,不要挂机"))
    assert finding.matched == "不要挂"


def test_an_excused_silence_quotes_the_request() -> None:
    (finding,) = found(DETECTOR, waited("好的,请稍等,我马上回来"))
    assert (finding.category, finding.severity, finding.matched) == ("excused_silence", "info", "稍等")
    assert finding.quote == "好的,请稍等,我马上回来"
    assert (finding.attributes["segment_id"], finding.attributes["match_start"]) == (1, 4)


def test_the_lengths_of_both_kinds_are_added_up() -> None:
    values = measured(DETECTOR, waited("请稍等", after_ms=5_000))
    assert (values["excused_silence_ms"], values["unexcused_silence_ms"]) == (5_000, 0)
    values = measured(DETECTOR, waited("我看看", after_ms=5_000))
    assert (values["excused_silence_ms"], values["unexcused_silence_ms"]) == (0, 5_000)
