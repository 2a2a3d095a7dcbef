"""A reader in which an encoder reads each sentence beside the small heads (ADR 0095).

The encoder gives each sentence two logits: that it is a violation, if the agent says it, and that its call is worth
hearing. What is believed in the end are the log-odds of the small heads and these, in one linear model for each head,
whose weights were learned on calls that neither has learned from. All other heads read as they did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from processors.digest import digest_of
from processors.reading.adapting import log_loss_of, probability_of
from processors.reading.call_reader import (
    ENCODER_FILE,
    ENCODER_FOLDER,
    VIOLATION,
    WORTH_HEARING,
    CallReader,
    CallReading,
    UtteranceReading,
)
from processors.reading.features import Said, heard_by
from processors.reading.figures import Read
from processors.reading.heads import OtherReleaseError, ReadingWeightsError, log_odds_of
from schemas.messages.call_ended import Role
from schemas.messages.message import Record

RECIPE = 1
"""Rises when sentences are put before an encoder otherwise, or its logits are taken otherwise."""

ENCODED: Mapping[Role, str] = {"agent": "客服", "customer": "客户"}
"""The sides whose sentences are read, and what stands before theirs: the same words mean something else."""

CONTEXT_LETTERS = 40
"""So many of what the other side said last before a sentence, and says first after it, are read with it."""

LEAST_FUSED = 5
"""With fewer examples of each kind among the calls left out, nobody knows whether the encoder helps a head."""

OF_VIOLATION, OF_CALL = 0, 1
"""The columns of logits."""

_LIMIT = 6.0
"""A single reading, however sure, weighs no more than log-odds of this."""
_OFFSET_PENALTY, _WEIGHT_PENALTY = 0.1, 1.0
_STEPS, _ENOUGH, _SHORTEST = 50, 1e-9, 1e-4


class ReadSentence(NamedTuple):
    """What is put before an encoder: who says what, and what the other side says around it."""

    own: str
    around: str


class Encoder(Protocol):
    """Reads sentences. The same sentences give the same logits."""

    @property
    def files(self) -> Mapping[str, str]:
        """Name of each of its files → SHA-256."""

    def logits(self, sentences: Sequence[ReadSentence]) -> NDArray[np.float64]:
        """Shape (sentences, 2), in columns `OF_VIOLATION` and `OF_CALL`."""

    def save(self, folder: Path) -> None:
        """Write its files into a folder, which is made."""


@dataclass(frozen=True)
class Encoded:
    """Logits of the sentences of each side, in their order; shapes (sentences, 2)."""

    agent: NDArray[np.float64]
    customer: NDArray[np.float64]


def sentences_of(said: Sequence[Said], role: Role) -> list[ReadSentence]:
    """Of one side of a call, in their order."""
    own = [one.letters for one in said if one.role == role]
    before, after = heard_by(role, said), heard_by(role, said[::-1])[::-1]
    return [
        ReadSentence(ENCODED[role] + words, f"{earlier[-CONTEXT_LETTERS:]}。{later[:CONTEXT_LETTERS]}")
        for words, earlier, later in zip(own, before, after, strict=True)
    ]


def encode(encoder: Encoder, said: Sequence[Said]) -> Encoded:
    """Both sides of a call at once."""
    agent, customer = sentences_of(said, "agent"), sentences_of(said, "customer")
    logits = np.clip(encoder.logits([*agent, *customer]), -_LIMIT, _LIMIT)
    return Encoded(logits[: len(agent)], logits[len(agent) :])


def violation_rows(log_odds: Read, encoded: Encoded) -> NDArray[np.float64]:
    """Of each sentence of the agent: the small heads' log-odds, and the encoder's."""
    return np.column_stack([np.clip(log_odds, -_LIMIT, _LIMIT), encoded.agent[:, OF_VIOLATION]])


def call_row(log_odds: float, encoded: Encoded) -> NDArray[np.float64]:
    """Of a call: the small heads' log-odds; of what the encoder reads the mean and the highest of all sentences, and
    the highest violation. Shape (1, 4)."""
    of_call = np.concatenate([encoded.agent[:, OF_CALL], encoded.customer[:, OF_CALL]])
    violations = encoded.agent[:, OF_VIOLATION]
    pooled = (
        of_call.mean() if len(of_call) else -_LIMIT,
        of_call.max(initial=-_LIMIT),
        violations.max(initial=-_LIMIT),
    )
    return np.array([[np.clip(log_odds, -_LIMIT, _LIMIT), *pooled]])


class EncoderFusion(Record):
    """Of each head the offset and the weights of its row; null where the encoder has no say in it."""

    violation: tuple[float, float, float] | None
    select: tuple[float, float, float, float, float] | None


def joined_log_odds(weights: Sequence[float], rows: NDArray[np.float64]) -> Read:
    """The log-odds of each row."""
    result: Read = rows @ np.array(weights[1:]) + weights[0]
    return result


@dataclass(frozen=True)
class FusedHead:
    """Weights of a head, and what they read of examples that they were not learned from; `weights` None where the
    encoder helps too little, or where there are too few examples to tell. Losses are log losses of examples that the
    weights were not learned from: of the small heads alone, calibrated anew, and of both."""

    weights: tuple[float, ...] | None
    held_out: Read
    examples: int
    positive: int
    loss_before: float | None
    loss_after: float | None


def fuse(rows: NDArray[np.float64], labels: Read, folds: NDArray[np.int64]) -> FusedHead:
    """Weights for rows of which the small heads' log-odds are the first column; `folds` says which stand together.

    An encoder costs a thousand times what small heads do, so it must lower the loss by more than the standard error of
    the difference (Breiman et al. 1984), and not only by what calibrating the small heads anew would.
    """
    positive = int(labels.sum())
    if min(positive, len(labels) - positive) < LEAST_FUSED:
        return FusedHead(None, np.zeros(0), len(labels), positive, None, None)
    alone, both = _held_out(rows[:, :1], labels, folds), _held_out(rows, labels, folds)
    gained = _losses(alone, labels) - _losses(both, labels)
    helps = gained.mean() > gained.std(ddof=1) / np.sqrt(len(gained))
    losses = (log_loss_of(alone, labels), log_loss_of(both, labels))
    return FusedHead(_fit(rows, labels) if helps else None, both, len(labels), positive, *losses)


def _held_out(rows: NDArray[np.float64], labels: Read, folds: NDArray[np.int64]) -> Read:
    read = np.zeros(len(rows))
    for fold in set(folds.tolist()):
        is_left_out = folds == fold
        read[is_left_out] = joined_log_odds(_fit(rows[~is_left_out], labels[~is_left_out]), rows[is_left_out])
    return read


def _losses(log_odds: Read, labels: Read) -> Read:
    result: Read = np.logaddexp(0, log_odds) - labels * log_odds
    return result


def _fit(rows: NDArray[np.float64], labels: Read) -> tuple[float, ...]:
    """Logistic regression pulled to the small heads' log-odds as they are; Newton's method with shorter steps where the
    whole one overshoots."""
    columns = np.column_stack([np.ones(len(rows)), rows])
    prior = np.zeros(columns.shape[1])
    prior[1] = 1
    penalty = np.full(columns.shape[1], _WEIGHT_PENALTY)
    penalty[0] = _OFFSET_PENALTY

    def loss(weights: Read) -> float:
        read = columns @ weights
        return float(np.sum(np.logaddexp(0, read) - labels * read) + penalty @ (weights - prior) ** 2 / 2)

    weights, now = prior, loss(prior)
    for _ in range(_STEPS):
        read = probability_of(columns @ weights)
        slope = columns.T @ (read - labels) + penalty * (weights - prior)
        bend = (columns.T * (read * (1 - read))) @ columns + np.diag(penalty)
        step, length = np.linalg.solve(bend, slope), 1.0
        while loss(weights - length * step) > now and length > _SHORTEST:
            length /= 2
        if length <= _SHORTEST:
            break
        weights = weights - length * step
        former, now = now, loss(weights)
        if former - now < _ENOUGH:
            break
    return tuple(weights.tolist())


class StoredEncoder(Record):
    """What stands in `encoder.json` beside the small heads."""

    format: Literal[1] = 1
    recipe: int
    fusion: EncoderFusion
    files: Mapping[str, str]


@dataclass(frozen=True)
class EncodedReader(CallReader):
    """A reader of small heads with an encoder beside them. Its thresholds are those of what both read together."""

    encoder: Encoder = field(kw_only=True)
    fusion: EncoderFusion = field(kw_only=True)

    @staticmethod
    def over(small: CallReader, encoder: Encoder, fusion: EncoderFusion) -> "EncodedReader":
        """These small heads, with an encoder beside them."""
        own = {each.name: getattr(small, each.name) for each in fields(CallReader)}
        return EncodedReader(**own, encoder=encoder, fusion=fusion)

    @cached_property
    def small(self) -> CallReader:
        """The same heads without the encoder."""
        return CallReader(**{each.name: getattr(self, each.name) for each in fields(CallReader)})

    def read(self, said: Sequence[Said], *, heard: bool = False) -> CallReading:
        reading = self.small.read(said, heard=heard and self.fusion.select is None)
        encoded = encode(self.encoder, said)
        utterances, of_call = reading.utterances, dict(reading.probabilities)
        if self.fusion.violation is not None:
            rows = violation_rows(violations_of(reading), encoded)
            found = iter(probability_of(joined_log_odds(self.fusion.violation, rows)).tolist())
            utterances = tuple(
                replace(one, probabilities={**one.probabilities, VIOLATION: next(found)})
                if one is not None and one.role == "agent"
                else one
                for one in utterances
            )
        if self.fusion.select is not None:
            row = call_row(worth_of(reading), encoded)
            of_call[WORTH_HEARING] = float(probability_of(joined_log_odds(self.fusion.select, row))[0])
        return CallReading(of_call, utterances)

    def save(self, folder: Path) -> None:
        """Write heads and encoder into another folder than the one it reads from."""
        self.small.save(folder)
        self.encoder.save(folder / ENCODER_FOLDER)
        stored = StoredEncoder(recipe=RECIPE, fusion=self.fusion, files=self.encoder.files)
        (folder / ENCODER_FILE).write_text(stored.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @cached_property
    def version(self) -> str:
        """A digest of the heads, of the encoder's files and of how both are put together."""
        files = tuple(sorted(self.encoder.files.items()))
        return digest_of((RECIPE, self.small.version, files, self.fusion.model_dump_json()))


