"""How good heads are: accuracy, F1 of agitated, recall of every class, with confidence intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from processors.emotion.corpora import LabelledSound, LabelledText, histories
from processors.emotion.features import FeatureTable
from processors.emotion.fusion import Fusion
from processors.emotion.labels import AGITATED
from processors.emotion.reading import HeadReading
from processors.emotion.sound_head import SoundHeads
from processors.emotion.text_head import TextHead
from processors.emotion.training import TellStep, Varied, class_of, fit_sounds, fit_text, split_texts
from schemas.messages.emotion import SegmentEmotion

ORDERS = 5
RESAMPLES = 2_000
CONFIDENCE = 0.95
DECISION = 0.5

Order = Literal["shuffled", "listed", "alone"]
"""How utterances without an order are heard: in several random orders; as the files are listed (which may be all the
angry ones first); or each as if it were the first of its speaker."""


@dataclass(frozen=True)
class ShareWithInterval:
    """A figure between 0 and 1 with its 95 % interval: percentiles of a bootstrap over segments."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Figures:
    """How good one way of judging is on one set of segments.

    `majority` is the accuracy of always saying "not agitated". Classes are counted where the head has a class of
    that name. `mistaken` is the share of the others that were called agitated. `unheard` segments could not be judged
    and count as not agitated.
    """

    name: str
    segments: int
    agitated: int
    unheard: int
    majority: float
    accuracy: ShareWithInterval
    f1: ShareWithInterval
    precision: float
    recall: float
    mistaken: float
    ranking: float
    class_accuracy: ShareWithInterval | None
    class_recall: dict[str, ShareWithInterval]
    by_speaker: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Judgements:
    """The judgements of all segments, in one or several orders: shape (orders, segments)."""

    truth: tuple[str, ...]
    speakers: tuple[str, ...]
    agitated: NDArray[np.float64]
    classes: NDArray[np.str_]
    unheard: int


def judge_sounds(
    examples: Sequence[LabelledSound],
    table: FeatureTable,
    heads: SoundHeads,
    fusion: Fusion,
    text: TextHead | None = None,
    order: Order = "shuffled",
) -> Judgements:
    """Judge labelled sounds as a call would: each against its speaker's earlier segments, and none of the later.

    With a text head, sounds whose words are known are judged by both.
    """
    random = np.random.default_rng(0)
    heard = np.flatnonzero(table.heard).tolist()
    times = ORDERS if order == "shuffled" else 1
    agitated = np.zeros((times, len(examples)))
    classes = np.full((times, len(examples)), "", dtype="<U16")
    for time in range(times):
        for group in histories(examples, heard):
            ear = heads.of_speaker()
            for row in group.order(random) if order == "shuffled" else group.rows:
                if order == "alone":
                    ear = heads.of_speaker()
                reading = ear.read(table.rows[row])
                words = examples[row].text
                said = text.read(words) if text is not None and words else None
                judged = fusion.join(reading, said)
                agitated[time, row] = judged.agitated if isinstance(judged, SegmentEmotion) else 0.0
                classes[time, row] = _best(reading)
    return Judgements(
        truth=tuple(class_of(each.label) for each in examples),
        speakers=tuple("/".join(each.speaker_key) for each in examples),
        agitated=agitated,
        classes=classes,
        unheard=len(examples) - len(heard),
    )


def judge_texts(texts: Sequence[LabelledText], head: TextHead, fusion: Fusion) -> Judgements:
    """Judge labelled texts by their words alone."""
    readings = [head.read(each.text) for each in texts]
    judged = [fusion.join("silent", reading) for reading in readings]
    return Judgements(
        truth=tuple(class_of(each.label) for each in texts),
        speakers=tuple(each.corpus for each in texts),
        agitated=np.array([[each.agitated if isinstance(each, SegmentEmotion) else 0.0 for each in judged]]),
        classes=np.array([["" if reading is None else _best(reading) for reading in readings]], dtype="<U16"),
        unheard=sum(reading is None for reading in readings),
    )


def leave_one_speaker_out(
    varied: Sequence[Varied],
    encoder: str | None,
    fusion: Fusion,
    *,
    corpora: Sequence[str],
    text: TextHead | None = None,
    order: Order = "shuffled",
    say: TellStep = lambda _: None,
) -> Judgements:
    """Judge every speaker of some corpora by a head that was trained with all the others, nothing of theirs included.

    The first of `varied` is what is judged; all of them are trained with.
    """
    speakers = sorted({each.speaker_key for each in varied[0].examples if each.corpus in corpora})
    parts: list[Judgements] = []
    for number, speaker in enumerate(speakers, start=1):
        say(f"speaker {number} of {len(speakers)}")
        heads = fit_sounds([each.without({speaker}) for each in varied], encoder)
        left_out = varied[0].only({speaker})
        parts.append(judge_sounds(left_out.examples, left_out.table, heads, fusion, text, order))
    return _together(parts)


