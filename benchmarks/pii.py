"""How well personal things are found, in spoken variants or in labelled dialogues, and what it costs.

    python benchmarks/pii.py [--split development|held_out|unseen]
    python benchmarks/pii.py --data FOLDER [--misses]

Without a folder it prints tables in Markdown of the spoken variants: recall (no letter or digit left, under the right
kind), the share that is hidden under any kind, and precision per kind; then milliseconds per minute of call for masking
and for number normalisation.

FOLDER holds dialogues as JSON, a list in each file: `id`, `turns` of `role` and `text`, and what is personal in them as
`labels.pii` or `pii`, each `turn`, `quote` and `kind`. `lures`, if there are any, are `turn` and `quote` of what looks
personal and must stay. A thing is hidden when its quote does not stand in the masked turn any more, and gone when no
letter or digit of it is left. Intervals are 95 %, by Wilson's formula. `--misses` shows every one in its masked turn.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the spoken variants belong to the tests, which are not installed

from processors.kpi.statistics import wilson  # noqa: E402  # after the path is set
from processors.pii.masking import MaskSettings, mask  # noqa: E402
from processors.text.numbers import in_digits  # noqa: E402
from schemas.messages.transcript import Segment  # noqa: E402
from tests.processors.pii.scoring import LETTER_MS, Score, score, segments_of_turns  # noqa: E402
from tests.processors.pii.spoken_variants import Split, spoken_variants  # noqa: E402
from tests.processors.transcripts import Line, heard, said  # noqa: E402

SPLITS: tuple[Split, ...] = ("development", "held_out", "unseen")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--split", choices=SPLITS, help="only this part of the spoken variants")
    arguments.add_argument(
        "--data", type=Path, help="labelled dialogues instead of spoken variants: folder of JSON files, or one"
    )
    arguments.add_argument("--misses", action="store_true", help="with --data: show everything that went wrong")
    options = arguments.parse_args()
    if options.data is not None:
        try:
            calls = labelled_calls(options.data)
        except ValueError as problem:
            raise SystemExit(str(problem)) from None
        print_dialogues(calls, misses=options.misses)
        return
    chosen: Split | None = options.split
    for split in (chosen,) if chosen else SPLITS:
        print_scores(split)
    print_cost()


# --- labelled dialogues


@dataclass(frozen=True)
class Quote:
    """Words of one turn of a dialogue; the kind is as the labels have it, or `lure`."""

    turn: int
    text: str
    kind: str


@dataclass(frozen=True)
class LabelledCall:
    """A dialogue, what is personal in it, and what only looks so."""

    id: str
    turns: tuple[tuple[Any, str], ...]
    personal: tuple[Quote, ...]
    lures: tuple[Quote, ...]


def labelled_calls(data: Path) -> list[LabelledCall]:
    """Every dialogue in the folder, or file. Raises `ValueError` where there is none, and for a quote that its turn has
    not.
    """
    calls = [
        _labelled_call(file.name, dialogue)
        for file in ([data] if data.is_file() else sorted(data.glob("*.json")))
        for dialogue in json.loads(file.read_text(encoding="utf-8"))
    ]
    if not calls:
        raise ValueError(f"{data} holds no dialogue: give a folder of JSON files, each a list of dialogues")
    return calls


def _labelled_call(file: str, dialogue: dict[str, Any]) -> LabelledCall:
    turns = tuple((turn["role"], turn["text"]) for turn in dialogue["turns"])
    labels = dialogue["pii"] if "pii" in dialogue else dialogue.get("labels", {}).get("pii", [])
    personal = tuple(Quote(one["turn"], one["quote"], one["kind"]) for one in labels)
    lures = tuple(Quote(one["turn"], one["quote"], "lure") for one in dialogue.get("lures", []))
    for quote in (*personal, *lures):
        if not 0 <= quote.turn < len(turns) or quote.text not in turns[quote.turn][1]:
            raise ValueError(f"{file}, {dialogue['id']}: turn {quote.turn} does not hold the quote of a {quote.kind}")
    return LabelledCall(dialogue["id"], turns, personal, lures)


@dataclass(frozen=True)
class MaskedCall:
    """A dialogue after masking; `covered` are the places of letters in each turn that a placeholder stands for."""

    call: LabelledCall
    texts: tuple[str, ...]
    covered: tuple[frozenset[int], ...]

    def is_hidden(self, quote: Quote) -> bool:
        return quote.text not in self.texts[quote.turn]

    def is_gone(self, quote: Quote) -> bool:
        text = self.call.turns[quote.turn][1]
        starts = [at for at in range(len(text)) if text.startswith(quote.text, at)]
        letters = [at + i for at in starts for i, letter in enumerate(quote.text) if letter.isalnum()]
        return all(letter in self.covered[quote.turn] for letter in letters)


def mask_call(call: LabelledCall) -> MaskedCall:
    """Each letter is a word of its own, so that times of spans tell which letters they cover."""
    segments = segments_of_turns(call.turns)
    result = mask(segments, MaskSettings())
    covered: list[set[int]] = [set() for _ in call.turns]
    for span in result.spans:
        begin_ms = segments[span.segment_id].start_ms
        covered[span.segment_id].update(
            range((span.start_ms - begin_ms) // LETTER_MS, (span.end_ms - begin_ms) // LETTER_MS)
        )
    return MaskedCall(call, tuple(one.text for one in result.segments), tuple(frozenset(one) for one in covered))


def print_dialogues(calls: Sequence[LabelledCall], *, misses: bool) -> None:
    """Tables of what is hidden by kind, of turns masked without need, and of lures that stay."""
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    turns, needless, without = 0, 0, 0
    for call in calls:
        masked = mask_call(call)
        for quote in call.personal:
            is_hidden, is_gone = masked.is_hidden(quote), masked.is_gone(quote)
            for kind in (quote.kind, "all"):
                counts.update({(kind, "said"): 1, (kind, "hidden"): is_hidden, (kind, "gone"): is_gone})
            if not is_gone:
                wrong.append(_miss(masked, quote, "left in part" if is_hidden else "left"))
        for quote in call.lures:
            stays = masked.is_hidden(quote) is False
            counts.update({("lure", "said"): 1, ("lure", "stays"): stays})
            if not stays:
                wrong.append(_miss(masked, quote, "masked"))
        labelled = {quote.turn for quote in call.personal}
        turns += len(call.turns)
        without += len(call.turns) - len(labelled)
        for number, places in enumerate(masked.covered):
            if places and number not in labelled:
                needless += 1
                wrong.append(_miss(masked, Quote(number, "", "nothing"), "masked"))
    kinds = sorted({kind for kind, _ in counts} - {"all", "lure"})
    print(f"{len(calls)} dialogues, {turns} turns, {without} of them without anything personal\n")
    print("| kind | said | hidden | share | 95 % | gone |\n|---|---:|---:|---:|---:|---:|")
    for line in _rows(counts, [*kinds, "all"]):
        print(line)
    print(f"\nturns masked without need: {needless}")
    if counts["lure", "said"]:
        print(f"lures that stay: {counts['lure', 'stays']} of {counts['lure', 'said']}")
    if misses:
        print("", *wrong, sep="\n")


def _rows(counts: Counter[tuple[str, str]], kinds: Sequence[str]) -> Iterator[str]:
    for kind in kinds:
        said, hidden, gone = (counts[kind, what] for what in ("said", "hidden", "gone"))
        if said:
            low, high = wilson(hidden, said)
            name = f"**{kind}**" if kind == "all" else kind
            yield f"| {name} | {said} | {hidden} | {hidden / said:.3f} | {low:.3f}–{high:.3f} | {gone} |"


def _miss(masked: MaskedCall, quote: Quote, how: str) -> str:
    role, said = masked.call.turns[quote.turn]
    before = masked.texts[quote.turn - 1] if quote.turn else ""
    return (
        f"{masked.call.id}:{quote.turn} {quote.kind} {quote.text} {how}\n"
        f"    before  {before}\n    {role:8}{said}\n    masked  {masked.texts[quote.turn]}"
    )


# --- spoken variants


def print_scores(split: Split) -> None:
    variants = [variant for variant in spoken_variants() if variant.split == split]
    nothing = sum(variant.kind is None for variant in variants)
    scores, _ = score(variants)
    print(f"\n{split}: {len(variants)} calls, {nothing} of them without anything personal\n")
    print("| kind | said | recall | hidden | masked | precision |\n|---|---:|---:|---:|---:|---:|")
    for kind, one in scores.items():
        print(row(kind, one))
    print(row("**all**", Score(*(sum(getattr(s, f) for s in scores.values()) for f in Score.__dataclass_fields__))))


def row(name: str, one: Score) -> str:
    return f"| {name} | {one.secrets} | {one.recall:.3f} | {one.hidden_share:.3f} | {one.spans} | {one.precision:.3f} |"


# --- what it costs


def print_cost(repeats: int = 20) -> None:
    calls, minutes = example_calls()
    masking_ms = [timed_ms(lambda: [mask(call, MaskSettings()) for call in calls]) for _ in range(repeats)]
    numbers_ms = [timed_ms(lambda: [in_digits(s.text) for call in calls for s in call]) for _ in range(repeats)]
    print(f"\n{len(calls)} example calls, {minutes:.1f} minutes, median of {repeats} (goal: at most 5 ms together):")
    print(f"masking {statistics.median(masking_ms) / minutes:.2f} ms per minute of call")
    print(f"numbers {statistics.median(numbers_ms) / minutes:.2f} ms per minute of call")
    print(f"four times as many names in a call take {growth(repeats):.1f} times as long (their square: 16 times)")


def growth(repeats: int) -> float:
    """What masking 2,400 introductions takes, by what masking 600 takes."""
    few_ms, many_ms = (
        statistics.median(timed_ms(partial(mask, call, MaskSettings())) for _ in range(max(3, repeats // 4)))
        for call in (introductions(600), introductions(2_400))
    )
    return many_ms / few_ms


def introductions(count: int) -> tuple[Segment, ...]:
    """A call in which the customer gives `count` names, each another."""
    surnames, letters = "赵钱孙李周吴郑王冯陈", "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国志"
    lines: list[Line] = [
        ("customer", f"我叫{surnames[n % 10]}{letters[n // 10 % 30]}{letters[n // 300 % 30]}") for n in range(count)
    ]
    return said(*lines).segments


def timed_ms(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return (time.perf_counter() - began_s) * 1000


def example_calls() -> tuple[list[tuple[Segment, ...]], float]:
    """What is said in the example recordings, with a word for every two characters, and how many minutes that is."""
    truth = json.loads((ROOT / "tests" / "data" / "calls_truth.json").read_text(encoding="utf-8"))
    calls = [
        heard(
            [
                (
                    turn["channel"] if turn["channel"] in ("agent", "customer") else "unknown",
                    *_times(turn),
                    turn["text"],
                )
                for turn in call["turns"]
            ]
        ).segments
        for call in truth.values()
    ]
    return calls, sum(call["duration_ms"] for call in truth.values()) / 60_000


def _times(turn: dict[str, int]) -> tuple[int, int]:
    return turn["start_ms"], turn["end_ms"]


if __name__ == "__main__":
    main()
