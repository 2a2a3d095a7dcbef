"""How often a demand that nobody has written a topic for comes back as one group of calls.

    python benchmarks/unknown_demands.py --data FOLDER [--many]

FOLDER holds labelled dialogues as `benchmarks/judging.py` reads them; without it, those of `training/dialogues`, on
which the thresholds were chosen. A topic is hidden: taken out of the packs and of what the reading heads may answer.
Calls without a topic, or with one that is less likely than not, are grouped. The group with the greatest F1 is the one
in which the topic came back: purity is the share of its calls that have the topic, recall the share of the calls with
the topic that are in it. `came back`: both reach a half. With --many, all main topics of an industry are hidden at
once. Calls with a topic, of which a week has thousands, are those of the folder and 1,000 of `training/dialogues`.
NMI and adjusted Rand index (Hubert and Arabie 1985) compare groups with main topics, of calls that have a hidden one.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import fmean

from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from processors.demands.unknown import BACKGROUND, OpenCall, SaidByCustomer, UnknownDemands
from processors.detectors.base.rule_detector import applies
from processors.detectors.topics import phrases_said, topics_by_phrase, topics_by_reading
from processors.judging.call_context import CallContext
from processors.kpi.statistics import wilson
from processors.reading.topic_heads import TOPICS_FILE, TopicHeads
from processors.rules.examples import imagine_transcript
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs
from schemas.messages.call_ended import Role
from training.dialogues import load_dialogues

UNLIKELY = 0.5
FEWEST = 2
_DAY = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """A dialogue, what it is about, and it as a call of a week."""

    context: CallContext
    topics: tuple[str, ...]
    call: OpenCall


def cases(folder: Path | None) -> Iterator[Case]:
    """Every dialogue of the folder, or of those for training."""
    if folder is None:
        for one in load_dialogues():
            if one.twin_of is None:
                yield _case(one.id, one.industry, [(turn.role, turn.text) for turn in one.turns], one.topics)
        return
    for file in sorted(folder.glob("*.json")):
        for dialogue in json.loads(file.read_text(encoding="utf-8")):
            lines = [(turn["role"], turn["text"]) for turn in dialogue["turns"]]
            yield _case(dialogue["id"], dialogue["industry"], lines, dialogue["labels"]["topics"])


def _case(call_id: str, industry: str, lines: Sequence[tuple[Role, str]], topics: Sequence[str]) -> Case:
    transcript = imagine_transcript(lines, industry, call_id=call_id)
    said = tuple(
        SaidByCustomer(one.text, one.start_ms, one.end_ms) for one in transcript.segments if one.role == "customer"
    )
    return Case(CallContext(transcript), tuple(topics), OpenCall(call_id, _DAY, said))


class Judged:
    """How likely the likeliest topic of a call is, with some of them hidden."""

    def __init__(self) -> None:
        self._books = Rulebooks(load_rule_packs((RULE_PACK_FOLDER,)))
        self._reader = TopicHeads.load(TOPICS_FILE)

    def is_covered(self, case: Case, hidden: set[str]) -> bool:
        """Whether a topic that is not hidden is likelier than not."""
        book = self._books.of(case.context)
        if book is None:
            return False
        hearing = book.hearing(case.context)
        left = [one for one in book.topics if one.entry.name not in hidden and applies(one, hearing)]
        if not left:
            return False
        said = topics_by_phrase(left, hearing)
        read = topics_by_reading(self._reader, left, hearing, said, phrases_said(said.values(), hearing))
        return any(hit.confidence >= UNLIKELY for _, hit in read.values())


@dataclass(frozen=True)
class Returned:
    """How well one hidden topic came back."""

    topic: str
    calls: int
    uncovered: int
    purity: float
    recall: float

    @property
    def came_back(self) -> bool:
        return self.purity >= 0.5 and self.recall >= 0.5


def hide(
    judged: Judged, every: Sequence[Case], hidden: set[str], others: Sequence[OpenCall]
) -> tuple[list[Returned], list[tuple[str, int]], int]:
    """How each came back; topic and group of each uncovered call that has one of them; the number of groups."""
    covered = [judged.is_covered(case, hidden) for case in every]
    open_ = [case for case, is_covered in zip(every, covered, strict=True) if not is_covered]
    background = [case.call for case, is_covered in zip(every, covered, strict=True) if is_covered]
    demands = UnknownDemands([case.call for case in open_], [*background, *others][:BACKGROUND], FEWEST)
    demands.tell([case.call for case in open_])
    groups = [set(one.members) for one in demands.groups_found(len(every), 0)]
    group_of = {call_id: number for number, group in enumerate(groups) for call_id in group}
    returned: list[Returned] = []
    placed: list[tuple[str, int]] = []
    for topic in sorted(hidden):
        of_topic = {case.call.call_id for case in every if case.topics[:1] == (topic,)}
        here = of_topic & {case.call.call_id for case in open_}
        best = max(groups, key=lambda group: 2 * len(group & of_topic) / (len(group) + len(of_topic)), default=set())
        right = len(best & of_topic)
        if len(of_topic) >= FEWEST:
            purity = right / len(best) if best else 0.0
            returned.append(Returned(topic, len(of_topic), len(here), purity, right / len(of_topic)))
        # A call in no group is one by itself.
        placed.extend((topic, group_of.get(call_id, -1 - number)) for number, call_id in enumerate(sorted(here)))
    return returned, placed, len(groups)


def main() -> None:
    """Print how topics that were hidden came back."""
    parser = argparse.ArgumentParser(description="Hide topics and see whether they come back as groups of calls.")
    parser.add_argument("--data", type=Path, help="folder of labelled dialogues (default: training/dialogues)")
    parser.add_argument("--many", action="store_true", help="hide all main topics of an industry at once")
    parser.add_argument("--fewest", type=int, default=FEWEST, help="main topics of fewer calls are not hidden")
    options = parser.parse_args()
    every = list(cases(options.data))
    others = [case.call for case in islice(cases(None), BACKGROUND)] if options.data else []
    judged = Judged()
    mains = Counter(case.topics[0] for case in every if case.topics)
    names = sorted(topic for topic, count in mains.items() if count >= max(options.fewest, FEWEST))
    by_industry: dict[str, set[str]] = {}
    for case in every:
        if case.topics[:1] and case.topics[0] in names:
            by_industry.setdefault(case.context.transcript.call.industry, set()).add(case.topics[0])
    returned, nmi, rand, groups = [], [], [], []
    for hidden in by_industry.values() if options.many else [{name} for name in names]:
        found, placed, count = hide(judged, every, hidden, others)
        returned += found
        groups.append(count)
        if len({topic for topic, _ in placed}) > 1:
            topics, numbers = [topic for topic, _ in placed], [number for _, number in placed]
            nmi.append(normalized_mutual_info_score(topics, numbers))
            rand.append(adjusted_rand_score(topics, numbers))
    print(f"{len(every)} calls, {len(returned)} topics hidden{' by industry' if options.many else ' one at a time'}")
    print(f"groups found a time: {fmean(groups):.1f}")
    uncovered = sum(r.uncovered for r in returned) / sum(r.calls for r in returned)
    print(f"calls with a hidden topic that no other covers: {uncovered:.2f}")
    back = sum(one.came_back for one in returned)
    low, high = wilson(back, len(returned))
    print(f"came back as one group: {back} of {len(returned)} [{low:.2f}, {high:.2f}]")
    print(f"purity {fmean(r.purity for r in returned):.2f}, recall {fmean(r.recall for r in returned):.2f}")
    if nmi:
        print(f"NMI {fmean(nmi):.2f}, adjusted Rand {fmean(rand):.2f}")


if __name__ == "__main__":
    main()
