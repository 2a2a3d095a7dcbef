"""Utterances and calls as numbers: blocks of n-grams, weighted and brought to one length each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.reading.grams import BUCKETS, Texts, grams_of_all
from processors.text.syllables import as_it_sounds
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
OWN_SOUND = Block((2, 3, 4), 0.6)
UTTERANCE_BLOCKS = (OWN, BEFORE, AFTER, OWN_SOUND)
"""What is said, what the other side said last before it, what it says next, and what is said as it sounds: recognisers
write other characters of the same syllables."""

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


@dataclass(frozen=True)
class RowTexts:
    """What is to be made rows of: the text of each row in each block, and how much each bucket says, if that is
    known."""

    blocks: Sequence[Block]
    texts: Sequence[Sequence[str]]
    salts: Sequence[int]
    idf: NDArray[np.float32] | None

    @property
    def height(self) -> int:
        """How many rows there are to be."""
        return len(self.texts[0])


def utterance_rows(call: Sequence[Said], role: Role, idf: NDArray[np.float32] | None) -> SparseRows:
    """One row for each utterance of that role, in their order."""
    return rows_of([utterances_of(call, role, idf)])[0]


def utterances_of(call: Sequence[Said], role: Role, idf: NDArray[np.float32] | None) -> RowTexts:
    """The utterances of that role, in their order."""
    own = [said.letters for said in call if said.role == role]
    before = heard_by(role, call)
    after = heard_by(role, call[::-1])[::-1]
    return RowTexts(UTTERANCE_BLOCKS, (own, before, after, [as_it_sounds(text) for text in own]), (0, 1, 2, 3), idf)


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
    return rows_of([calls_of(calls, idf)])[0]


def calls_of(calls: Sequence[Sequence[Said]], idf: NDArray[np.float32] | None) -> RowTexts:
    """What each side says in each call."""
    sides = [[_side(call, role) for call in calls] for role in ("agent", "customer")]
    return RowTexts(CALL_BLOCKS, sides, (0, 1), idf)


def topic_rows(calls: Sequence[Sequence[Said]], idf: NDArray[np.float32] | None) -> SparseRows:
    """One row for each call, to say what it is about; without `idf` in the columns of all grams, to count them."""
    blocks = (CUSTOMER_SAYS, AGENT_SAYS, OPENING)
    texts = (
        [_side(call, "customer") for call in calls],
        [_side(call, "agent") for call in calls],
        [_in_one(call[:OPENING_UTTERANCES]) for call in calls],
    )
    (rows,) = rows_of([RowTexts(blocks, texts, (0, 0, 0), idf)])
    return rows if idf is None else rows._replace(columns=rows.columns & (TOPIC_BUCKETS - 1))


def _side(call: Sequence[Said], role: Role) -> str:
    return _in_one([said for said in call if said.role == role])


def _in_one(utterances: Sequence[Said]) -> str:
    # Between utterances stands a letter that no text has: a gram that reaches over is none of a single one.
    return "\x02".join(said.letters for said in utterances)


def rows_of(kinds: Sequence[RowTexts]) -> list[SparseRows]:
    """The rows of several kinds, each sorted, in one pass over all texts.

    Values are sublinear counts times inverse document frequency; each text has the length that its block weighs.
    """
    # Texts are numbered so that those of a row follow each other, which is the order of rows.
    firsts = list(accumulate((one.height * len(one.blocks) for one in kinds), initial=0))
    groups = [
        Texts(texts, np.arange(first + place, end, len(one.blocks)), block.lengths, block.gaps, salt)
        for one, (first, end) in zip(kinds, pairwise(firsts), strict=True)
        for place, (block, texts, salt) in enumerate(zip(one.blocks, one.texts, one.salts, strict=True))
    ]
    grams = grams_of_all(groups)
    ends = np.searchsorted(grams.texts, firsts).tolist()
    parts = [slice(start, end) for start, end in pairwise(ends)]
    values = 1 + np.log(grams.counts.astype(np.float32))
    for one, part in zip(kinds, parts, strict=True):
        if one.idf is not None:
            values[part] *= one.idf.take(grams.buckets[part])
    wanted = np.concatenate([np.tile([block.weight for block in one.blocks], one.height) for one in kinds])
    lengths = np.sqrt(np.bincount(grams.texts, weights=values.astype(np.float64) ** 2, minlength=len(wanted)))
    scale = np.divide(wanted, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    values = (values * scale.take(grams.texts)).astype(np.float32)
    return [
        SparseRows((grams.texts[part] - first) // len(one.blocks), grams.buckets[part], values[part], one.height)
        for one, part, first in zip(kinds, parts, firsts, strict=False)
    ]


def stack_rows(parts: Sequence[SparseRows]) -> SparseRows:
    """The rows of all parts, one below the other."""
    offsets = np.cumsum([0, *(part.height for part in parts)])
    return SparseRows(
        np.concatenate([part.rows + offset for part, offset in zip(parts, offsets, strict=False)]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.values for part in parts]),
        int(offsets[-1]),
    )


def in_order(rows: SparseRows) -> SparseRows:
    """Row by row; within each in the order in which its values were."""
    if not np.any(rows.rows[1:] < rows.rows[:-1]):
        return rows
    order = np.argsort(rows.rows, kind="stable")
    return SparseRows(rows.rows[order], rows.columns[order], rows.values[order], rows.height)


def idf_of(rows: SparseRows) -> NDArray[np.float32]:
    """Smoothed inverse document frequency of each bucket; 0 for one that fewer than two rows hit."""
    seen = np.bincount(rows.columns, minlength=BUCKETS)
    idf = np.log((1 + rows.height) / (1 + seen)) + 1
    return np.where(seen >= 2, idf, 0).astype(np.float32)
