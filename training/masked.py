"""Calls as the heads see them: masked, as everything is before it is read."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from processors.pii.masking import MaskSettings, mask
from processors.rules.examples import segments_of_lines
from schemas.messages.call_ended import Role

WORTH_CORES = 512
Lines = Sequence[tuple[Role, str]]


def masked_texts(lines: Lines) -> tuple[str, ...]:
    """What is said in each line, with placeholders for what is personal."""
    return tuple(segment.text for segment in mask(tuple(segments_of_lines(lines)), MaskSettings()).segments)


def mask_calls(calls: Sequence[Lines]) -> list[tuple[str, ...]]:
    """The same of many calls, on all cores where it pays."""
    if len(calls) < WORTH_CORES:
        return list(map(masked_texts, calls))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(masked_texts, calls, chunksize=64))
