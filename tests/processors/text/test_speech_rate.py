import pytest

from processors.text.speech_rate import characters_per_minute, length_in_characters


@pytest.mark.parametrize(
    ("texts", "speech_ms", "expected"),
    [
        pytest.param(["您好，我是客服。", "再见"], 2_000, 240.0, id="characters_without_punctuation"),
        pytest.param(["订单2781"], 3_000, 120.0, id="digits_are_spoken_one_by_one"),
        pytest.param(["我要VIP会员"], 2_500, 120.0, id="a_foreign_word_counts_once"),
        pytest.param(["how may I help you"], 1_000, 300.0, id="english_words"),
        pytest.param([], 0, None, id="nobody_speaks"),
        pytest.param([""], 1_000, None, id="nothing_was_understood"),
    ],
)
def test_the_pace_is_counted_in_characters(texts: list[str], speech_ms: int, expected: float | None) -> None:
    assert characters_per_minute(texts, speech_ms) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("我要投诉！", 4, id="characters, without punctuation"),
        pytest.param("打12315", 6, id="a digit is a character"),
        pytest.param("speak up", 4, id="two words are as much as four characters"),
        pytest.param("VIP 会员", 4, id="both scripts"),
        pytest.param("，。 …", 0, id="nothing"),
    ],
)
def test_how_much_was_said_is_counted_in_chinese_characters(text: str, expected: int) -> None:
    assert length_in_characters(text) == expected
