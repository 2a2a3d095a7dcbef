"""What a recogniser invents is not believed, and what people really say is."""

import pytest

from processors.listening.engine_port import RecognizedSpeech, RecognizedWord
from processors.listening.hallucination import sift


def speech(
    text: str, *, duration_ms: int = 20_000, confidence: float = 0.85, no_speech: float = 0.05, words: bool = True
) -> RecognizedSpeech:
    step_ms = duration_ms / max(1, len(text))
    return RecognizedSpeech(
        channel=0,
        start_ms=1_000,
        end_ms=1_000 + duration_ms,
        text=text,
        words=tuple(
            RecognizedWord(letter, 1_000 + int(i * step_ms), 1_000 + int((i + 1) * step_ms), confidence)
            for i, letter in enumerate(text)
        )
        if words
        else (),
        confidence=confidence,
        no_speech_probability=no_speech,
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("对对对对对对", id="eager_agreement"),
        pytest.param("好的好的好的好的", id="agreement_in_two_syllables"),
        pytest.param("六二二二零二一二零八零零零零零零零零零", id="card_number_with_many_zeros"),
        pytest.param("00000000000000", id="digits_are_no_loop"),
        pytest.param("谢谢您的来电，祝您生活愉快", id="thanks_of_an_agent"),
        pytest.param("请您订阅我们的短信通知", id="subscribing_to_messages"),
        pytest.param("视频里的字幕看不清楚", id="talk_about_subtitles"),
        pytest.param("Thank you for calling, how may I help you?", id="english"),
    ],
)
def test_what_people_say_is_believed_as_it_stands(text: str) -> None:
    believed, rejected = sift(speech(text))

    assert believed == speech(text)
    assert rejected == ()


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        pytest.param(speech("字幕由Amara.org社区提供"), "known_phantom", id="subtitle_credit"),
        pytest.param(speech("字幕志愿者 杨茜茜"), "known_phantom", id="subtitle_volunteer"),
        pytest.param(speech("請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目"), "known_phantom", id="traditional_plea"),
        pytest.param(speech("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目"), "known_phantom", id="simplified_plea"),
        pytest.param(speech("谢谢观看"), "known_phantom", id="thanks_for_watching"),
        pytest.param(speech("感謝您的觀看。"), "known_phantom", id="thanks_for_watching_in_full"),
        pytest.param(speech("Thanks for watching!"), "known_phantom", id="thanks_in_english"),
        pytest.param(speech("我们下期再见", no_speech=0.9, confidence=0.2), "no_speech", id="engine_heard_nobody"),
        pytest.param(
            speech("您好这里是客服中心请问有什么可以帮您", duration_ms=400), "no_speech", id="impossibly_fast"
        ),
        pytest.param(speech("请问您的姓名", confidence=0.05), "low_confidence", id="a_mere_guess"),
        pytest.param(speech("哈哈你哈哈我" * 9, confidence=0.3), "repetition", id="varied_babble"),
    ],
)
def test_what_was_invented_is_rejected_with_its_reason(heard: RecognizedSpeech, reason: str) -> None:
    believed, rejected = sift(heard)

    assert believed is None
    assert [piece.reason for piece in rejected] == [reason]
    assert (rejected[0].channel, rejected[0].start_ms) == (0, 1_000)


@pytest.mark.parametrize("words", [True, False], ids=["with_words", "without_words"])
@pytest.mark.parametrize(
    ("text", "kept", "dropped", "reason"),
    [
        pytest.param(
            "好的再见。请不吝点赞 订阅 转发",
            "好的再见。",
            "请不吝点赞 订阅 转发",
            "known_phantom",
            id="phantom_at_the_end",
        ),
        pytest.param(
            "我要退货" + "谢谢您" * 12, "我要退货谢谢您", "谢谢您" * 11, "repetition", id="loop_keeps_its_first_round"
        ),
        pytest.param("那个" + "啊" * 30, "那个啊", "啊" * 29, "repetition", id="one_syllable_without_end"),
    ],
)
def test_only_the_invented_part_is_cut_out(text: str, kept: str, dropped: str, reason: str, words: bool) -> None:
    believed, rejected = sift(speech(text, words=words))

    assert believed is not None
    assert believed.text == kept
    assert not words or "".join(word.text for word in believed.words) == kept
    assert [(piece.text, piece.reason) for piece in rejected] == [(dropped, reason)]


@pytest.mark.parametrize("text", ["", "  ", "。", "...!"])
def test_a_text_without_a_letter_is_nothing(text: str) -> None:
    assert sift(speech(text)) == (None, ())
