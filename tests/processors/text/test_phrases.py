"""Phrases found in text."""

from processors.text.phonetic import Sounds
from processors.text.phrases import LOOSE, CompiledPhrase, LetterSpan, PhraseIndex


def phrase(text: str) -> CompiledPhrase:
    return CompiledPhrase.of(text, LOOSE)[0]


def test_an_index_for_some_of_its_phrases_places_only_those() -> None:
    ours, others = phrase("保证收益"), phrase("稳赚不赔")
    index = PhraseIndex([ours, others], Sounds())
    text = "保证收益稳赚不赔保证受益稳转不赔"
    assert set(index.places(text)) == {"保证收益", "稳赚不赔"}
    assert index.for_phrases([ours]).places(text) == {"保证收益": [LetterSpan(0, 4, 4), LetterSpan(8, 12, 3)]}


def test_an_index_without_phrases_places_nothing() -> None:
    assert PhraseIndex([phrase("保证收益")], Sounds()).for_phrases([]).places("保证收益") == {}


def test_letters_beyond_the_tables_of_sounds_are_read_as_themselves() -> None:
    assert PhraseIndex([phrase("𠮷野家饭")], Sounds()).places("去𠮷野家饭店") == {"𠮷野家饭": [LetterSpan(1, 5, 4)]}
