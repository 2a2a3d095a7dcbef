"""A phone number becomes a key that only whoever has the secret can make again, and that is findable after a change."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.customer_keys import CustomerKeys, customer_key
from schemas.errors import InvalidCallError
from schemas.messages.call_ended import Customer

NUMBER = "13800138000"
SECRET = "a secret of the test"


class TestCustomerKey:
    @pytest.mark.parametrize(
        "written",
        [
            pytest.param("138 0013 8000", id="spaces"),
            pytest.param("138-0013-8000", id="dashes"),
            pytest.param("(138) 0013.8000", id="brackets and dots"),
            pytest.param("+8613800138000", id="E.164"),
            pytest.param("+86 138-0013-8000", id="E.164 as people write it"),
            pytest.param("008613800138000", id="dialled from abroad"),
            pytest.param("013800138000", id="a mobile of another city, as Chinese exchanges dial it"),
            pytest.param("+86 (0) 138 0013 8000", id="prefix and trunk prefix at once"),
            pytest.param("１３８００１３８０００", id="full-width digits"),
            pytest.param("＋８６　１３８００１３８０００", id="all full-width"),
            pytest.param("\t138\u00a00013 8000\n", id="other white space"),
        ],
    )
    def test_one_number_has_one_key_however_it_is_written(self, written: str) -> None:
        assert customer_key(written, SECRET) == customer_key(NUMBER, SECRET)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param("010-12345678", "+86 10 1234 5678", id="a landline with trunk prefix and from abroad"),
            pytest.param("+852 2123 4567", "0085221234567", id="Hong Kong"),
        ],
    )
    def test_other_numbers_have_one_key_too(self, one: str, other: str) -> None:
        assert customer_key(one, SECRET) == customer_key(other, SECRET)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            pytest.param(NUMBER, "13800138001", id="another number"),
            pytest.param("13865550100", "+1 386 555 0100", id="an American number with the digits of a Chinese mobile"),
            pytest.param("95588", "955880", id="one digit more"),
        ],
    )
    def test_two_numbers_have_two_keys(self, one: str, other: str) -> None:
        assert customer_key(one, SECRET) != customer_key(other, SECRET)

    def test_it_is_a_keyed_hash_that_an_event_takes(self) -> None:
        key = customer_key(NUMBER, SECRET)
        assert key != customer_key(NUMBER, SECRET + "!")
        assert key != sha256(NUMBER.encode()).hexdigest()
        assert Customer(key=key).key == key

    @pytest.mark.parametrize(
        "written",
        [
            pytest.param("", id="empty"),
            pytest.param(" - ", id="nothing but separators"),
            pytest.param("12", id="too short to be a number"),
            pytest.param("1" * 21, id="too long to be a number"),
            pytest.param("王小明", id="a name"),
            pytest.param("138001380ab", id="letters"),
            pytest.param("13800138000 转 12", id="with an extension: not the number of a person"),
            pytest.param("1380013+8000", id="a plus inside"),
            pytest.param("++8613800138000", id="two pluses"),
            pytest.param("١٣٨٠٠١٣٨٠٠٠", id="digits that would make another key"),
        ],
    )
    def test_what_is_no_number_is_refused_without_being_repeated(self, written: str) -> None:
        with pytest.raises(InvalidCallError, match="is not a phone number") as caught:
            customer_key(written, SECRET)
        assert not written.strip(" -") or written not in str(caught.value)

    def test_without_a_secret_there_is_no_key(self) -> None:
        with pytest.raises(InvalidCallError, match="customer_key_secret is not set") as caught:
            customer_key(NUMBER, "")
        assert NUMBER not in str(caught.value)


class TestVersions:
    KEYS = CustomerKeys(current=2, secrets={0: SECRET, 1: SECRET, 2: "another secret"})

    def test_version_0_is_the_key_of_before_there_were_versions(self) -> None:
        unversioned = CustomerKeys(current=0, secrets={0: SECRET})

        assert unversioned.of("acme", NUMBER) == customer_key(NUMBER, SECRET)
        assert unversioned.of("bright", NUMBER) == customer_key(NUMBER, SECRET)

    def test_a_key_stays_the_same_for_ever(self) -> None:
        """What is stored under it could not be found otherwise."""
        assert CustomerKeys(1, {1: SECRET}).of("acme", NUMBER) == (
            "fed011596b35cb67d28232a8b5b64d89a88d47cd8e15ea1d4a4c824ece584476"
        )

    def test_two_tenants_two_versions_and_two_secrets_have_two_keys(self) -> None:
        made = [
            CustomerKeys(version, {version: secret}).of(tenant, NUMBER)
            for version in (1, 2)
            for secret in (SECRET, "another")
            for tenant in ("acme", "bright")
        ]
        assert len(set(made)) == len(made)

    def test_a_search_asks_for_the_keys_of_all_versions(self) -> None:
        asked = self.KEYS.every("acme", NUMBER)

        assert asked[0] == self.KEYS.of("acme", NUMBER)
        assert asked[1:] == (
            CustomerKeys(1, {1: SECRET}).of("acme", NUMBER),
            customer_key(NUMBER, SECRET),
        )

    @given(st.integers(0, 5), st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True))
    def test_a_number_that_is_written_otherwise_has_the_same_keys(self, version: int, number: str) -> None:
        keys = CustomerKeys(version, {version: SECRET})

        assert keys.every("acme", f"+86 {number[:3]}-{number[3:]}") == keys.every("acme", number)

    @pytest.mark.parametrize("version", [0, 1])
    def test_without_a_secret_there_is_no_key(self, version: int) -> None:
        for secrets in ({}, {version: ""}):
            with pytest.raises(InvalidCallError, match="customer_key_secret is not set"):
                CustomerKeys(version, secrets).of("acme", NUMBER)

    @pytest.mark.parametrize("version", [0, 1])
    def test_what_is_no_number_is_refused_under_every_version(self, version: int) -> None:
        with pytest.raises(InvalidCallError, match="is not a phone number"):
            CustomerKeys(version, {version: SECRET}).of("acme", "王小明")

    def test_secrets_are_not_printed(self) -> None:
        assert SECRET not in repr(self.KEYS)


class TestLastDigits:
    KEYS = CustomerKeys(1, {1: SECRET})

    def test_they_are_kept_only_where_the_policy_says_so(self) -> None:
        key = self.KEYS.of("acme", NUMBER)

        assert self.KEYS.fields("acme", NUMBER, keep_last_digits=False) == {"key": key, "key_version": 1}
        kept = self.KEYS.fields("acme", "+86 138 0013 8000", keep_last_digits=True)
        assert kept == {"key": key, "key_version": 1, "number_last4": "8000"}
        assert Customer.model_validate(kept).number_last4 == "8000"

    @pytest.mark.parametrize(
        ("number", "kept"),
        [
            pytest.param("955880", None, id="two digits more would be no secret"),
            pytest.param("110", None, id="the number of nobody"),
            pytest.param("1234567", "4567", id="three stay hidden"),
            pytest.param("+123456", None, id="a plus hides nothing"),
        ],
    )
    def test_of_a_short_number_none_are_kept(self, number: str, kept: str | None) -> None:
        assert self.KEYS.fields("acme", number, keep_last_digits=True).get("number_last4") == kept
