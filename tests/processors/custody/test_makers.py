"""Two accounts that may be one person: who made which, who gave which password, who may have which token."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processors.custody.accounts import (
    Account,
    AccountCommand,
    AddAccount,
    GiveGrant,
    HeldGrant,
    IssueToken,
    OidcSubject,
    RevokeToken,
    SetPassword,
    actor_of,
    after,
    decide,
    operator_of,
)
from processors.custody.authorization import Actor, Grant, Target
from processors.custody.makers import Tie, can_act_as_each_other, tie_to_requester, who_can_act_as
from processors.custody.oidc_claims import account_of
from schemas.config.roles import load_roles
from tests.support.cases import every_case

ROLES = load_roles().of_people
NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
OPERATOR = operator_of("root")
PROVIDER = Actor("oidc", (Grant("oidc_provider", "*", frozenset({"administer"})),))
ACME = (Target("acme", "c1"),)


@dataclass
class Village:
    """Accounts in memory, changed as the register changes them."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def find(self, account_id: str) -> Account | None:
        return self.accounts.get(account_id)

    def find_by_os_user(self, os_user: str) -> Account | None:
        return next((each for each in self.accounts.values() if each.os_user == os_user), None)

    def actor(self, name: str, *claimed: HeldGrant) -> Actor:
        return actor_of(self.accounts[name], ROLES, NOW, claimed)

    def tell(self, by: str | Actor, command: AccountCommand) -> None:
        actor = self.actor(by) if isinstance(by, str) else by
        state = self.accounts.get(command.account_id)
        for event in decide(command, state, actor, ROLES, NOW):
            state = after(event, state)
            self.accounts[state.account_id] = state

    def add(self, by: str | Actor, name: str, *roles: str, given_by: str | Actor | None = None, **more: Any) -> None:
        self.tell(by, AddAccount(name, "acme", **more))
        for role in roles:
            self.tell(by if given_by is None else given_by, GiveGrant(name, f"{name}-{role}", role, "acme"))

    def tie(self, approver: str, requester: str, *claimed: HeldGrant, apart: bool = True) -> Tie | None:
        actor = self.actor(approver, *claimed)
        return tie_to_requester(actor, requester, ACME, self, NOW, makers_apart=apart)


@pytest.fixture
def village() -> Village:
    """Two administrators whom the operator added, `ann` and `ben`; either may export and administer."""
    made = Village()
    for name in ("ann", "ben"):
        made.add(OPERATOR, name, "administrator", password_hash="h")
    return made


def test_an_approver_of_somebody_else_is_somebody_else(village: Village) -> None:
    village.add("ben", "bob", "approver", password_hash="h")
    assert village.tie("bob", "ann") is None
    village.add(OPERATOR, "cleo", "approver", password_hash="h")
    assert village.tie("cleo", "ann") is None


def test_every_way_to_sign_in_as_the_approver_is_found(village: Village) -> None:
    """Each row: what `ann`, who asks for the export, has done before `bob` approves it."""

    def made(at: Village) -> None:
        at.add("ann", "bob", "approver", given_by="ben", password_hash="h")

    def made_without_a_password(at: Village) -> None:
        at.add("ann", "bob", "approver", given_by="ben", oidc=OidcSubject("https://login", "anns-second"))

    def reset(at: Village) -> None:
        at.add("ben", "bob", "approver", password_hash="h")
        at.tell("ann", SetPassword("bob", "h2"))

    def reset_and_hidden(at: Village) -> None:
        reset(at)
        at.tell("bob", SetPassword("bob", "h3"))

    def made_through_a_puppet(at: Village) -> None:
        at.add("ann", "puppet", "administrator", password_hash="h")
        at.add("puppet", "bob", "approver", given_by="ben", password_hash="h")

    def reset_through_two_puppets(at: Village) -> None:
        at.add("ben", "bob", "approver", password_hash="h")
        at.add("ann", "one", "administrator", password_hash="h")
        at.add("one", "two", "administrator", password_hash="h")
        at.tell("two", SetPassword("bob", "h2"))

    def kept_a_token(at: Village) -> None:
        reset(at)
        scopes = frozenset({"approve"})
        at.tell("bob", IssueToken("bob", "t", "", scopes, "d", NOW + timedelta(days=9)))  # type: ignore[arg-type]
        at.tell("ben", SetPassword("bob", "h4"))

    with every_case() as cases:
        for way in (
            made,
            made_without_a_password,
            reset,
            reset_and_hidden,
            made_through_a_puppet,
            reset_through_two_puppets,
            kept_a_token,
        ):
            with cases.case(way.__name__):
                at = Village(dict(village.accounts))
                way(at)
                assert at.tie("bob", "ann", apart=False) == "made_by_requester"
                assert at.tie("bob", "ann") == "made_by_requester"


