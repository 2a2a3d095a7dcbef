"""Searches that are kept in the register: of one account, under a name."""

from datetime import UTC, datetime

import pytest

from streams.adapters.register import saved_searches
from streams.adapters.register.register import Register
from streams.adapters.register.saved_searches import RegisterSavedSearches
from streams.ports import SystemClock


def test_each_account_sees_its_own(register: Register) -> None:
    mine, theirs = (RegisterSavedSearches(register, who, SystemClock()) for who in ("li", "os:wang"))
    assert theirs.keep("退款", {"tenant": ["noodles"]})
    assert mine.keep("退款", {"tenant": ["acme"], "last": "7d"})
    assert mine.keep("a", {})
    assert mine.keep("退款", {"tenant": ["acme"], "selected": True})
    assert [(each.name, each.criteria) for each in mine.every()] == [
        ("a", {}),
        ("退款", {"tenant": ["acme"], "selected": True}),
    ]
    assert abs((mine.every()[0].saved_at - datetime.now(UTC)).total_seconds()) < 600
    assert (mine.forget("退款"), mine.forget("退款")) == (True, False)
    assert [each.criteria for each in theirs.every()] == [{"tenant": ["noodles"]}]


def test_there_is_an_end_to_them(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_searches, "MOST_SAVED", 2)
    searches = RegisterSavedSearches(register, "li", SystemClock())
    assert [searches.keep(name, {}) for name in "abc"] == [True, True, False]
    assert searches.keep("a", {"last": "7d"})
