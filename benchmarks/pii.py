"""How well personal things are found in spoken variants, and what it costs.

    python benchmarks/pii.py [--split development|held_out|unseen]

Prints a table in Markdown: recall (no letter or digit left, under the right kind), the share that is hidden under any
kind, and precision per kind; then milliseconds per minute of call for masking and for number normalisation.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the spoken variants belong to the tests, which are not installed

from processors.pii.masking import MaskSettings, mask  # noqa: E402
from processors.text.numbers import in_digits  # noqa: E402  # after the path is set
from schemas.messages.transcript import Segment  # noqa: E402
from tests.processors.pii.scoring import Score, score  # noqa: E402
from tests.processors.pii.spoken_variants import Split, spoken_variants  # noqa: E402
from tests.processors.transcripts import heard  # noqa: E402

SPLITS: tuple[Split, ...] = ("development", "held_out", "unseen")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--split", choices=SPLITS)
    chosen: Split | None = arguments.parse_args().split
    for split in (chosen,) if chosen else SPLITS:
        print_scores(split)
    print_cost()


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


def print_cost(repeats: int = 20) -> None:
    calls, minutes = example_calls()
    masking_ms = [timed_ms(lambda: [mask(call, MaskSettings()) for call in calls]) for _ in range(repeats)]
    numbers_ms = [timed_ms(lambda: [in_digits(s.text) for call in calls for s in call]) for _ in range(repeats)]
    print(f"\n{len(calls)} example calls, {minutes:.1f} minutes, median of {repeats} (goal: at most 5 ms together):")
    print(f"masking {statistics.median(masking_ms) / minutes:.2f} ms per minute of call")
    print(f"numbers {statistics.median(numbers_ms) / minutes:.2f} ms per minute of call")


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