def test_a_password_that_somebody_else_gave_and_a_token_that_ended_make_it_another_person_again(
    village: Village,
) -> None:
    village.add("ben", "bob", "approver", password_hash="h")
    village.tell("ann", SetPassword("bob", "h2"))
    token = IssueToken("bob", "t", "", frozenset({"approve"}), "d", NOW + timedelta(days=9))
    village.tell("bob", token)
    village.tell("ben", SetPassword("bob", "h3"))
    assert village.tie("bob", "ann") == "made_by_requester"
    village.tell("bob", RevokeToken("bob", "t"))
    assert village.tie("bob", "ann") is None


def test_a_token_of_the_approver_that_the_operator_made_is_the_operators(village: Village) -> None:
    village.add("ben", "bob", "approver", password_hash="h")
    village.accounts["ann"] = replace(village.accounts["ann"], os_user="ann")
    village.tell(operator_of("ann"), IssueToken("bob", "t", "", frozenset({"approve"}), "d", NOW + timedelta(days=9)))
    assert village.tie("bob", "ann") == "made_by_requester", "os:ann is ann"
    assert tie_to_requester(village.actor("bob"), "ann", ACME, village, NOW + timedelta(days=9), makers_apart=True) is (
        None
    )


def test_an_account_that_was_made_as_operator_is_that_persons(village: Village) -> None:
    village.accounts["ann"] = replace(village.accounts["ann"], os_user="ann")
    village.add(operator_of("ann"), "bob", "approver", password_hash="h")
    assert village.tie("bob", "ann") == "made_by_requester"
    assert village.tie("bob", "ben") is None


def test_who_made_the_requester_does_not_approve(village: Village) -> None:
    """Who can sign in as the requester asks for what they approve: the same person on both sides."""
    village.tell(OPERATOR, GiveGrant("ben", "g", "approver", "acme"))
    village.add("ben", "rita", "administrator", given_by="ann", password_hash="h")
    assert village.tie("ben", "rita", apart=False) == "made_requester"
    village.add("ann", "rosa", "administrator", password_hash="h")
    assert village.tie("ben", "rosa") is None
    village.tell("ben", SetPassword("rosa", "h2"))
    assert village.tie("ben", "rosa") == "made_requester"


def test_who_gave_the_requester_the_right_to_export_may_approve(village: Village) -> None:
    """They cannot sign in as the requester: that administrators give roles is what they are for."""
    village.tell(OPERATOR, GiveGrant("ben", "g", "approver", "acme"))
    village.add(OPERATOR, "rita", "administrator", given_by="ben", password_hash="h")
    assert village.tie("ben", "rita") is None


def test_a_right_to_approve_that_only_the_requester_gave_is_none(village: Village) -> None:
    village.add(OPERATOR, "bob", "approver", given_by="ann", password_hash="h")
    assert village.tie("bob", "ann") == "granted_by_requester"
    assert village.tie("bob", "ben") is None
    village.tell("ben", GiveGrant("bob", "another", "approver", "acme"))
    assert village.tie("bob", "ann") is None, "somebody else gave it, too"


def test_a_right_that_a_puppet_of_the_requester_gave_is_none_either(village: Village) -> None:
    village.add("ann", "puppet", "administrator", password_hash="h")
    village.add(OPERATOR, "bob", "approver", given_by="puppet", password_hash="h")
    assert village.tie("bob", "ann") == "granted_by_requester"


