"""The file of answers and budgets."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from processors.second_reading.verification import SecondReading, VerifiedQuote
from schemas.errors import RetryableError
from streams.adapters.second_readers.answers import KEPT, Answers

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
DAY = date(2026, 3, 31)
READING = SecondReading(quotes=(VerifiedQuote(kind="rude", turn=1, start=2, end=5, confidence=0.5),), dropped=1)


def test_an_answer_is_known_by_transcript_prompt_and_model_also_to_a_later_process(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "answers.sqlite"
    answers = Answers(file)
    answers.keep("t", "conduct@1+a", "qwen", READING, NOW)
    answers.close()
    again = Answers(file)
    assert again.known("t", "conduct@1+a", "qwen") == READING
    for other in (("u", "conduct@1+a", "qwen"), ("t", "conduct@2+a", "qwen"), ("t", "conduct@1+a", "llama")):
        assert again.known(*other) is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again.close()


def test_what_is_as_old_as_no_transcript_is_forgotten(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite")
    answers.keep("t", "p", "m", READING, NOW)
    answers.keep_call("acme", "c1", NOW)
    answers.forget_old(NOW + KEPT)
    assert answers.was_read("acme", "c1")
    answers.forget_old(NOW + KEPT + timedelta(days=1))
    assert not answers.was_read("acme", "c1")
    assert answers.known("t", "p", "m") is None
    answers.close()


def test_a_budget_is_of_one_tenant_and_one_day(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite")
    assert [answers.reserve("acme", DAY, 10, 2, 0) for _ in range(3)] == [True, True, False]
    assert answers.reserve("other", DAY, 10, 2, 0)
    assert answers.reserve("acme", DAY + timedelta(days=1), 10, 2, 0)
    answers.close()


def test_tokens_are_reserved_and_corrected_by_what_was_used(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite")
    assert answers.reserve("acme", DAY, 600, 0, 1_000)
    assert not answers.reserve("acme", DAY, 600, 0, 1_000)
    answers.correct("acme", DAY, -500)
    assert answers.reserve("acme", DAY, 600, 0, 1_000)
    answers.give_back("acme", DAY, 600)
    assert answers.reserve("acme", DAY, 900, 0, 1_000)
    answers.close()


def test_threads_and_processes_together_spend_no_more_than_there_is(tmp_path: Path) -> None:
    several = [Answers(tmp_path / "answers.sqlite") for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda number: several[number % 3].reserve("acme", DAY, 1, 20, 0), range(60)))
    assert results.count(True) == 20
    for answers in several:
        answers.close()


def test_a_file_that_cannot_be_used_waits(tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite"
    file.write_bytes(b"no database at all, but long enough to look like one" * 100)
    with pytest.raises(RetryableError, match="cannot be used: DatabaseError"):
        Answers(file)


def test_an_answer_of_another_release_is_asked_for_again(tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite"
    answers = Answers(file)
    answers.keep("t", "p", "m", READING, NOW)
    with sqlite3.connect(file) as other:
        other.execute("""UPDATE answers SET reading = '{"quotes": [{"new": 1}]}'""")
    other.close()
    assert answers.known("t", "p", "m") is None
    answers.close()
