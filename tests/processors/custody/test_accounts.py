"""The life of an account: who may change it, what it may do, what a token of it may."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.accounts import (
    Account,
    AccountAdded,
    AccountCommand,
    AccountError,
    AccountRefusedError,
    AddAccount,
    DisableAccount,
    EnableAccount,
    GiveGrant,
    GrantGiven,
    HeldGrant,
    IssueToken,
    RevokeGrant,
    RevokeToken,
    SetPassword,
    Token,
    actor_of,
    actor_of_token,
    after,
    check_password,
    decide,
    digest_of,
    grants_at,
    is_token,
    operator_of,
    parts_of_token,
    token_text,
)
from processors.custody.authorization import ACTIONS, Action, Actor, Grant, Target, authorize
from processors.custody.sign_in import (
    FREE_OF_ACCOUNT,
    LONGEST_WAIT,
    SessionTimes,
    Tries,
    after_try,
    forgiven,
    waits_s,
)
from schemas.config.roles import load_roles
from tests.support.cases import every_case

ROLES = load_roles().of_people
NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)
OPERATOR = operator_of("root")
LI_NA = Account("li_na", "acme", NOW, "os:root")


def admin(tenant_id: str, name: str = "boss") -> Actor:
    return Actor(name, (Grant("administrator", tenant_id, ROLES["administrator"].actions),))


def given_roles(account: Account, *grants: HeldGrant) -> Account:
    for grant in grants:
        account = after(GrantGiven(account.account_id, grant), account)
    return account


def held(role: str, tenant_id: str = "acme", **more: Any) -> HeldGrant:
    return HeldGrant(f"g-{role}-{tenant_id}", role, tenant_id, NOW, **more)


def obey(commands: Iterable[AccountCommand], by: Actor, account: Account | None = None) -> Account:
    for command in commands:
        for event in decide(command, account, by, ROLES, NOW):
            account = after(event, account)
    assert account is not None
    return account


def test_an_account_begins_with_nothing_and_does_what_its_grants_allow() -> None:
    account = obey([AddAccount("li_na", "acme")], admin("acme"))
    assert grants_at(account, ROLES, NOW) == ()
    account = obey([GiveGrant("li_na", "g1", "inspector", "acme", frozenset({"sales"}))], admin("acme"), account)
    actor = actor_of(account, ROLES, NOW)
    assert authorize(actor, "listen", Target("acme", "c1", "7", "sales")).allowed
    assert not authorize(actor, "listen", Target("acme", "c1", "7", "care")).allowed
    account = obey([RevokeGrant("li_na", "g1")], admin("acme"), account)
    assert not authorize(actor_of(account, ROLES, NOW), "listen", Target("acme", "c1", "7", "sales")).allowed


def test_a_grant_with_an_end_ends_by_itself() -> None:
    account = given_roles(LI_NA, held("approver", ends_at=NOW + timedelta(days=1)))
    assert grants_at(account, ROLES, NOW)
    assert grants_at(account, ROLES, NOW + timedelta(days=1)) == ()


def test_a_disabled_account_and_a_role_that_is_no_more_grant_nothing() -> None:
    account = given_roles(LI_NA, held("approver"))
    assert grants_at(account, {}, NOW) == ()
    off = obey([DisableAccount("li_na")], admin("acme"), account)
    assert grants_at(off, ROLES, NOW) == ()
    assert grants_at(off, ROLES, NOW, [held("agent", agent_id="7")]) == (), "nor do claims"
    assert grants_at(obey([EnableAccount("li_na")], admin("acme"), off), ROLES, NOW)


def test_every_change_of_what_it_may_do_begins_another_generation_and_none_other_does() -> None:
    account = given_roles(LI_NA, held("approver"))
    first = account.generation
    changes: list[AccountCommand] = [
        SetPassword("li_na", "hash"),
        GiveGrant("li_na", "g2", "bi_analyst", "acme"),
        RevokeGrant("li_na", "g2"),
        DisableAccount("li_na"),
        EnableAccount("li_na"),
    ]
    for number, command in enumerate(changes, start=1):
        account = obey([command], admin("acme"), account)
        assert account.generation == first + number
    issued = obey(
        [IssueToken("li_na", "t", "", frozenset({"approve"}), "d", NOW + timedelta(days=1))], OPERATOR, account
    )
    assert issued.generation == account.generation


def test_doing_it_twice_changes_nothing() -> None:
    account = given_roles(LI_NA, held("approver"))
    for first in (RevokeGrant("li_na", "g-approver-acme"), DisableAccount("li_na")):
        changed = obey([first], admin("acme"), account)
        assert decide(first, changed, admin("acme"), ROLES, NOW) == ()
    assert decide(EnableAccount("li_na"), account, admin("acme"), ROLES, NOW) == ()


def test_what_cannot_be_is_said_in_a_sentence() -> None:
    token = IssueToken("li_na", "t", "", frozenset({"approve"}), "d", NOW + timedelta(days=1))
    approver = given_roles(LI_NA, held("approver"))
    with every_case() as cases:
        for name, command, account, sentence in (
            ("a name in capitals", AddAccount("Li Na", "acme"), None, "is written"),
            ("a tenant that is none", AddAccount("li_na", "Acme!"), None, "tenant"),
            ("there is one", AddAccount("li_na", "acme"), LI_NA, "already"),
            ("there is none", DisableAccount("li_na"), None, "no account"),
            ("a role that is none", GiveGrant("li_na", "g", "king", "acme"), LI_NA, "no role king"),
            ("a role of work", GiveGrant("li_na", "g", "pipeline_writer", "acme"), LI_NA, "no role"),
            ("an inspector without teams", GiveGrant("li_na", "g", "inspector", "acme"), LI_NA, "needs teams"),
            ("an agent without number", GiveGrant("li_na", "g", "agent", "acme"), LI_NA, "needs agent"),
            (
                "an agent of all tenants",
                GiveGrant("li_na", "g", "agent", "*", agent_id="7"),
                LI_NA,
                "exactly one tenant",
            ),
            (
                "an inspector of all tenants",
                GiveGrant("li_na", "g", "inspector", "*", frozenset({"a"})),
                LI_NA,
                "exactly one tenant",
            ),
            (
                "an approver of a team, who would approve for all",
                GiveGrant("li_na", "g", "approver", "acme", frozenset({"sales"})),
                LI_NA,
                "does not look at teams",
            ),
            ("it has ended", GiveGrant("li_na", "g", "approver", "acme", ends_at=NOW), LI_NA, "future"),
            ("no such grant", RevokeGrant("li_na", "x"), LI_NA, "no grant x"),
            ("no such token", RevokeToken("li_na", "x"), LI_NA, "no token x"),
            ("a token for nothing", IssueToken("li_na", "t", "", frozenset(), "d", NOW), approver, "needs a scope"),
            ("a token for more", token, LI_NA, "may not approve"),
            (
                "a token for ever",
                IssueToken("li_na", "t", "", frozenset({"approve"}), "d", NOW + timedelta(days=400)),
                approver,
                "366 days",
            ),
        ):
            with cases.case(name), pytest.raises(AccountError, match=sentence):
                decide(command, account, OPERATOR, ROLES, NOW)


def test_an_administrator_stays_within_the_tenant() -> None:
    elsewhere = given_roles(LI_NA, held("approver"), held("approver", "other"))
    with every_case() as cases:
        for name, command, account, by in (
            ("an account of another tenant", AddAccount("x", "other"), None, admin("acme")),
            ("an account of all tenants", AddAccount("x", "*"), None, admin("acme")),
            ("a link to the machine", AddAccount("x", "acme", os_user="root"), None, admin("acme")),
            ("a role elsewhere", GiveGrant("li_na", "g", "approver", "other"), LI_NA, admin("acme")),
            ("a role everywhere", GiveGrant("li_na", "g", "approver", "*"), LI_NA, admin("acme")),
            ("a role that was given elsewhere", RevokeGrant("li_na", "g-approver-other"), elsewhere, admin("acme")),
            ("the password of somebody who is more", SetPassword("li_na", "hash"), elsewhere, admin("acme")),
            ("the end of somebody who is more", DisableAccount("li_na"), elsewhere, admin("acme")),
            ("a token in somebody's name", _token("see_text"), elsewhere, admin("*")),
            ("without a role", DisableAccount("li_na"), LI_NA, Actor("nobody", ())),
            ("another role", DisableAccount("li_na"), LI_NA, actor_of(elsewhere, ROLES, NOW)),
            ("a role for oneself", GiveGrant("li_na", "g", "approver", "acme"), LI_NA, admin("*", "li_na")),
        ):
            with cases.case(name), pytest.raises(AccountRefusedError):
                decide(command, account, by, ROLES, NOW)
    assert decide(DisableAccount("li_na"), elsewhere, admin("*"), ROLES, NOW)


def _token(*scopes: Action) -> IssueToken:
    return IssueToken("li_na", "t", "", frozenset(scopes), "d", NOW + timedelta(days=1))


def test_one_may_change_the_own_password_and_tokens_without_any_role() -> None:
    me = Actor("li_na", ())
    account = given_roles(LI_NA, held("approver"))
    assert obey([SetPassword("li_na", "hash")], me, account).password_hash == "hash"
    account = obey([_token("approve")], me, account)
    assert obey([RevokeToken("li_na", "t")], me, account).tokens[0].revoked_at == NOW
    assert not decide(RevokeToken("li_na", "t"), obey([RevokeToken("li_na", "t")], me, account), me, ROLES, NOW)


grant_sets = st.lists(
    st.sampled_from(
        [
            held("approver"),
            held("bi_analyst"),
            held("privacy_officer"),
            held("inspector", teams=frozenset({"sales"})),
            held("agent", agent_id="7"),
            held("administrator", "*"),
        ]
    ),
    unique_by=lambda each: each.grant_id,
)


@given(grant_sets, st.frozensets(st.sampled_from(ACTIONS)), st.sampled_from(ACTIONS), st.booleans())
def test_a_token_never_allows_more_than_the_account_and_than_it_was_made_for(
    grants: list[HeldGrant], scopes: frozenset[Action], action: Action, disabled: bool
) -> None:
    account = given_roles(LI_NA, *grants)
    if disabled:
        account = obey([DisableAccount("li_na")], OPERATOR, account)
    token = Token("t", "", scopes, "d", NOW, NOW + timedelta(days=1))
    for target in (Target("acme", "c1", "7", "sales"), Target("acme", "c1", "8", "care"), Target("acme"), Target("*")):
        whole = authorize(actor_of(account, ROLES, NOW), action, target)
        part = authorize(actor_of_token(account, token, ROLES, NOW), action, target)
        assert part.allowed is (whole.allowed and action in scopes)
        assert part.masking == "masked" or "listen_unmasked" in scopes
        late = actor_of_token(account, token, ROLES, NOW + timedelta(days=1))
        assert not authorize(late, action, target).allowed


def test_a_token_is_its_secret_while_it_holds() -> None:
    token = Token("a" * 12, "", frozenset({"listen"}), digest_of("s" * 43), NOW, NOW + timedelta(days=1))
    assert parts_of_token(token_text("a" * 12, "s" * 43)) == ("a" * 12, "s" * 43)
    assert is_token(token, "s" * 43, NOW)
    assert not is_token(token, "t" * 43, NOW)
    assert not is_token(token, "s" * 43, NOW + timedelta(days=1))
    assert not is_token(None, "", NOW)
    for text in ("", "cst_", "cs_" + "a" * 12 + "_" + "s" * 43, "cst_" + "a" * 12 + "_" + "s" * 42, "cst_A_b"):
        assert parts_of_token(text) is None


def test_passwords_that_are_easily_guessed_are_refused() -> None:
    with every_case() as cases:
        for password in (
            "short",
            "elevenchars",
            "a" * 300,
            "aaaaaaaaaaaaaa",
            "abababababab",
            "password1234",
            "qwertyqwerty1",
            "li_na-li_na-x",
            "administrator1",
        ):
            with cases.case(password), pytest.raises(AccountError):
                check_password(password, "li_na")
    assert check_password("correct horse battery", "li_na") == "correct horse battery"
    assert check_password("ｃorrect horse battery", "li_na") == "correct horse battery", "as another keyboard writes it"
    assert check_password("九月的第三个星期五下雨了", "li_na")


def test_who_is_wrong_again_and_again_waits_longer_each_time_but_not_for_ever() -> None:
    tries, now = Tries(), NOW
    waits = []
    for _ in range(20):
        assert waits_s(tries, now) == 0
        tries = after_try(tries, FREE_OF_ACCOUNT, now)
        waits.append(waits_s(tries, now))
        now += timedelta(seconds=waits[-1])
    assert waits[: FREE_OF_ACCOUNT - 1] == [0] * (FREE_OF_ACCOUNT - 1)
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == LONGEST_WAIT.total_seconds()
    assert waits_s(forgiven(tries), now) == 0
    rested = after_try(tries, FREE_OF_ACCOUNT, now + timedelta(days=1))
    assert (rested.count, waits_s(rested, now + timedelta(days=1))) == (1, 0)


def test_a_session_ends_when_nobody_uses_it_and_at_the_latest_after_half_a_day() -> None:
    def holds(opened_h: float, used_min: float) -> bool:
        return SessionTimes(NOW - timedelta(hours=opened_h), NOW - timedelta(minutes=used_min)).holds(NOW)

    assert holds(0, 0)
    assert holds(11.9, 29)
    assert not holds(1, 30)
    assert not holds(12, 1)


def test_an_event_of_another_account_is_a_bug() -> None:
    with pytest.raises(ValueError, match="another"):
        after(GrantGiven("somebody", held("approver")), LI_NA)
    assert after(AccountAdded(LI_NA), None) == LI_NA