def held_out_texts(texts: Sequence[LabelledText], polar: Sequence[LabelledText], fusion: Fusion) -> Judgements:
    """Judge a random fifth of the texts by a head that was trained with the rest."""
    kept, held_out = split_texts(texts)
    return judge_texts(held_out, fit_text(kept, polar), fusion)


def figures_of(name: str, judged: Judgements) -> Figures:
    """Accuracy, F1 and the other figures of some judgements."""
    truth = np.array(judged.truth)
    is_agitated = np.isin(truth, sorted(AGITATED))
    said = judged.agitated >= DECISION
    hits = (said & is_agitated).sum(axis=0)
    false = (said & ~is_agitated).sum(axis=0)
    missed = (~said & is_agitated).sum(axis=0)
    right = (said == is_agitated).mean(axis=0)
    found, wrong, lost = int(hits.sum()), int(false.sum()), int(missed.sum())
    speakers = np.array(judged.speakers)
    known = sorted(set(np.unique(judged.classes).tolist()) - {""})
    counted = np.isin(truth, known)
    class_right = (judged.classes == truth).mean(axis=0)
    return Figures(
        name=name,
        segments=len(truth),
        agitated=int(is_agitated.sum()),
        unheard=judged.unheard,
        majority=float(1 - is_agitated.mean()),
        accuracy=_share(lambda rows: float(right[rows].mean()), len(truth)),
        f1=_share(lambda rows: _f1(hits[rows], false[rows], missed[rows]), len(truth)),
        precision=found / max(1, found + wrong),
        recall=found / max(1, found + lost),
        mistaken=wrong / max(1, int((~is_agitated).sum()) * len(judged.agitated)),
        ranking=_ranking(judged.agitated, is_agitated),
        class_accuracy=_mean_share(class_right[counted]) if counted.any() else None,
        class_recall={each: _mean_share(class_right[truth == each]) for each in known if (truth == each).any()},
        by_speaker={
            str(each): (float(right[own].mean()), _f1(hits[own], false[own], missed[own]))
            for each in np.unique(speakers)
            for own in (speakers == each,)
        },
    )


def _best(reading: HeadReading) -> str:
    return max(reading.classes, key=lambda name: reading.classes[name])


def _together(parts: Sequence[Judgements]) -> Judgements:
    return Judgements(
        truth=tuple(each for part in parts for each in part.truth),
        speakers=tuple(each for part in parts for each in part.speakers),
        agitated=np.concatenate([part.agitated for part in parts], axis=1),
        classes=np.concatenate([part.classes for part in parts], axis=1),
        unheard=sum(part.unheard for part in parts),
    )


def _f1(hits: NDArray[np.int_], false: NDArray[np.int_], missed: NDArray[np.int_]) -> float:
    """F1 = 2 TP / (2 TP + FP + FN); 0 where there is nothing to find and nothing found."""
    whole = 2 * int(hits.sum()) + int(false.sum()) + int(missed.sum())
    return 2 * int(hits.sum()) / whole if whole else 0.0


def _ranking(agitated: NDArray[np.float64], is_agitated: NDArray[np.bool_]) -> float:
    """The probability that an agitated segment is rated above another one (area under the ROC curve)."""
    areas = []
    for scores in agitated:
        positive, negative = scores[is_agitated], np.sort(scores[~is_agitated])
        if not len(positive) or not len(negative):
            return float("nan")
        below = np.searchsorted(negative, positive, side="left")
        not_above = np.searchsorted(negative, positive, side="right")
        areas.append(float((below + not_above).mean() / 2 / len(negative)))
    return float(np.mean(areas))


def _mean_share(values: NDArray[np.float64]) -> ShareWithInterval:
    return _share(lambda rows: float(values[rows].mean()), len(values))


def _share(figure: Callable[[NDArray[np.int_]], float], segments: int) -> ShareWithInterval:
    """The figure over all segments, and the percentiles of it over segments drawn with replacement."""
    random = np.random.default_rng(0)
    drawn = [figure(random.integers(0, segments, segments)) for _ in range(RESAMPLES)]
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return ShareWithInterval(figure(np.arange(segments)), float(low), float(high))
