"""What whoever keeps data keys does; the tests of each kind inherit it and give the fixture `keys`."""

from datetime import date, timedelta

import pytest

from processors.custody.ports import PURPOSES, DataKeys, KeyGoneError

DAY = date(2026, 1, 2)


class DataKeysContract:
    """Every keeper of data keys passes this."""

    def test_a_key_is_made_once_and_is_the_same_every_time(self, keys: DataKeys) -> None:
        made = keys.make("acme", "c1", DAY, "audio")

        assert len(made) == 32
        assert keys.make("acme", "c1", DAY, "audio") == made == keys.get("acme", "c1", DAY, "audio")

    def test_every_tenant_call_day_and_purpose_has_its_own(self, keys: DataKeys) -> None:
        made = {
            keys.make(tenant, call, day, purpose)
            for tenant in ("acme", "globex")
            for call in ("c1", "c2")
            for day in (DAY, DAY - timedelta(days=1))
            for purpose in PURPOSES
        }

        assert len(made) == 24

    def test_a_key_that_was_never_made_is_gone_and_asking_makes_none(self, keys: DataKeys) -> None:
        keys.make("acme", "c1", DAY, "audio")

        for _ in range(2):
            with pytest.raises(KeyGoneError):
                keys.get("acme", "c1", DAY, "transcript")

    def test_all_keys_of_a_call_are_destroyed_and_no_others(self, keys: DataKeys) -> None:
        for purpose in PURPOSES:
            keys.make("acme", "c1", DAY, purpose)
        others = [keys.make("acme", "c2", DAY, "audio"), keys.make("globex", "c1", DAY, "audio")]

        for _ in range(2):
            keys.destroy("acme", "c1", DAY)

        for purpose in PURPOSES:
            with pytest.raises(KeyGoneError):
                keys.get("acme", "c1", DAY, purpose)
        assert [keys.get("acme", "c2", DAY, "audio"), keys.get("globex", "c1", DAY, "audio")] == others

    def test_what_was_destroyed_does_not_come_back(self, keys: DataKeys) -> None:
        before = keys.make("acme", "c1", DAY, "audio")
        keys.destroy("acme", "c1", DAY)

        assert keys.make("acme", "c1", DAY, "audio") != before
