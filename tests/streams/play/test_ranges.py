"""Which part of a file is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.play.ranges import Part, UnsatisfiableError, is_still, part_of

SIZE = 1_000
MOST = 10_000

PARTS = {
    None: None,
    "": None,
    "bytes=0-0": Part(0, 1),
    "bytes=0-99": Part(0, 100),
    "bytes=0-": Part(0, 1_000),
    "bytes=999-": Part(999, 1_000),
    "bytes=900-5000": Part(900, 1_000),
    "bytes=-1": Part(999, 1_000),
    "bytes=-1000": Part(0, 1_000),
    "bytes=-5000": Part(0, 1_000),
    "BYTES=0-9": Part(0, 10),
    "bytes= 0-9 ": Part(0, 10),
    "bytes=0-1,5-9": None,
    "bytes=9-5": None,
    "bytes=-": None,
    "bytes=a-b": None,
    "bytes=0x1-2": None,
    "bytes=+1-2": None,
    "bytes=--1": None,
    "bytes=1_0-20": None,
    "bytes=٣-٤": None,
    "bytes 0-9": None,
    "seconds=0-9": None,
    "bytes=99999999999999999999-": None,
}
BEHIND = ("bytes=1000-", "bytes=1000-1001", "bytes=5000-", "bytes=-0")


@pytest.mark.parametrize("header", PARTS, ids=str)
def test_what_is_asked_for(header: str | None) -> None:
    assert part_of(header, SIZE, MOST) == PARTS[header]


@pytest.mark.parametrize("header", BEHIND)
def test_what_lies_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        part_of(header, SIZE, MOST)


def test_more_than_may_be_sent_at_once_is_cut() -> None:
    assert part_of("bytes=100-899", SIZE, 64) == Part(100, 164)
    assert part_of("bytes=-500", SIZE, 64) == Part(500, 564)


@given(st.text(max_size=30), st.integers(1, 5_000), st.integers(1, 5_000))
def test_whatever_is_asked_for_lies_in_the_file(text: str, size: int, most: int) -> None:
    for header in (text, f"bytes={text}"):
        try:
            part = part_of(header, size, most)
        except UnsatisfiableError:
            continue
        assert part is None or (0 <= part.start < part.end <= size and part.end - part.start <= most)


def test_only_the_same_strong_tag_lets_a_part_be_sent() -> None:
    assert is_still(None, '"a"')
    assert is_still('"a"', '"a"')
    assert not is_still('W/"a"', '"a"')
    assert not is_still('"b"', '"a"')
    assert not is_still("Thu, 01 Jan 2026 00:00:00 GMT", '"a"')