def violations_of(reading: CallReading) -> Read:
    """The log-odds of a violation of each sentence of the agent."""
    agent = [one for one in reading.utterances if one is not None and one.role == "agent"]
    return log_odds_of(np.array([_violation(one) for one in agent], dtype=np.float32))


def _violation(reading: UtteranceReading) -> float:
    return reading.probabilities[VIOLATION]


def worth_of(reading: CallReading) -> float:
    """The log-odds that the call is worth hearing."""
    return float(log_odds_of(np.array([reading.probabilities[WORTH_HEARING]], dtype=np.float32))[0])


def load_encoded(small: CallReader, folder: Path, device: str) -> EncodedReader:
    """The reader of a folder whose `encoder.json` names an encoder. Raises `ReadingWeightsError`."""
    from processors.reading.transformers_encoder import TransformersEncoder  # needed for such folders alone

    file = folder / ENCODER_FILE
    try:
        stored = StoredEncoder.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        raise ReadingWeightsError(f"{file} cannot be read: publish the model again") from None
    if stored.recipe != RECIPE:
        raise OtherReleaseError(f"{file} was made for another version of callstream: train its heads again")
    encoder = TransformersEncoder(folder / ENCODER_FOLDER, device, expected=stored.files)
    return EncodedReader.over(small, encoder, stored.fusion)
