"""What somebody tries who is, or was, somebody: each try has an end, and one entry by the name of who it was."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import func, select

from processors.custody.accounts import OidcSubject
from processors.custody.sign_in import FREE_OF_ADDRESS
from schemas.config.claim_grants import ClaimGrants
from streams.adapters.oidc.provider import SaidOfSomebody
from streams.adapters.passwords import Passwords
from streams.adapters.register.audit_log import EntryFilter, RegisterAuditLog
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tables import sign_in_tries
from streams.serve.people import ENTERED_EVERY_S, MOST_ADDRESSES, REMEMBERED_S, People
from streams.serve.problems import RefusedError
from tests.support.people import OPERATOR, Town
from tests.support.serving import HandClock, Serving, serving

pytestmark = pytest.mark.loopback

MAPPING = ClaimGrants.model_validate(
    {"version": 1, "grants": [{"group": "cs-approvers", "role": "approver", "tenant": "acme"}]}
)


class SaysSomebody:
    """A provider of which every token is somebody's who is in the group."""

    issuer = "https://id.example"

    def sign_in_url(self, state: str, nonce: str, verifier: str) -> str:
        raise NotImplementedError

    def redeem(self, code: str, verifier: str, nonce: str) -> SaidOfSomebody:
        raise NotImplementedError

    def read_access_token(self, token: str) -> SaidOfSomebody:
        return SaidOfSomebody(OidcSubject(self.issuer, token), {"groups": ["cs-approvers"]})


def request_of(address: str = "192.0.2.7") -> Any:
    """As much of a request as is looked at."""
    return SimpleNamespace(
        client=SimpleNamespace(host=address), state=SimpleNamespace(request_id="r1"), headers={}, method="GET"
    )


def test_who_asks_all_the_time_is_not_remembered_for_ever(tmp_path: Path) -> None:
    register = Register(sqlite_url(tmp_path / "register.db"))
    migrate_register(register)
    clock, now_s = HandClock(datetime(2026, 3, 1, tzinfo=UTC)), [0.0]
    town = Town(register, clock)

    async def try_it() -> str:
        with ThreadPoolExecutor(1) as pool:
            people = People(town.served(SaysSomebody(), claim_grants=MAPPING), clock, pool, lambda: now_s[0])
            person = await people.by_access_token("s1", request_of())
            town.accounts.disable(OPERATOR, person.account.account_id)
            now_s[0] = REMEMBERED_S / 2
            await people.by_access_token("s1", request_of())
            now_s[0] = REMEMBERED_S
            with pytest.raises(RefusedError) as refused:
                await people.by_access_token("s1", request_of())
            people.close()
        assert refused.value.status == 401
        return person.account.account_id

    account_id = asyncio.run(try_it())
    (entry,) = town.audit_log.of("signed_in", "refused")
    assert (entry.actor, entry.refusal) == (account_id, "disabled")
    register.close()


def nobody(server: Serving) -> list[str]:
    """Entries about whoever is not known."""
    log = RegisterAuditLog(server.register, server.clock)
    return [each.read.entry.action for each in log.find(EntryFilter(actor="unknown"), 10)]


