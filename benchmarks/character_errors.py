"""Character errors, the usual measure for Chinese: counted by jiwer, over texts as they are read aloud."""

import re

import jiwer

_DIGITS = str.maketrans("0123456789幺", "零一二三四五六七八九一")


def read_aloud(text: str) -> str:
    """The text as it is read aloud, without punctuation: 15 is 一五, 50% is 百分之五十."""
    text = re.sub(r"([1-9])0%", r"百分之\1十", text)
    return re.sub(r"[\W_]", "", text).lower().translate(_DIGITS)


def count_character_errors(truth: str, heard: str) -> int:
    """Characters to insert, delete or replace to make one text of the other; both `read_aloud`."""
    found = jiwer.process_characters(truth, heard)
    return found.substitutions + found.deletions + found.insertions
