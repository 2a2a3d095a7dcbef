"""One script in every transcript."""

import pytest

from processors.text.chinese_script import ChineseScript, to_script


@pytest.mark.parametrize(
    ("words", "script", "language", "expected"),
    [
        pytest.param(["這", "款", "產", "品"], "simplified", "zh", ["这", "款", "产", "品"], id="traditional_heard"),
        pytest.param(["这款", "產品", "OK"], "simplified", "zh", ["这款", "产品", "OK"], id="mixed_heard"),
        pytest.param(["这", "款", "产", "品"], "traditional", "zh", ["這", "款", "產", "品"], id="traditional_wanted"),
        pytest.param(["头", "发"], "traditional", "zh", ["頭", "髮"], id="a_character_that_depends_on_its_neighbour"),
        pytest.param(["發", "票"], "as_heard", "zh", ["發", "票"], id="as_heard"),
        pytest.param(["係", "嚟"], "simplified", "yue", ["系", "嚟"], id="cantonese"),
        pytest.param(["東", "京"], "simplified", "ja", ["東", "京"], id="japanese_stays"),
        pytest.param([], "simplified", "zh", [], id="nothing"),
    ],
)
def test_words_come_back_in_the_script_wanted(
    words: list[str], script: ChineseScript, language: str, expected: list[str]
) -> None:
    assert to_script(words, script, language) == tuple(expected)
