"""The detectors on hundreds of spoken variants: how much is found, and how much is masked without need."""

import pytest

from processors.pii.digit_kinds import DIGIT_KINDS
from tests.processors.pii.scoring import score
from tests.processors.pii.spoken_variants import Split, spoken_variants

SPLITS: tuple[Split, ...] = ("development", "held_out", "unseen")
_MIN_HIDDEN_NUMBERS = 0.98
_MIN_HIDDEN_WORDS = 0.85
_MIN_RECALL = 0.94
_MIN_PRECISION = 0.93


def test_the_variants_are_many_and_the_same_on_every_run() -> None:
    variants = spoken_variants()
    assert len(variants) >= 300
    assert variants == spoken_variants()
    assert len({variant.name for variant in variants}) == len(variants)
    assert all(variant.secrets for variant in variants if variant.kind is not None)


@pytest.mark.parametrize("split", SPLITS)
def test_spoken_variants_are_hidden_and_little_else_is(split: Split) -> None:
    scores, _ = score(variant for variant in spoken_variants() if variant.split == split)

    for kind, one in scores.items():
        least = _MIN_HIDDEN_NUMBERS if kind in DIGIT_KINDS else _MIN_HIDDEN_WORDS
        assert one.hidden_share >= least, kind
        assert one.recall >= min(least, _MIN_RECALL), kind
        assert one.precision >= _MIN_PRECISION, kind


@pytest.mark.parametrize("split", SPLITS)
def test_calls_without_anything_personal_stay_as_they_are(split: Split) -> None:
    _, misses = score(variant for variant in spoken_variants() if variant.split == split and variant.kind is None)
    assert [miss.masked for miss in misses] == []
