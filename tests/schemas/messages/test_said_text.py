"""Texts without what nobody says."""

import pytest

from schemas.messages.said_text import said_text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("您好，我要退款。OK? 50% @home", id="words and signs"),
        pytest.param("１３８　٣٤", id="digits of other widths and scripts, and a wide space"),
        pytest.param("cafe\u0301", id="an accent on a letter"),
        pytest.param("谢谢😀", id="an emoji"),
        pytest.param("𠮷", id="a rare character"),
        pytest.param("\U0003347b", id="a character that this Python does not know yet"),
        pytest.param("?\ufffd", id="what another program could not read"),
    ],
)
def test_what_somebody_may_say_or_write_stays(text: str) -> None:
    assert said_text(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("1\u200b3\u200c8\u200d0\u2060", "1380", id="zero-width"),
        pytest.param("1\ufe0f\u20e33\ufe0f\u20e3", "13", id="keycaps"),
        pytest.param("葛\U000e0100", "葛", id="a variation selector"),
        pytest.param("\ufeff\u202e王\xad小\u2066明", "王小明", id="byte order mark, direction, soft hyphen"),
        pytest.param("\ue000\u0378\ud83d王", "王", id="private use, unassigned, half of a pair"),
        pytest.param("1\u31643\u034f8\u28000", "1380", id="blanks that count as letters, marks or signs"),
        pytest.param("\x00王\x07\x7f\x9f", "王", id="control characters"),
        pytest.param("1\x1b[31m3\x1b[0m8\x9b2J", "138", id="escape sequences"),
        pytest.param("\x1b]0;a\x07", "]0;a", id="another escape sequence is harmless"),
        pytest.param("一\n二\t三\r\n四\u2028五", "一 二 三  四 五", id="line breaks and tabs"),
        pytest.param("\u200b\x00", "", id="nothing else"),
    ],
)
def test_what_nobody_says_is_taken_out(text: str, said: str) -> None:
    assert said_text(text) == said
