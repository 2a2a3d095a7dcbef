"""An encoder beside the small heads: what is put before it, when it has a say, and what a folder with one needs.

The encoder here counts letters, which needs no torch; those of transformers are in `test_transformers_encoder.py`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.detectors.reading import ReadingSettings
from processors.judging.pipeline import Judge, JudgeSettings
from processors.reading.adapting import LabelledCall
from processors.reading.call_reader import ENCODER_FILE, ENCODER_FOLDER, VIOLATION, WORTH_HEARING, CallReader
from processors.reading.encoded_reader import (
    CONTEXT_LETTERS,
    LEAST_FUSED,
    EncodedReader,
    EncoderFusion,
    ReadSentence,
    StoredEncoder,
    fuse,
    joined_log_odds,
    sentences_of,
)
from processors.reading.encoder_learning import adapt_with_encoder, digest_of_calls
from processors.reading.features import Said
from processors.reading.heads import OtherReleaseError, ReadingWeightsError
from processors.reading.transformers_encoder import INSTALL, EncoderError
from tests.processors.reading.test_adapting import HOUSE
from tests.support.shipped_rules import shipped_rules

SHIPPED = CallReader.load()
CALL = (Said("agent", "您好"), Said("customer", "能退吗"), Said("agent", "不退"), Said("unknown", "啊"))


class LetterEncoder:
    """Reads a violation where a letter is said, and nothing of whether the call is worth hearing."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.files: Mapping[str, str] = {"letter": sha256(letter.encode()).hexdigest()}

    def logits(self, sentences: Sequence[ReadSentence]) -> NDArray[np.float64]:
        return np.array([(4.0 if self.letter in one.own else -4.0, 0.0) for one in sentences]).reshape(-1, 2)

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "letter").write_text(self.letter, encoding="utf-8")


def with_encoder(
    violation: tuple[float, float, float] | None = (0.0, 0.0, 1.0),
    select: tuple[float, float, float, float, float] | None = None,
    letter: str = "不",
) -> EncodedReader:
    return EncodedReader.over(SHIPPED, LetterEncoder(letter), EncoderFusion(violation=violation, select=select))


def test_a_sentence_is_put_before_an_encoder_with_its_side_and_what_the_other_says_around_it() -> None:
    assert sentences_of(CALL, "agent") == [ReadSentence("客服您好", "。能退吗"), ReadSentence("客服不退", "能退吗。啊")]
    assert sentences_of(CALL, "customer") == [ReadSentence("客户能退吗", "您好。不退")]


def test_of_long_neighbours_the_nearest_letters_are_read() -> None:
    long = "一" * CONTEXT_LETTERS + "二"
    call = (Said("customer", long), Said("agent", "好"), Said("customer", long))
    (only,) = sentences_of(call, "agent")
    assert only.around == f"{'一' * (CONTEXT_LETTERS - 1)}二。{'一' * CONTEXT_LETTERS}"


def test_what_the_encoder_reads_takes_the_place_of_violations_alone() -> None:
    before, after = SHIPPED.read(CALL), with_encoder().read(CALL)
    assert after.probabilities == before.probabilities
    read = [one and one.probabilities[VIOLATION] for one in after.utterances if one and one.role == "agent"]
    assert read == pytest.approx([1 / (1 + np.exp(4)), 1 / (1 + np.exp(-4))])
    assert after.utterances[1] == before.utterances[1]
    assert after.utterances[3] is None
    kept = [{**one.probabilities, VIOLATION: 0} for one in before.utterances if one is not None]
    assert [{**one.probabilities, VIOLATION: 0} for one in after.utterances if one is not None] == kept


def test_a_call_is_worth_hearing_by_the_mean_the_highest_and_the_highest_violation() -> None:
    by_violation = with_encoder(None, (0.5, 0.0, 1.0, 1.0, 0.5)).read(CALL)
    assert by_violation.probabilities[WORTH_HEARING] == pytest.approx(1 / (1 + np.exp(-2.5)))
    assert by_violation.utterances == SHIPPED.read(CALL).utterances
    as_before = with_encoder(None, (0.0, 1.0, 0.0, 0.0, 0.0)).read(CALL).probabilities
    assert as_before[WORTH_HEARING] == pytest.approx(SHIPPED.read(CALL).probabilities[WORTH_HEARING], abs=1e-4)


