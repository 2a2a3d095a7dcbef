"""Reading heads adapted to a house together with an encoder that was fine-tuned on the same calls.

Of the calls to learn from some are left out, whole agents or the newest. On the others the encoder is fine-tuned; those
left out end that, and from them the weights come by which its logits and the small heads' are put together, with the
small heads as they are when they have not learned from these calls either. Then the small heads learn from all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from processors.reading.adapting import (
    VIOLATION_PRECISION,
    Adapted,
    LabelledCall,
    adapt,
    folds_of,
    probability_of,
)
from processors.reading.call_reader import VIOLATION, WORTH_HEARING, CallReader
from processors.reading.encoded_reader import (
    EncodedReader,
    Encoder,
    EncoderFusion,
    FusedHead,
    call_row,
    encode,
    fuse,
    violation_rows,
    violations_of,
    worth_of,
)
from processors.reading.figures import Read, best_threshold, threshold_at

LEFT_OUT = 0.25
"""Share of the calls to learn from that the encoder does not learn from."""


@dataclass(frozen=True)
class AdaptedWithEncoder(Adapted):
    """`fused` says of each head whether the encoder helps it; where it helps none, the reader has no encoder."""

    fused: dict[str, FusedHead]


def adapt_with_encoder(
    reader: CallReader, learned_from: Sequence[LabelledCall], left_out: Sequence[LabelledCall], encoder: Encoder
) -> AdaptedWithEncoder:
    """The reader with its heads adapted to all these calls, and beside them, where that helps, an encoder that has
    learned from the first."""
    heads = _fuse(adapt(reader, learned_from).reader, encoder, left_out)
    adapted = adapt(reader, [*learned_from, *left_out])
    violation, select = heads[VIOLATION], heads[WORTH_HEARING]
    if violation.head.weights is None and select.head.weights is None:
        return AdaptedWithEncoder(adapted.reader, adapted.reports, _plain(heads))
    small = adapted.reader
    fusion = EncoderFusion.model_validate({"violation": violation.head.weights, "select": select.head.weights})
    agent, call = small.agent, small.call
    if violation.head.weights is not None:
        labels, read = violation.labels.astype(bool), probability_of(violation.head.held_out)
        # Where both separate well, the lowest probability at which seven of ten are right is one of what is harmless.
        threshold = max(threshold_at(labels, read, VIOLATION_PRECISION), best_threshold(labels, read))
        agent = agent.with_threshold(VIOLATION, threshold)
    if select.head.weights is not None:
        read = probability_of(select.head.held_out)
        call = call.with_threshold(WORTH_HEARING, best_threshold(select.labels.astype(bool), read))
    encoded = EncodedReader.over(replace(small, agent=agent, call=call), encoder, fusion)
    return AdaptedWithEncoder(encoded, adapted.reports, _plain(heads))


@dataclass(frozen=True)
class _Fused:
    head: FusedHead
    labels: Read


def _plain(heads: dict[str, _Fused]) -> dict[str, FusedHead]:
    return {name: one.head for name, one in heads.items()}


@dataclass(frozen=True)
class _Known:
    """An example of a head that has a label; those of a fold stand together."""

    row: NDArray[np.float64]
    label: bool
    fold: int


def _fuse(small: CallReader, encoder: Encoder, calls: Sequence[LabelledCall]) -> dict[str, _Fused]:
    known: dict[str, list[_Known]] = {WORTH_HEARING: [], VIOLATION: []}
    for call, fold in zip(calls, folds_of(calls).tolist(), strict=True):
        reading, encoded = small.read(call.said), encode(encoder, call.said)
        rows = violation_rows(violations_of(reading), encoded)
        known[VIOLATION] += [
            _Known(row, label, fold) for row, label in zip(rows, call.violations, strict=True) if label is not None
        ]
        if call.worth_hearing is not None:
            row = call_row(worth_of(reading), encoded)[0]
            known[WORTH_HEARING].append(_Known(row, call.worth_hearing, fold))
    return {name: _fused(examples) for name, examples in known.items()}


def _fused(examples: Sequence[_Known]) -> _Fused:
    labels = np.array([float(one.label) for one in examples])
    rows = np.array([one.row for one in examples])
    return _Fused(fuse(rows, labels, np.array([one.fold for one in examples], dtype=np.int64)), labels)


def digest_of_calls(calls: Sequence[LabelledCall]) -> str:
    """SHA-256 of labelled calls in the order of their ids: words, labels, agents and moments."""
    digest = sha256()
    for call in sorted(calls, key=lambda call: call.call_id):
        said = tuple(tuple(one) for one in call.said)
        digest.update(
            repr((call.call_id, call.agent_id, call.moment, said, call.worth_hearing, call.violations)).encode()
        )
    return digest.hexdigest()
