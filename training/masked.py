"""Calls as the heads see them: masked, as everything is before it is read."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from processors.pii.masking import MaskSettings, mask
from processors.rules.examples import segments_of_lines
from schemas.messages.call_ended import Role

WORTH_CORES = 512
"""So many calls are worth the start of other processes."""

Lines = Sequence[tuple[Role, str]]


def mask_lines(lines: Lines) -> list[tuple[Role, str]]:
    """The lines, with placeholders for what is personal."""
    masked = mask(tuple(segments_of_lines(lines)), MaskSettings())
    return [(segment.role, segment.text) for segment in masked.segments]


def mask_calls(calls: Sequence[Lines]) -> list[list[tuple[Role, str]]]:
    """The same of many calls, on all cores where it pays."""
    if len(calls) < WORTH_CORES:
        return list(map(mask_lines, calls))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(mask_lines, calls, chunksize=64))