def test_a_person_is_no_system_and_the_entry_names_them(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.town.person("ana", "bi_analyst")
        token = server.town.token("ana", "see_text")
        before = len(server.town.audit_log.entries)
        with server.client(token) as client:
            for way in ("/v1/recordings", "/v1/transcripts"):
                answer = client.post(way, json={})
                assert (answer.status_code, answer.json()["code"]) == (403, "scope")
        entries = server.town.audit_log.entries[before:]
        assert nobody(server) == []
    assert [(each.actor, each.action, each.result, each.refusal) for each in entries] == [
        ("ana", "asked", "refused", "scope")
    ] * 2


def test_a_call_that_there_is_not_is_one_entry_of_who_asked(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.town.person("ana", "bi_analyst")
        token = server.town.token("ana", "see_text")
        before = len(server.town.audit_log.entries)
        with server.client(token) as client:
            assert client.get("/v1/calls/c404").status_code == 404
        entries = server.town.audit_log.entries[before:]
        assert nobody(server) == []
    assert [(each.actor, each.action, each.result, each.refusal) for each in entries] == [
        ("ana", "viewed_call", "refused", "not_found")
    ]


def test_a_provider_that_is_slow_holds_up_nobody_else(tmp_path: Path) -> None:
    register = Register(sqlite_url(tmp_path / "register.db"))
    migrate_register(register)
    town = Town(register, HandClock(datetime(2026, 3, 1, tzinfo=UTC)))
    town.person("ana", "bi_analyst")
    token, answers = town.token("ana", "see_text"), Event()

    class Slow(SaysSomebody):
        def read_access_token(self, token: str) -> SaidOfSomebody:
            assert answers.wait(30)
            return super().read_access_token(token)

    async def try_it() -> None:
        with ThreadPoolExecutor(2) as pool:
            people = People(town.served(Slow(), claim_grants=MAPPING), town.clock, pool)
            waiting = [asyncio.ensure_future(people.by_access_token(f"s{number}", request_of())) for number in range(9)]
            await asyncio.sleep(0.1)
            try:
                person = await asyncio.wait_for(people.by_token(token, request_of()), 10)
            finally:
                answers.set()
            await asyncio.gather(*waiting)
            people.close()
        assert person.account.account_id == "ana"

    asyncio.run(try_it())
    register.close()


class NobodysPasswords(Passwords):
    """Of which none is right, at once."""

    def is_password(self, kept: str | None, given: str) -> bool:  # noqa: ARG002
        return False


def test_many_addresses_of_one_household_are_one(tmp_path: Path) -> None:
    register = Register(sqlite_url(tmp_path / "register.db"))
    migrate_register(register)
    town = Town(register, HandClock(datetime(2026, 3, 1, tzinfo=UTC)))
    town.passwords = NobodysPasswords()

    async def try_it() -> list[int]:
        with ThreadPoolExecutor(1) as pool:
            people = People(town.served(), town.clock, pool, lambda: 0.0)
            statuses = []
            for number in range(FREE_OF_ADDRESS + 5):
                with pytest.raises(RefusedError) as refused:
                    await people.sign_in(f"name-{number}", "a password", request_of(f"2001:db8::{number:x}"))
                statuses.append(int(refused.value.status))
            people.close()
        return statuses

    assert asyncio.run(try_it()) == [401] * FREE_OF_ADDRESS + [429] * 5
    assert [each.refusal for each in town.audit_log.entries] == ["password", "too_many_tries"]
    with register.reading("count") as tx:
        counted = tx.execute(select(func.count()).select_from(sign_in_tries)).scalar()
    assert counted == FREE_OF_ADDRESS + 1, "who has to wait makes no account wait, and fills nothing"
    register.close()


def test_nobody_from_everywhere_cannot_fill_the_log(tmp_path: Path) -> None:
    register = Register(sqlite_url(tmp_path / "register.db"))
    migrate_register(register)
    town, now_s = Town(register, HandClock(datetime(2026, 3, 1, tzinfo=UTC))), [0.0]

    async def try_it() -> None:
        with ThreadPoolExecutor(1) as pool:
            people = People(town.served(), town.clock, pool, lambda: now_s[0])
            for number in range(500):
                await people.refused(request_of(f"10.0.{number // 256}.{number % 256}"), "no_token")
            assert len(town.audit_log.entries) == MOST_ADDRESSES + 1
            now_s[0] = ENTERED_EVERY_S
            await people.refused(request_of("10.1.0.1"), "no_token")
            assert len(town.audit_log.entries) == MOST_ADDRESSES + 2, "and later they are told apart again"
            people.close()

    asyncio.run(try_it())
    register.close()


def test_a_name_that_no_database_takes_is_none(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(None) as client:
        answer = client.post("/v1/session", json={"account": "li_na\0", "password": "correct horse"})
    belongs = "text without line breaks and other control characters"
    assert (answer.status_code, answer.json()["errors"]) == (422, [f"account: string_pattern_mismatch ({belongs})"])
