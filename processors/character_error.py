"""Character error rate, the usual measure for Chinese: edits over the characters of the truth."""

import re

_DIGITS = str.maketrans("0123456789幺", "零一二三四五六七八九一")


def spoken(text: str) -> str:
    """The text as it is read aloud, without punctuation: 15 is 一五, 50% is 百分之五十."""
    text = re.sub(r"([1-9])0%", r"百分之\1十", text)
    return re.sub(r"[\W_]", "", text).lower().translate(_DIGITS)


def edits(truth: str, heard: str) -> int:
    """Characters to insert, delete or replace to make one text of the other (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, wanted in enumerate(truth, 1):
        previous, row = row, [i]
        for j, found in enumerate(heard, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (wanted != found)))
    return row[-1]
