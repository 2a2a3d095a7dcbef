"""Utterances and calls as numbers: blocks of n-grams, weighted and brought to one length each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.reading.grams import BUCKETS, Grams, grams_of
from schemas.messages.call_ended import Role


class Said(NamedTuple):
    """What one side says at a stretch: letters only, as `NormalizedText.letters`."""

    role: Role
    letters: str


@dataclass(frozen=True)
class Block:
    """One group of n-grams: which lengths, how much the group weighs beside the others, and which pairs with a gap."""

    lengths: tuple[int, ...]
    weight: float
    gaps: tuple[int, ...] = ()


OWN, BEFORE, AFTER = Block((1, 2, 3, 4), 1.0, gaps=(1, 2)), Block((1, 2, 3), 0.4), Block((1, 2, 3), 0.4)
UTTERANCE_BLOCKS = (OWN, BEFORE, AFTER)
"""What is said, what the other side said last before it, and what it says next."""

AGENT, CUSTOMER = Block((1, 2, 3, 4), 1.0), Block((1, 2, 3, 4), 1.0)
CALL_BLOCKS = (AGENT, CUSTOMER)
"""All that each side says in the call."""

OPENING_UTTERANCES = 6
CUSTOMER_SAYS, AGENT_SAYS, OPENING = Block((1, 2), 1.0), Block((1, 2), 0.6), Block((1, 2), 1.0)
"""Of what tells the topic: all that the customer says, all that the agent says, how the call opens, whoever says it.
They share their columns: a word means the same topic in each."""

TOPIC_BUCKETS = 1 << 17
"""So many columns have the rows of topics, fewer than the others: there are two hundred heads."""


class SparseRows(NamedTuple):
    """A sparse matrix: value `values[i]` at row `rows[i]` and column `columns[i]`; `height` rows."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float32]
    height: int


def utterance_rows(call: Sequence[Said], role: Role, idf: NDArray[np.float32] | None) -> SparseRows:
    """One row for each utterance of that role, in their order."""
    own = [said.letters for said in call if said.role == role]
    before = heard_by(role, call)
    after = heard_by(role, call[::-1])[::-1]
    return _rows(UTTERANCE_BLOCKS, (own, before, after), idf)


def heard_by(role: Role, call: Sequence[Said]) -> list[str]:
    """For each utterance of that role what another said last before it."""
    found, heard = [], ""
    for said in call:
        if said.role == role:
            found.append(heard)
        else:
            heard = said.letters
    return found


def call_rows(calls: Sequence[Sequence[Said]], idf: NDArray[np.float32] | None) -> SparseRows:
    """One row for each call."""
    return _rows(CALL_BLOCKS, [[_side(call, role) for call in calls] for role in ("agent", "customer")], idf)


def topic_rows(calls: Sequence[Sequence[Said]], idf: NDArray[np.float32] | None) -> SparseRows:
    """One row for each call, to say what it is about; without `idf` in the columns of all grams, to count them."""
    texts = (
        (CUSTOMER_SAYS, [_side(call, "customer") for call in calls]),
        (AGENT_SAYS, [_side(call, "agent") for call in calls]),
        (OPENING, [_in_one(call[:OPENING_UTTERANCES]) for call in calls]),
    )
    parts = [_weighted(grams_of(own, block.lengths, 0), block.weight, len(calls), idf) for block, own in texts]
    rows = _stack(parts, len(calls))
    return rows if idf is None else rows._replace(columns=rows.columns & (TOPIC_BUCKETS - 1))


def _side(call: Sequence[Said], role: Role) -> str:
    return _in_one([said for said in call if said.role == role])


def _in_one(utterances: Sequence[Said]) -> str:
    # Between utterances stands a letter that no text has: a gram that reaches over is none of a single one.
    return "\x02".join(said.letters for said in utterances)


def _rows(blocks: Sequence[Block], texts: Sequence[Sequence[str]], idf: NDArray[np.float32] | None) -> SparseRows:
    parts = []
    for salt, (block, block_texts) in enumerate(zip(blocks, texts, strict=True)):
        grams = grams_of(block_texts, block.lengths, salt, block.gaps)
        parts.append(_weighted(grams, block.weight, len(block_texts), idf))
    return _stack(parts, len(texts[0]))


def _stack(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]], height: int
) -> SparseRows:
    return SparseRows(
        np.concatenate([rows for rows, _, _ in parts]),
        np.concatenate([columns for _, columns, _ in parts]),
        np.concatenate([values for _, _, values in parts]),
        height,
    )


def _weighted(
    grams: Grams, weight: float, count: int, idf: NDArray[np.float32] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Sublinear counts times inverse document frequency; each text has the length `weight`."""
    values = 1 + np.log(grams.counts.astype(np.float32))
    if idf is not None:
        values *= idf[grams.buckets]
    lengths = np.sqrt(np.bincount(grams.texts, weights=values.astype(np.float64) ** 2, minlength=count))
    scale = np.divide(weight, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return grams.texts, grams.buckets, (values * scale[grams.texts]).astype(np.float32)


def stack_rows(parts: Sequence[SparseRows]) -> SparseRows:
    """The rows of all parts, one below the other."""
    offsets = np.cumsum([0, *(part.height for part in parts)])
    return SparseRows(
        np.concatenate([part.rows + offset for part, offset in zip(parts, offsets, strict=False)]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.values for part in parts]),
        int(offsets[-1]),
    )


def idf_of(rows: SparseRows) -> NDArray[np.float32]:
    """Smoothed inverse document frequency of each bucket; 0 for one that fewer than two rows hit."""
    seen = np.bincount(rows.columns, minlength=BUCKETS)
    idf = np.log((1 + rows.height) / (1 + seen)) + 1
    return np.where(seen >= 2, idf, 0).astype(np.float32)
