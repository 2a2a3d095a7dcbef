"""Words that are no names: such as are made like names (places, makers, medicines, persons one talks about), and
ordinary ones whose letters also stand in names.
"""

from pathlib import Path


def _words(file: Path) -> frozenset[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


WORDS_LIKE_NAMES = _words(Path(__file__).with_suffix(".txt"))
ORDINARY_WORDS = _words(Path(__file__).with_name("ordinary_words.txt"))
_LIKE_NAMES, _ORDINARY = 0.9, 0.5
_LONGEST = max(map(len, WORDS_LIKE_NAMES | ORDINARY_WORDS))


def least_probability(text: str, start: int, end: int) -> float:
    """From which probability on letters `start` to `end` of a text are believed to be a name, as far as words go.

    More is asked where they touch a word that is like a name and do not hold it as a part; something, where each of
    them belongs to an ordinary word (发相 in 沙发相机).
    """
    ordinary: set[int] = set()
    for begin in range(max(0, start - _LONGEST + 1), end):
        for stop in range(max(start, begin) + 1, min(begin + _LONGEST, len(text)) + 1):
            word = text[begin:stop]
            is_part = start <= begin and stop <= end and stop - begin < end - start
            if word in WORDS_LIKE_NAMES and not is_part:
                return _LIKE_NAMES
            if word in ORDINARY_WORDS:
                ordinary.update(range(begin, stop))
    return _ORDINARY if ordinary.issuperset(range(start, end)) else 0
