"""How many spoken keywords a search finds as they are written and as they sound, and whether a lexicon mends errors.

    python benchmarks/as_heard.py --data DIR [DIR ...] [--texts FILE]

Each `DIR` holds recordings with the truth beside them, as `listening_accuracy.py` describes it. Keywords are the words
and phrases of the shipped rules for the industry of a call, of two Chinese characters or more and without gaps. One is
spoken where it stands in what one side truly said; it is found where it stands in what was heard of that side, or
sounds like a stretch of it. `--texts` keeps what was heard in a JSON file, so that it is heard once.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks.character_errors import count_character_errors, read_aloud
from benchmarks.listening_accuracy import SIDES, Notes, heard, share
from processors.judging.pipeline import JudgeSettings, shipped_rulebooks
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.respelling import load_spelling
from processors.text.heard import heard_phrase, pairs_heard
from processors.text.normalized_text import normalize
from processors.text.phonetic import MERGERS, USUAL_MERGERS, Merger

LENGTHS = (2, 3, 4)
"""Keywords of so many characters; the last line counts all that are longer, too."""
WAYS: dict[str, frozenset[Merger] | None] = {
    "as written": None,
    "as heard": USUAL_MERGERS,
    "all sounds merged": frozenset(MERGERS),
}
"""How a keyword is looked for → the sounds that count as one."""
CORRECTIONS = {"4 characters or more, half as written": 4, "3 or more, half as written": 3}
"""Which words of the lexicon replace what sounds like them → their least length."""


class Side(NamedTuple):
    """What one side of a call said, and what was heard of it."""

    industry: str
    truth: str
    """A turn a line."""
    heard: str


@dataclass
class Count:
    """Keywords of one length, looked for in one way."""

    spoken: int = 0
    found: int = 0
    right: int = 0
    """Of those found, as many were spoken."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--texts", type=Path)
    arguments = parser.parse_args()
    if arguments.texts and arguments.texts.exists():
        sides = [Side(*each) for each in json.loads(arguments.texts.read_text(encoding="utf-8"))]
    else:
        sides = list(hear(sorted(file for folder in arguments.data for file in folder.glob("*.json"))))
    if arguments.texts:
        arguments.texts.write_text(json.dumps(sides, ensure_ascii=False), encoding="utf-8")
    print(f"{len(sides)} sides of calls, {sum(len(side.truth) for side in sides)} characters\n")
    keywords = keywords_by_industry({side.industry for side in sides})
    print_search(sides, keywords)
    print_corrections(sides, keywords)


def hear(truth_files: Iterable[Path]) -> Iterator[Side]:
    """Both sides of every call; none of a call that ends without being heard."""
    cache = Path(tempfile.gettempdir()) / "callstream-bench"
    engine = FasterWhisperEngine(
        model="packaged", cache_dir=cache, device="cpu", compute_type="int8", threads=1, beam_size=5, batch_size=8
    )
    for file in truth_files:
        truth = json.loads(file.read_text(encoding="utf-8"))
        sides = (None,) if truth.get("mono") else SIDES
        notes = Notes(engine, load_spelling())
        roles = None if truth.get("mono") else SIDES
        transcript = heard(notes, file.with_name(truth["file"]).read_bytes(), roles, truth["direction"])
        if transcript.outcome is not None:
            continue
        for side, text in zip(sides, notes.texts(len(sides)), strict=True):
            said = "\n".join(turn["text"] for turn in truth["turns"] if side in (None, turn["channel"]))
            yield Side(truth["industry"], said, text)


def keywords_by_industry(industries: Iterable[str]) -> dict[str, list[str]]:
    """The phrases of the rules that are looked for in a call."""
    rulebooks = shipped_rulebooks(JudgeSettings())
    found = {}
    for industry in industries:
        book = rulebooks.book("benchmark", "zh", industry)
        phrases = {phrase.parts[0] for phrase in book.phrases() if len(phrase.parts) == 1} if book else set()
        found[industry] = sorted(each for each in phrases if len(each) >= LENGTHS[0] and is_chinese(each))
    return found


def is_chinese(word: str) -> bool:
    return all("\u4e00" <= letter <= "\u9fff" for letter in word)


def print_search(sides: Sequence[Side], keywords: dict[str, list[str]]) -> None:
    counts = {(way, length): Count() for way in WAYS for length in LENGTHS}
    for side in sides:
        turns = [normalize(turn).letters for turn in side.truth.split("\n")]
        written = normalize(side.heard).letters
        for keyword in keywords[side.industry]:
            is_spoken = any(keyword in turn for turn in turns)
            for way, mergers in WAYS.items():
                is_found = keyword in written
                if mergers is not None and not is_found:
                    is_found = bool(places(keyword, mergers, side.heard))
                count = counts[way, min(len(keyword), LENGTHS[-1])]
                count.spoken += is_spoken
                count.found += is_found
                count.right += is_found and is_spoken
    print("| keywords | " + " | ".join(f"{way}: found | precision" for way in WAYS) + " |")
    print("|---" * (1 + 2 * len(WAYS)) + "|")
    for length in (*LENGTHS, None):
        cells = []
        for way in WAYS:
            mine = [count for (each, of), count in counts.items() if each == way and length in (None, of)]
            spoken, found, right = (sum(getattr(one, name) for one in mine) for name in ("spoken", "found", "right"))
            cells += [f"{share(right, spoken)} ({right} / {spoken})", f"{share(right, found)} ({right} / {found})"]
        label = "**all**" if length is None else f"{length} characters{' or more' if length == LENGTHS[-1] else ''}"
        print(f"| {label} | " + " | ".join(cells) + " |")


def places(keyword: str, mergers: frozenset[Merger], text: str) -> list[tuple[int, int]]:
    """Where a keyword can be heard, as a search does it: by the pairs of syllables first."""
    phrase = heard_phrase(keyword, mergers)
    said = pairs_of(text)
    if any(said.isdisjoint(ways) for ways in phrase.pairs()):
        return []
    return list(phrase.places(text))


@cache
def pairs_of(text: str) -> frozenset[str]:
    """The pairs of syllables that are stored of a text."""
    return frozenset(pairs_heard(text))


def print_corrections(sides: Sequence[Side], keywords: dict[str, list[str]]) -> None:
    print("\n| corrected by the lexicon | CER | wrong / characters | characters changed |\n|---|---|---|---|")
    for name, least in {"not at all": 0, **CORRECTIONS}.items():
        wrong = characters = changed = 0
        for side in sides:
            text = corrected(side.heard, keywords[side.industry], least) if least else side.heard
            changed += sum(map(str.__ne__, text, side.heard))
            truth = read_aloud(side.truth)
            wrong, characters = wrong + count_character_errors(truth, read_aloud(text)), characters + len(truth)
        print(f"| {name} | {wrong / characters:.4f} | {wrong} / {characters} | {changed} |")


def corrected(text: str, keywords: Iterable[str], least: int) -> str:
    """The text with every word of the lexicon, the longest first, in the place of what sounds like it.

    At least half of its characters must stand as written, as for rules; a stretch is replaced once.
    """
    letters = list(text)
    taken: set[int] = set()
    for keyword in sorted((each for each in keywords if len(each) >= least), key=lambda each: (-len(each), each)):
        for start, end in places(keyword, USUAL_MERGERS, text):
            as_written = sum(map(str.__eq__, text[start:end], keyword))
            if end - start == len(keyword) and 2 * as_written >= len(keyword) and taken.isdisjoint(range(start, end)):
                letters[start:end] = keyword
                taken.update(range(start, end))
    return "".join(letters)


if __name__ == "__main__":
    main()
