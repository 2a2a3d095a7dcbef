"""Figures: counted by hand on small examples."""

from pathlib import Path

import numpy as np
import pytest

from processors.emotion.corpora import LabelledSound
from processors.emotion.evaluation import ORDERS, Judgements, figures_of, judge_sounds
from processors.emotion.features import PLAIN, FeatureTable, features_of
from processors.emotion.heads import load_heads
from processors.emotion.sound_head import SoundHeads
from tests.processors.emotion.voices import SpectrumEncoder, calm, write_wav


def judgements(truth: str, said: str, *, classes: str | None = None, speakers: str | None = None) -> Judgements:
    """`a` is angry, `n` neutral, `h` happy; what is said of each segment in one order."""
    names = {"a": "angry", "n": "neutral", "h": "happy"}
    return Judgements(
        truth=tuple(names[each] for each in truth),
        speakers=tuple(speakers or "x" * len(truth)),
        agitated=np.array([[0.9 if each == "a" else 0.1 for each in said]]),
        classes=np.array([[names[each] for each in (classes or said)]]),
        unheard=0,
    )


def test_accuracy_and_f1_are_counted_over_all_segments() -> None:
    figures = figures_of("x", judgements("aaannnnn", "aannnnna"))

    assert figures.accuracy.value == pytest.approx(6 / 8)
    assert figures.precision == pytest.approx(2 / 3)
    assert figures.recall == pytest.approx(2 / 3)
    assert figures.f1.value == pytest.approx(2 / 3)
    assert figures.mistaken == pytest.approx(1 / 5)
    assert figures.majority == pytest.approx(5 / 8)
    assert (figures.segments, figures.agitated) == (8, 3)


def test_intervals_hold_the_figure_and_shrink_with_more_segments() -> None:
    few = figures_of("x", judgements("annn" * 5, "annn" * 4 + "naaa"))
    many = figures_of("x", judgements("annn" * 50, ("annn" * 4 + "naaa") * 10))

    for share in (few.accuracy, few.f1, many.accuracy, many.f1):
        assert share.low < share.value < share.high
    assert many.accuracy.high - many.accuracy.low < few.accuracy.high - few.accuracy.low


def test_recall_is_counted_for_every_class_of_the_head() -> None:
    figures = figures_of("x", judgements("aannhh", "aannnn", classes="aannnh"))

    assert {name: share.value for name, share in figures.class_recall.items()} == {
        "angry": 1.0,
        "neutral": 1.0,
        "happy": 0.5,
    }
    assert figures.class_accuracy is not None
    assert figures.class_accuracy.value == pytest.approx(5 / 6)


def test_every_speaker_has_figures_of_their_own() -> None:
    figures = figures_of("x", judgements("anan", "anna", speakers="ppqq"))

    assert figures.by_speaker == {"p": (1.0, 1.0), "q": (0.0, 0.0)}


@pytest.mark.parametrize(
    ("agitated", "area"),
    [([0.9, 0.1], 1.0), ([0.1, 0.9], 0.0), ([0.5, 0.5], 0.5)],
    ids=["above", "below", "the same"],
)
def test_ranking_is_the_share_of_pairs_in_the_right_order(agitated: list[float], area: float) -> None:
    judged = Judgements(("angry", "neutral"), ("x", "x"), np.array([agitated]), np.array([["angry", "angry"]]), 0)

    assert figures_of("x", judged).ranking == area


def test_sounds_without_speech_count_as_not_agitated(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, [np.concatenate([calm(0), np.zeros(8_000, dtype=np.int16)])])
    examples = [LabelledSound("c", path, 0, extent, "s", "angry") for extent in ((0, 1_000), (1_300, 2_000))]
    heads = load_heads()
    table = features_of(examples, PLAIN, SpectrumEncoder())
    rows = type(table)(table.rows[:, -len(heads.prosody.prior.mean) :], table.heard)

    judged = judge_sounds(examples, rows, SoundHeads(None, heads.prosody), heads.fusion)

    assert judged.unheard == 1
    assert judged.agitated.shape == (ORDERS, 2)
    assert (judged.agitated[:, 1] == 0).all()


def test_alone_every_utterance_is_the_first_of_its_speaker(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", [calm(0)])
    examples = [LabelledSound("c", tmp_path / "a.wav", 0, None, "s", "neutral")] * 2
    heads = load_heads()
    spread = heads.prosody.prior.spread
    table = FeatureTable(
        np.stack([heads.prosody.prior.mean + spread, heads.prosody.prior.mean]), np.array([True, True])
    )

    alone = judge_sounds(examples, table, SoundHeads(None, heads.prosody), heads.fusion, order="alone")
    listed = judge_sounds(examples, table, SoundHeads(None, heads.prosody), heads.fusion, order="listed")

    assert alone.agitated.shape == listed.agitated.shape == (1, 2)
    assert alone.agitated[0, 0] == listed.agitated[0, 0]
    assert alone.agitated[0, 1] != listed.agitated[0, 1]
