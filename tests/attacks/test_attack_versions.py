"""Attacks on the order of transcripts and analyses: clocks that stand, run ahead or disagree."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.clickhouse.rows import (
    OUTCOMES,
    REFUSED_VERSION,
    TRANSCRIPTS,
    rows_for_analysis,
    rows_for_transcript,
    version_of_analysis,
)
from schemas.errors import InvalidMessageError
from tests.processors.clickhouse.test_rows import a_transcript, an_analysis

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2286, 11, 20, 17, 46, 39, 999999, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ANY_TIME = st.datetimes(EPOCH.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC))
JUDGED = st.tuples(ANY_TIME, st.integers(1, 1_000_000), ANY_TIME)


def transcript_version(heard_at: datetime) -> int:
    (row,) = rows_for_transcript(a_transcript().model_copy(update={"transcribed_at": heard_at}))[TRANSCRIPTS]
    version = row["version"]
    assert isinstance(version, int)
    return version


def analysis_version(heard_at: datetime, version: int, judged_at: datetime) -> int:
    update = {"transcribed_at": heard_at, "analysis_version": version, "analyzed_at": judged_at}
    return version_of_analysis(an_analysis().model_copy(update=update))


@given(JUDGED, JUDGED)
def test_whatever_clocks_say_the_judgement_that_stands_is_that_of_the_transcript_that_stands(
    one: tuple[datetime, int, datetime], other: tuple[datetime, int, datetime]
) -> None:
    """Also where a call was judged before it was heard, or centuries after."""
    transcripts = transcript_version(one[0]), transcript_version(other[0])
    analyses = analysis_version(*one), analysis_version(*other)
    if transcripts[0] != transcripts[1]:
        assert (transcripts[0] > transcripts[1]) == (analyses[0] > analyses[1])
    assert max(analyses) < 2**128


@pytest.mark.parametrize(
    "heard_at",
    [
        pytest.param(EPOCH - MICROSECOND, id="a microsecond before 1970"),
        pytest.param(LATEST + MICROSECOND, id="2286"),
        pytest.param(datetime(2299, 12, 31, tzinfo=UTC), id="the last year of a column"),
        pytest.param(datetime.max.replace(tzinfo=UTC), id="9999"),
    ],
)
def test_a_transcript_whose_judgement_would_be_refused_is_refused_itself(heard_at: datetime) -> None:
    """Else it would stand, for good, beside the judgement of another."""
    for refuses in (transcript_version, lambda at: analysis_version(at, 1, EPOCH)):
        with pytest.raises(InvalidMessageError):
            refuses(heard_at)


def test_an_analysis_by_a_clock_that_stands_at_its_beginning_outranks_a_refusal() -> None:
    analysis = an_analysis().model_copy(update={"transcribed_at": EPOCH, "analyzed_at": EPOCH, "analysis_version": 1})
    (outcome,) = rows_for_analysis(analysis)[OUTCOMES]
    version = outcome["version"]
    assert isinstance(version, int)
    assert version > REFUSED_VERSION
