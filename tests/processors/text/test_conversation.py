import pytest

from processors.text.back_channel import is_back_channel
from processors.text.conversation import conversation, says_something, why_not_told_apart
from schemas.messages.transcript import Transcript
from tests.processors.transcripts import Turn, heard, on_one_channel, said, segment


@pytest.mark.parametrize(
    "text",
    [
        *("嗯", "嗯。", "嗯嗯好的", "对,对,对", "是的是的", "好的好的知道了", "哦,明白了", "行", "對對", "沒問題"),
        pytest.param("直到了", id="知道了 as recognisers write it"),
        pytest.param("OK, I see", id="English"),
        pytest.param("Mm-hmm", id="a hum"),
    ],
)
def test_words_by_which_listeners_show_attention_are_a_back_channel(text: str) -> None:
    assert is_back_channel(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("，。", id="punctuation"),
        pytest.param("不行", id="an objection"),
        pytest.param("好的那我问一下", id="begins like one"),
        pytest.param("可以吗", id="a question"),
        pytest.param("知道" * 5_000 + "吗", id="a long text that nearly is one"),
        pytest.param("对啊" * 5_000 + "x", id="another"),
        pytest.param("[姓名]", id="a masked name"),
        pytest.param("no", id="English"),
    ],
)
def test_whoever_says_more_takes_the_floor(text: str) -> None:
    assert not is_back_channel(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("您好", True), ("嗯嗯", False), ("  ", False), ("。", False)], ids=repr
)
def test_only_words_that_are_more_than_signs_of_attention_say_something(text: str, expected: bool) -> None:
    assert says_something(segment(0, "agent", 0, 1_000, text)) is expected


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        pytest.param(said(("agent", "您好"), ("customer", "你好")), None, id="both are known"),
        pytest.param(said(("agent", "您好")), None, id="a customer who is silent on a channel of his own"),
        pytest.param(said(("agent", "您好"), ("unknown", "你好")), "speaker_unknown", id="one is not known"),
        pytest.param(said(("agent", "您好"), ("unknown", " ")), None, id="unknown, but without words"),
        pytest.param(said(("agent", "您好"), ("unknown", "嗯嗯")), None, id="unknown, but only listening"),
        pytest.param(said(("unknown", "嗯嗯")), "speaker_unknown", id="nobody is known"),
        pytest.param(said(("agent", " ")), "no_speech", id="no words at all"),
        pytest.param(on_one_channel(said(("agent", "您好"))), "one_channel", id="one channel, one speaker named"),
        pytest.param(on_one_channel(said(("agent", "您好"), ("customer", "你好"))), None, id="one channel, both named"),
    ],
)
def test_why_the_sides_are_not_told_apart(transcript: Transcript, expected: str | None) -> None:
    assert why_not_told_apart(transcript) == expected


def roles_and_texts(transcript: Transcript) -> list[tuple[str, str]]:
    turns = conversation(transcript).turns
    return [(turn.role, "|".join(utterance.text for utterance in turn.utterances)) for turn in turns]


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        pytest.param(
            [("agent", 0, 900, "您好"), ("customer", 1_000, 1_900, "你好"), ("agent", 2_000, 2_900, "请讲")],
            [("agent", "您好"), ("customer", "你好"), ("agent", "请讲")],
            id="one after the other",
        ),
        pytest.param(
            [("agent", 0, 900, "我查一下"), ("agent", 9_000, 9_900, "久等了"), ("customer", 10_000, 10_900, "没事")],
            [("agent", "我查一下|久等了"), ("customer", "没事")],
            id="who goes on after a silence is still at his turn",
        ),
        pytest.param(
            [("agent", 0, 900, "我们"), ("agent", 1_500, 2_900, "会处理")],
            [("agent", "我们会处理")],
            id="a short pause is part of an utterance",
        ),
        pytest.param(
            [("agent", 0, 9_000, "我们这周有活动"), ("customer", 3_000, 3_400, "嗯"), ("agent", 9_500, 9_900, "您看")],
            [("agent", "我们这周有活动您看")],
            id="a back-channel ends no turn",
        ),
        pytest.param(
            [("agent", 0, 9_000, "我们这周有活动"), ("customer", 3_000, 3_400, "嗯"), ("customer", 9_500, 9_900, "好")],
            [("agent", "我们这周有活动"), ("customer", "好")],
            id="the same words are a turn where nobody else speaks",
        ),
        pytest.param(
            [
                ("agent", 0, 8_000, "我们这周有活动"),
                ("customer", 2_000, 4_000, "等等你先听我说"),
                ("customer", 9_000, 9_900, "我不要"),
            ],
            [("agent", "我们这周有活动"), ("customer", "等等你先听我说"), ("customer", "我不要")],
            id="who was talked over and speaks again later has two turns",
        ),
        pytest.param(
            [
                ("agent", 0, 9_000, "我们这周有活动"),
                ("customer", 1_000, 2_500, "等等你先听我说"),
                ("customer", 5_000, 6_500, "我说你先听我说"),
            ],
            [("agent", "我们这周有活动"), ("customer", "等等你先听我说"), ("customer", "我说你先听我说")],
            id="each interruption is a turn",
        ),
    ],
)
def test_turns(turns: list[Turn], expected: list[tuple[str, str]]) -> None:
    assert roles_and_texts(heard(turns)) == expected


def test_an_utterance_ends_where_the_other_side_begins_in_its_pause() -> None:
    turns: list[Turn] = [
        ("agent", 0, 900, "我们"),
        ("customer", 1_000, 1_300, "喂喂"),
        ("agent", 1_500, 2_900, "会处理"),
    ]
    assert roles_and_texts(heard(turns)) == [("agent", "我们"), ("customer", "喂喂"), ("agent", "会处理")]


def test_the_gap_is_measured_from_the_end_of_all_that_the_other_side_had_begun_to_say() -> None:
    turns: list[Turn] = [
        ("customer", 0, 2_000, "你好我要退货"),
        ("agent", 2_400, 5_000, "好的请问订单号"),
        ("customer", 4_900, 6_000, "我没有订单号"),
    ]
    assert [turn.gap_ms for turn in conversation(heard(turns)).turns] == [None, 400, -100]


def test_overlaps_follow_from_segments_where_there_are_no_speech_intervals() -> None:
    transcript = heard([("agent", 0, 2_000, "您好请问"), ("customer", 1_200, 3_000, "我要投诉你们")])
    assert conversation(transcript.model_copy(update={"speech": {}})) == conversation(transcript)
    assert conversation(transcript).overlap_ms == 800