def test_a_person_of_the_provider_is_nobodys_and_a_role_of_its_claims_is_not_the_requesters(village: Village) -> None:
    name = account_of(OidcSubject("https://login", "s1"))
    village.add(PROVIDER, name, oidc=OidcSubject("https://login", "s1"))
    claimed = HeldGrant("claimed", "approver", "acme", NOW)
    assert village.tie(name, "ann", claimed) is None
    other = account_of(OidcSubject("https://login", "s2"))
    village.add(PROVIDER, other, oidc=OidcSubject("https://login", "s2"))
    assert village.tie(name, other, claimed) is None, "that the provider attests to both is no common maker"
    village.tell("ann", GiveGrant(name, "g", "approver", "acme"))
    assert village.tie(name, "ann", claimed) is None
    assert village.tie(name, "ann") == "granted_by_requester"
    village.tell(OPERATOR, SetPassword(name, "h"))
    assert village.tie(name, "ann", claimed) is None


def test_one_administrator_who_made_both_could_do_it_alone_unless_the_tenant_lets_them(village: Village) -> None:
    village.add("ann", "rita", "administrator", password_hash="h")
    village.add("ann", "bob", "approver", password_hash="h")
    assert village.tie("bob", "rita") == "one_maker"
    assert village.tie("bob", "rita", apart=False) is None
    village.add("ben", "bea", "approver", password_hash="h")
    assert village.tie("bea", "rita") is None
    village.tell("ann", SetPassword("bea", "h2"))
    assert village.tie("bea", "rita") == "one_maker"


def test_that_the_operator_made_both_is_no_common_maker_also_where_the_operator_has_an_account(
    village: Village,
) -> None:
    village.accounts["ben"] = replace(village.accounts["ben"], os_user="root")
    village.add(OPERATOR, "bob", "approver", password_hash="h")
    assert village.tie("bob", "ann") is None
    assert village.tie("bob", "ben") == "made_by_requester"


def test_the_account_that_the_operator_made_for_themselves_is_the_operators(village: Village) -> None:
    """On a machine of one's own: the first administrator is its owner, and makes everybody's account."""
    village.tell(OPERATOR, AddAccount("boss", "*", os_user="root"))
    village.tell(OPERATOR, GiveGrant("boss", "b", "administrator", "*"))
    village.add("boss", "rita", "administrator", password_hash="h")
    village.add("boss", "bob", "approver", password_hash="h")
    assert village.tie("bob", "rita") is None
    assert village.tie("bob", "boss") == "made_by_requester"
    assert village.tie("bob", "ann") is None
    village.tell("ann", SetPassword("ann", "h"))
    village.tell(OPERATOR, GiveGrant("ann", "a", "administrator", "*"))
    village.tell("ann", SetPassword("boss", "h"))
    assert village.tie("bob", "rita") == "one_maker", "ann can sign in as boss now, and as both by that"
    village.tell(OPERATOR, SetPassword("boss", "h"))
    assert village.tie("bob", "rita") is None
    village.tell("boss", AddAccount("carl", "acme", os_user="carl"))
    village.tell("boss", GiveGrant("carl", "c", "administrator", "acme"))
    village.add("carl", "ruth", "administrator", password_hash="h")
    village.add("carl", "bert", "approver", password_hash="h")
    assert village.tie("bert", "ruth") == "one_maker", "who was given an account of the machine is not its operator"


def test_of_several_approvers_none_can_act_as_another(village: Village) -> None:
    village.add("ben", "bob", "approver", password_hash="h")
    village.add("ben", "bea", "approver", password_hash="h")
    assert not can_act_as_each_other("bob", "bea", village, NOW)
    assert can_act_as_each_other("bob", "ben", village, NOW)
    assert can_act_as_each_other("ben", "bob", village, NOW)


def test_two_who_made_each_other_are_looked_at_once(village: Village) -> None:
    village.tell("ann", SetPassword("ben", "h"))
    village.tell("ben", SetPassword("ann", "h"))
    assert who_can_act_as("ann", village, NOW) == who_can_act_as("ben", village, NOW) == {"ann", "ben", "os:root"}
