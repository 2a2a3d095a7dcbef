"""Searches that people keep in the register: criteria under a name, of one account, and never results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from streams.adapters.register.register import Register
from streams.adapters.register.tables import saved_searches
from streams.ports import Clock

MOST_SAVED = 200
"""Searches that one account keeps."""

Criteria = Mapping[str, object]
"""Option → what was given, as JSON has it."""


@dataclass(frozen=True)
class SavedSearch:
    """A search that was kept, and when."""

    name: str
    criteria: Criteria
    saved_at: datetime


class RegisterSavedSearches:
    """Of one account. Every method may raise what `Register.transaction` does."""

    def __init__(self, register: Register, account_id: str, clock: Clock) -> None:
        self._register = register
        self._account_id = account_id
        self._clock = clock

    def every(self) -> list[SavedSearch]:
        """By name."""
        s = saved_searches.c
        with self._register.reading("list saved searches") as tx:
            rows = tx.execute(select(s.name, s.criteria, s.saved_at).where(s.account_id == self._account_id)).all()
        return sorted((SavedSearch(row[0], json.loads(row[1]), row[2]) for row in rows), key=lambda each: each.name)

    def keep(self, name: str, criteria: Criteria) -> bool:
        """Keep it, in place of one that has the name; false where the account keeps `MOST_SAVED` others already."""
        s = saved_searches.c
        mine = s.account_id == self._account_id
        with self._register.transaction("save a search") as tx:
            tx.execute(delete(saved_searches).where(mine & (s.name == name)))
            if tx.execute(select(func.count()).select_from(saved_searches).where(mine)).scalar_one() >= MOST_SAVED:
                return False
            tx.execute(
                insert(saved_searches).values(
                    account_id=self._account_id,
                    name=name,
                    criteria=json.dumps(criteria, ensure_ascii=False),
                    saved_at=self._clock.now(),
                )
            )
        return True

    def forget(self, name: str) -> bool:
        """Remove it; whether there was one."""
        s = saved_searches.c
        with self._register.transaction("forget a search") as tx:
            gone = tx.execute(delete(saved_searches).where((s.account_id == self._account_id) & (s.name == name)))
        return gone.rowcount > 0
