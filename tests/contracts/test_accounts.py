"""Accounts, sessions and tries in the register: on SQLite and on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from processors.custody.accounts import AccountError, AccountRefusedError, OidcSubject, actor_of
from processors.custody.authorization import Actor
from processors.custody.sign_in import FREE_OF_ACCOUNT, IDLE, LONGEST_SESSION
from schemas.errors import RetryableError
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register.outbox import Outbox
from streams.adapters.register.register import Register
from streams.adapters.register.sessions import OidcSignIn
from tests.support.people import OPERATOR, ROLES, Town
from tests.support.serving import NOW, HandClock

SUBJECT = OidcSubject("https://login.acme.example", "248289761001")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def town(register: Register, clock: HandClock) -> Town:
    return Town(register, clock)


def told(town: Town) -> list[CustodyChanged]:
    return [CustodyChanged.decode(each.record.value or b"") for each in Outbox(town.register).waiting(100)]


def test_an_account_is_found_by_each_of_its_names_with_all_that_it_has(town: Town) -> None:
    town.accounts.add(
        OPERATOR, "li_na", "acme", password_hash="h", oidc=SUBJECT, os_user="lina", clickhouse_user="li_na"
    )
    grant = town.accounts.give(
        OPERATOR, "li_na", "inspector", "acme", teams=["售后一组", "sales"], ends_at=NOW + timedelta(days=3)
    )
    fresh = town.accounts.issue_token(OPERATOR, "li_na", "for a script", ["listen"], timedelta(days=30))
    found = town.accounts.find("li_na")
    assert found is not None
    assert found.grants == (grant,)
    assert found.tokens == (fresh.token,)
    assert (found.made_by, found.password_by, grant.granted_by, fresh.token.held_by) == ("os:root",) * 4
    assert (found.password_hash, found.oidc, found.os_user, found.clickhouse_user) == ("h", SUBJECT, "lina", "li_na")
    assert town.accounts.find_by_subject(SUBJECT) == found
    assert town.accounts.find_by_os_user("lina") == found
    assert town.accounts.list() == [found]
    by_token = town.accounts.find_token(fresh.token.token_id)
    assert by_token is not None
    assert (by_token.account, by_token.token) == (found, fresh.token)
    assert town.accounts.find("nobody") is None
    assert town.accounts.find_token("nothing") is None
    assert town.accounts.find_by_subject(OidcSubject(SUBJECT.issuer, "another")) is None
    assert fresh.text.split("_", 2)[2] not in str(town.accounts.list())


def test_every_change_is_an_event_and_an_entry_and_a_refusal_an_entry(town: Town) -> None:
    town.person("li_na", "approver")
    town.person("boss", "administrator")
    boss = town.accounts.find("boss")
    assert boss is not None
    by = actor_of(boss, ROLES, NOW)
    town.audit_log.entries.clear()
    before = len(told(town))
    grant = town.accounts.give(by, "li_na", "bi_analyst", "acme")
    town.accounts.revoke_grant(by, "li_na", grant.grant_id)
    town.accounts.set_password(by, "li_na", "hash")
    town.accounts.disable(by, "li_na")
    town.accounts.disable(by, "li_na")
    town.accounts.enable(by, "li_na")
    fresh = town.accounts.issue_token(Actor("li_na", ()), "li_na", "", ["approve"], timedelta(days=1))
    town.accounts.revoke_token(by, "li_na", fresh.token.token_id)
    kinds = ["role_granted", "role_revoked", "password_set", "account_disabled", "account_enabled"]
    kinds += ["token_made", "token_revoked"]
    events, entries = told(town)[before:], town.audit_log.entries
    assert [event.kind for event in events] == kinds
    assert [entry.action for entry in entries] == kinds
    assert {(event.tenant_id, event.account_id) for event in events} == {("acme", "li_na")}
    assert {(entry.object_kind, entry.object_id, entry.result) for entry in entries} == {("account", "li_na", "done")}
    assert [(entry.actor, entry.role) for entry in entries[:1]] == [("boss", "administrator")]
    assert entries[0].details == {"role": "bi_analyst", "grant_id": grant.grant_id}
    with pytest.raises(AccountRefusedError):
        town.accounts.give(by, "boss", "approver", "acme")
    with pytest.raises(AccountRefusedError):
        town.accounts.give(by, "li_na", "approver", "other")
    refused = [(each.result, each.refusal, each.tenant_id, each.object_id) for each in entries[-2:]]
    assert refused == [("refused", "own_account", "acme", "boss"), ("refused", "other_tenant", "other", "li_na")]
    assert len(told(town)) == before + len(kinds)


def test_what_cannot_be_entered_is_not_done(town: Town) -> None:
    town.person("li_na", "approver")
    before = (town.accounts.find("li_na"), len(told(town)))
    town.audit_log.down = True
    for change in (
        lambda: town.accounts.disable(OPERATOR, "li_na"),
        lambda: town.accounts.give(OPERATOR, "li_na", "bi_analyst", "acme"),
        lambda: town.accounts.add(OPERATOR, "zhang_wei", "acme"),
    ):
        with pytest.raises(RetryableError):
            change()
    assert (town.accounts.find("li_na"), len(told(town))) == before
    assert town.accounts.find("zhang_wei") is None


def test_a_subject_and_an_account_of_the_machine_are_linked_once(town: Town) -> None:
    town.accounts.add(OPERATOR, "li_na", "acme", oidc=SUBJECT, os_user="lina")
    with pytest.raises(AccountError, match="linked"):
        town.accounts.add(OPERATOR, "another", "acme", oidc=SUBJECT)
    with pytest.raises(AccountError, match="linked"):
        town.accounts.add(OPERATOR, "another", "acme", os_user="lina")


def test_changes_at_once_are_one_after_the_other(town: Town) -> None:
    town.person("li_na")

    def give(number: int) -> None:
        town.accounts.give(OPERATOR, "li_na", "agent", "acme", agent_id=str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(give, range(8)))
    found = town.accounts.find("li_na")
    assert found is not None
    assert {grant.agent_id for grant in found.grants} == {str(number) for number in range(8)}
    assert found.generation == 8


def test_the_use_of_a_token_is_noted_and_never_goes_back(town: Town) -> None:
    town.person("li_na", "approver")
    token_id = town.token("li_na", "approve").split("_")[1]
    assert town.accounts.tokens_used_at("li_na") == {token_id: None}
    for at in (NOW + timedelta(hours=1), NOW):
        town.accounts.note_use(token_id, at)
    assert town.accounts.tokens_used_at("li_na") == {token_id: NOW + timedelta(hours=1)}


def test_a_password_hashed_anew_is_the_same_account(town: Town) -> None:
    town.accounts.add(OPERATOR, "li_na", "acme", password_hash="old")
    town.accounts.hash_anew("li_na", "old", "new")
    town.accounts.hash_anew("li_na", "old", "a later one")
    found = town.accounts.find("li_na")
    assert found is not None
    assert (found.password_hash, found.generation) == ("new", 0)


def test_a_session_is_found_by_its_secret_until_it_is_closed(town: Town) -> None:
    account = town.person("li_na", "inspector", teams=["售后一组"])
    claimed = account.grants
    secret = town.sessions.open("li_na", account.generation, claimed)
    session = town.sessions.find(secret)
    assert session is not None
    assert (session.account_id, session.generation, session.times.holds(NOW)) == ("li_na", account.generation, True)
    assert [(each.role, each.tenant_id, each.teams) for each in session.claimed] == [
        ("inspector", "acme", frozenset({"售后一组"}))
    ]
    assert secret not in str(session)
    town.sessions.note_use(session.digest, NOW + timedelta(minutes=20))
    again = town.sessions.find(secret)
    assert again is not None
    assert again.times.holds(NOW + timedelta(minutes=45))
    town.sessions.close(session.digest)
    town.sessions.close(session.digest)
    assert town.sessions.find(secret) is None


def test_sessions_that_ended_are_removed_when_others_are_opened(town: Town, clock: HandClock) -> None:
    town.person("li_na")
    idle, used = town.sessions.open("li_na", 0), town.sessions.open("li_na", 0)
    clock.moment = NOW + IDLE + timedelta(seconds=1)
    found = town.sessions.find(used)
    assert found is not None
    town.sessions.note_use(found.digest, clock.moment)
    town.sessions.open("li_na", 0)
    assert town.sessions.find(idle) is None
    assert town.sessions.find(used) is not None
    clock.moment = NOW + LONGEST_SESSION + timedelta(seconds=1)
    town.sessions.note_use(found.digest, clock.moment)
    town.sessions.open("li_na", 0)
    assert town.sessions.find(used) is None


def test_who_comes_back_from_the_provider_does_so_once_in_time_and_in_the_same_browser(
    town: Town, clock: HandClock
) -> None:
    sign_in = OidcSignIn("nonce", "verifier")
    town.sessions.begin_oidc("state", "browser", sign_in)
    assert town.sessions.end_oidc("state", "another browser") is None
    assert town.sessions.end_oidc("another state", "browser") is None
    assert town.sessions.end_oidc("state", "browser") == sign_in
    assert town.sessions.end_oidc("state", "browser") is None
    town.sessions.begin_oidc("late", "browser", sign_in)
    clock.moment += timedelta(minutes=10, seconds=1)
    assert town.sessions.end_oidc("late", "browser") is None


def test_tries_at_once_count_as_many(town: Town) -> None:
    def once(_number: int) -> float:
        return town.sessions.begin_try("account li_na", FREE_OF_ACCOUNT)

    with ThreadPoolExecutor(4) as pool:
        waits = list(pool.map(once, range(12)))
    assert waits.count(0.0) == FREE_OF_ACCOUNT
    town.sessions.forgive("account li_na", wholly=True)
    assert once(0) == 0.0


def test_one_right_password_does_not_forgive_an_address_all_others(town: Town) -> None:
    begin: Callable[[], float] = lambda: town.sessions.begin_try("address 192.0.2.7", 3)  # noqa: E731
    assert [begin(), begin()] == [0.0, 0.0]
    town.sessions.forgive("address 192.0.2.7", wholly=False)
    assert [begin(), begin() > 0] == [0.0, False]
    assert begin() > 0