@pytest.mark.parametrize("said", [(), (Said("customer", "在吗"),), (Said("agent", "您好"),)])
def test_a_call_in_which_a_side_says_nothing_is_read(said: tuple[Said, ...]) -> None:
    reading = with_encoder(select=(0.0, 1.0, 0.1, 0.1, 0.1)).read(said)
    assert 0 <= reading.probabilities[WORTH_HEARING] <= 1


def test_the_version_changes_with_the_encoder_and_with_its_weight_and_not_for_heads_without_one() -> None:
    versions = {
        one.version for one in (SHIPPED, with_encoder(), with_encoder(letter="好"), with_encoder((0.0, 0.5, 0.5)))
    }
    assert len(versions) == 4
    assert with_encoder().small.version == SHIPPED.version
    assert with_encoder().version == with_encoder().version


# --- whether it helps


def examples(noise: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Two hundred, of which small heads know a little, and a second column that knows all but for this much noise."""
    chance = np.random.default_rng(7)
    labels = (chance.random(200) < 0.3).astype(np.float64)
    small = labels + chance.normal(0, 2, 200) - 3
    return np.column_stack([small, 4 * labels - 2 + chance.normal(0, noise, 200)]), labels, np.arange(200) % 5


def test_an_encoder_that_knows_more_gets_a_weight_and_one_that_knows_nothing_gets_none() -> None:
    rows, labels, folds = examples(noise=1)
    helps = fuse(rows, labels, folds)
    assert helps.weights is not None
    assert helps.weights[2] > helps.weights[1] / 4 > 0
    assert helps.loss_before is not None
    assert helps.loss_after is not None
    assert helps.loss_after < helps.loss_before / 2
    assert np.mean((joined_log_odds(helps.weights, rows) > 0) == labels) > 0.95
    for seed in range(10):
        blind = rows.copy()
        blind[:, 1] = np.random.default_rng(seed).normal(0, 2, 200)
        assert fuse(blind, labels, folds).weights is None, seed


def test_an_encoder_is_not_praised_for_what_calibrating_the_small_heads_would_do() -> None:
    """The small heads read three too low: an offset alone would lower the loss."""
    rows, labels, folds = examples(noise=1)
    constant = np.column_stack([rows[:, 0], np.ones(200)])
    assert fuse(constant, labels, folds).weights is None


def test_with_few_examples_of_a_kind_nobody_knows() -> None:
    rows, _labels, folds = examples(noise=0)
    labels = (np.arange(200) < LEAST_FUSED - 1).astype(np.float64)
    found = fuse(rows, labels, folds)
    assert (found.weights, found.loss_before, found.positive) == (None, None, LEAST_FUSED - 1)


def test_an_encoder_that_helps_no_head_is_left_away() -> None:
    adapted = adapt_with_encoder(SHIPPED, HOUSE[:60], HOUSE[60:80], LetterEncoder("没有人说的字"))
    assert not isinstance(adapted.reader, EncodedReader)
    assert {head: one.weights for head, one in adapted.fused.items()} == {VIOLATION: None, WORTH_HEARING: None}


def test_the_digest_of_calls_changes_with_a_label_and_not_with_their_order() -> None:
    relabelled = [*HOUSE[1:], LabelledCall(**{**vars(HOUSE[0]), "worth_hearing": None})]
    assert digest_of_calls(HOUSE) == digest_of_calls(HOUSE[::-1])
    assert digest_of_calls(HOUSE) != digest_of_calls(relabelled)


# --- folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with_encoder().save(tmp_path)
    return tmp_path


def test_a_judge_whose_heads_name_an_encoder_does_not_start_without_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EncoderError, match=r"needs transformers and torch: run `pip install") as refused:
        Judge(JudgeSettings(parts=(ReadingSettings(reading_weights=folder),)), rulebooks=shipped_rules())
    assert INSTALL in str(refused.value)


def test_an_encoder_of_another_release_is_told_from_a_damaged_one(folder: Path) -> None:
    file = folder / ENCODER_FILE
    stored = json.loads(file.read_text())
    assert StoredEncoder.model_validate(stored).files == LetterEncoder("不").files
    file.write_text(json.dumps(stored | {"recipe": 0}))
    with pytest.raises(OtherReleaseError, match="train its heads again"):
        CallReader.load(folder)
    file.write_text("{")
    with pytest.raises(ReadingWeightsError, match=r"encoder\.json cannot be read"):
        CallReader.load(folder)


def test_small_heads_that_are_saved_over_it_leave_no_encoder_behind(folder: Path) -> None:
    SHIPPED.save(folder)
    assert not (folder / ENCODER_FOLDER).exists()
    assert CallReader.load(folder).version == SHIPPED.version
