"""People sign in, by a password or at a real OpenID provider, are told who they are, and are not who they are not."""

import time
from collections.abc import Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest

from schemas.config.claim_grants import ClaimGrants
from streams.adapters.oidc.provider import OidcClient, OidcProvider
from streams.ports import CallOwner, SystemClock
from streams.serve import people
from tests.support.cases import every_case
from tests.support.oidc_provider import AUDIENCE, CLIENT, REDIRECT, SECRET, TestProvider, running_provider
from tests.support.people import OPERATOR, PASSWORD
from tests.support.serving import NOW, Serving, serving

pytestmark = pytest.mark.loopback

MAPPING = ClaimGrants.model_validate(
    {
        "version": 1,
        "grants": [
            {"group": "cs-inspectors", "role": "inspector", "tenant": "acme", "teams_claim": "teams"},
            {"group": "cs-agents", "role": "agent", "tenant": "acme", "agent_claim": "employee.number"},
            {"group": "cs-agents", "role": "administrator", "tenant": "acme", "agent_claim": "employee.number"},
        ],
    }
)


@pytest.fixture(scope="module")
def remote() -> Iterator[TestProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, remote: TestProvider) -> Iterator[Serving]:
    remote.spoils, remote.claims = {}, {"sub": "248289761001", "groups": []}
    provider = OidcProvider(OidcClient(remote.issuer, CLIENT, SECRET, REDIRECT, AUDIENCE), SystemClock())
    with serving(tmp_path, provider=provider, claim_grants=MAPPING, serve_requests_per_s=0) as running:
        running.town.owners.of["acme", "c1"] = CallOwner("1001", "sales")
        running.town.owners.of["acme", "c2"] = CallOwner("1002", "care")
        running.outcomes.of["acme", "c1"] = running.outcomes.of["acme", "c2"] = ("analyzed", "")
        yield running


@pytest.fixture
def browser(server: Serving) -> Iterator[httpx.Client]:
    with server.client(None) as client:
        yield client


def sign_in(browser: httpx.Client, account: str = "li_na", password: str = PASSWORD) -> httpx.Response:
    return browser.post("/v1/session", json={"account": account, "password": password})


def cookie_of(answer: httpx.Response, name: str = people.COOKIE) -> dict[str, str]:
    """As a browser would send it back; httpx keeps a secure one from a server without TLS."""
    held = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        held.load(line)
    return {"Cookie": f"{name}={held[name].value}"}


def test_somebody_signs_in_is_told_who_they_are_and_signs_out(server: Serving, browser: httpx.Client) -> None:
    server.town.person("li_na", "inspector", teams=["sales"], password=PASSWORD)
    answer = sign_in(browser)
    assert answer.status_code == 201
    (held,) = answer.headers.get_list("set-cookie")
    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert part in held
    assert "Domain" not in held
    cookie = cookie_of(answer)
    me = browser.get("/v1/me", headers=cookie).json()
    assert me == answer.json()
    assert (me["actor"], me["signed_in_by"]) == ("li_na", "session")
    (role,) = me["roles"]
    assert role["actions"] == ["see_text", "listen", "review"]
    assert (role["tenant_id"], role["teams"]) == ("acme", ["sales"])
    assert role["fields"] == ["customer", "facts", "pseudonym", "suspicion"]
    assert browser.get("/v1/calls/c1", headers=cookie).status_code == 200
    assert browser.get("/v1/calls/c2", headers=cookie).status_code == 404
    csrf = {"X-CSRF-Token": me["csrf_token"]}
    assert browser.delete("/v1/session", headers=cookie).status_code == 403
    assert browser.delete("/v1/session", headers=cookie | {"X-CSRF-Token": "0" * 64}).status_code == 403
    elsewhere = {"Origin": "https://evil.example"}
    assert browser.delete("/v1/session", headers=cookie | csrf | elsewhere).status_code == 403
    assert browser.delete("/v1/session", headers=cookie | csrf | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert browser.get("/v1/me", headers=cookie).status_code == 200
    assert browser.delete("/v1/session", headers=cookie | csrf).status_code == 204
    assert browser.get("/v1/me", headers=cookie).status_code == 401, "at once, in the process that closed it"
    done = [(each.action, each.result, each.refusal) for each in server.town.audit_log.entries if each.client == "api"]
    assert ("signed_in", "allowed", None) in done
    assert ("signed_out", "done", None) in done
    assert ("signed_in", "refused", "csrf") in done


def test_whatever_is_wrong_the_answer_is_the_same(server: Serving, browser: httpx.Client) -> None:
    town = server.town
    town.person("li_na", "approver", password=PASSWORD)
    town.person("gone", "approver", password=PASSWORD)
    town.accounts.disable(OPERATOR, "gone")
    town.person("by_oidc", "approver")
    words = set()
    with every_case() as cases:
        for account, password in (
            ("li_na", "not my password"),
            ("nobody", PASSWORD),
            ("gone", PASSWORD),
            ("by_oidc", PASSWORD),
            ("LI_NA", PASSWORD),
        ):
            with cases.case(account):
                answer = sign_in(browser, account, password)
                assert answer.status_code == 401
                words.add(str({**answer.json(), "request_id": ""}))
    assert len(words) == 1
    refused = server.town.audit_log.of("signed_in", "refused")
    assert {each.actor for each in refused} == {"li_na", "unknown", "gone", "by_oidc"}
    assert "nobody" not in str(refused), "what somebody typed may be their password"


@pytest.mark.long
def test_it_takes_as_long_where_there_is_no_such_account(server: Serving, browser: httpx.Client) -> None:
    server.town.person("li_na", "approver", password=PASSWORD)
    took: dict[str, list[float]] = {"li_na": [], "nobody": []}
    for number in range(40):
        for name in took:
            server.clock.moment += timedelta(minutes=16)
            began_s = time.perf_counter()
            assert sign_in(browser, name, f"wrong password {number}").status_code == 401
            took[name].append(time.perf_counter() - began_s)
    known, unknown = median(took["li_na"]), median(took["nobody"])
    assert abs(known - unknown) < 0.2 * max(known, unknown)


def test_who_has_no_account_is_looked_at_by_the_same_work(server: Serving, browser: httpx.Client) -> None:
    """What a stopwatch would find, without one: the same hash is made, and the same is asked of the register."""
    looked: list[str | None] = []
    real = server.town.passwords.is_password

    def watched(kept: str | None, given: str) -> bool:
        looked.append(kept)
        return real(kept, given)

    server.town.passwords.is_password = watched  # type: ignore[method-assign] # to watch it
    server.town.person("li_na", "approver", password=PASSWORD)
    for name in ("li_na", "nobody"):
        assert sign_in(browser, name, "not my password").status_code == 401
    assert [each is None for each in looked] == [False, True]
    assert real(None, "") is False


def test_after_five_wrong_passwords_even_the_right_one_waits(server: Serving, browser: httpx.Client) -> None:
    server.town.person("li_na", "approver", password=PASSWORD)
    for name in ("li_na", "nobody"):
        assert [sign_in(browser, name, "wrong password").status_code for _ in range(6)] == [401] * 5 + [429]
        answer = sign_in(browser, name)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
    server.clock.moment += timedelta(seconds=2)
    assert sign_in(browser).status_code == 201
    assert [sign_in(browser, password="wrong password").status_code for _ in range(5)] == [401] * 5, "it is forgiven"
    assert any(each.refusal == "too_many_tries" for each in server.town.audit_log.of("signed_in", "refused"))


def test_what_is_sent_is_checked_and_never_repeated(server: Serving, browser: httpx.Client) -> None:
    secret = "Tr0ub4dor&3-is-mine"
    with every_case() as cases:
        for name, status, options in (
            ("no JSON", 415, {"content": b"x"}),
            ("broken", 422, {"content": secret.encode(), "headers": {"Content-Type": "application/json"}}),
            ("a list", 422, {"json": [secret]}),
            ("a field more", 422, {"json": {"account": "li_na", "password": PASSWORD, secret: secret}}),
            ("without an account", 422, {"json": {"password": secret}}),
            ("a very long password", 422, {"json": {"account": "li_na", "password": secret * 100}}),
            ("a very long body", 413, {"json": {"account": "li_na", "password": secret * 1000}}),
            ("from another site", 403, _from_elsewhere()),
        ):
            with cases.case(name):
                answer = browser.post("/v1/session", **options)
                assert answer.status_code == status
                assert secret not in answer.text
    assert secret not in str(server.town.audit_log.entries)


def _from_elsewhere() -> dict[str, Any]:
    return {"json": {"account": "li_na", "password": PASSWORD}, "headers": {"Origin": "https://evil.example"}}


def test_a_session_ends_by_itself(server: Serving, browser: httpx.Client) -> None:
    server.town.person("li_na", "approver", password=PASSWORD)
    cookie = cookie_of(sign_in(browser))
    server.clock.moment += timedelta(minutes=29)
    assert browser.get("/v1/me", headers=cookie).status_code == 200
    server.clock.moment += timedelta(minutes=31)
    assert browser.get("/v1/me", headers=cookie).status_code == 401


@pytest.mark.parametrize("change", ["disabled", "a role", "no role", "another password"])
def test_a_change_of_the_account_closes_its_sessions_and_holds_for_its_tokens(
    change: str, server: Serving, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "REMEMBERED_S", 0.0)
    town = server.town
    account = town.person("ana", "bi_analyst", password=PASSWORD)
    cookie = cookie_of(sign_in(browser, "ana"))
    token = {"Authorization": f"Bearer {town.token('ana', 'see_text')}"}
    assert browser.get("/v1/calls/c1", headers=cookie).status_code == 200
    assert browser.get("/v1/calls/c1", headers=token).status_code == 200
    grant_id = account.grants[0].grant_id
    after = {"disabled": 401, "a role": 200, "no role": 403, "another password": 200}[change]
    if change == "disabled":
        town.accounts.disable(OPERATOR, "ana")
    elif change == "a role":
        town.accounts.give(OPERATOR, "ana", "approver", "acme")
    elif change == "no role":
        town.accounts.revoke_grant(OPERATOR, "ana", grant_id)
    else:
        town.accounts.set_password(OPERATOR, "ana", town.passwords.hash("another password"))
    assert browser.get("/v1/calls/c1", headers=cookie).status_code == 401
    assert browser.get("/v1/calls/c1", headers=token).status_code == after


def test_ten_seconds_after_it_was_disabled_nobody_remembers_an_account(tmp_path: Path) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from starlette.requests import Request

    from streams.serve.people import People
    from streams.serve.problems import RefusedError

    with serving(tmp_path) as server, ThreadPoolExecutor(2) as pool:
        seconds = [0.0]
        known = People(server.town.served(), server.clock, pool, lambda: seconds[0])
        request = Request(
            {"type": "http", "method": "GET", "headers": [], "client": ("192.0.2.1", 1), "state": {"request_id": "r"}}
        )
        server.town.person("ana", "bi_analyst")
        token = server.town.token("ana", "see_text")

        async def try_it() -> None:
            assert (await known.by_token(token, request)).actor.grants
            server.town.accounts.disable(OPERATOR, "ana")
            seconds[0] = people.REMEMBERED_S
            with pytest.raises(RefusedError) as refused:
                await known.by_token(token, request)
            assert refused.value.status == 401
            known.close()

        assert people.REMEMBERED_S <= 10
        asyncio.run(try_it())


def test_tokens_that_do_not_hold_are_refused_and_entered(server: Serving, browser: httpx.Client) -> None:
    town = server.town
    town.person("ana", "bi_analyst")
    good = town.token("ana", "see_text", days=1)
    revoked = town.token("ana", "see_text")
    found = town.accounts.find_token(revoked.split("_")[1])
    assert found is not None
    town.accounts.revoke_token(OPERATOR, "ana", found.token.token_id)
    prefix, _, secret = good.partition(good.split("_")[1])
    with every_case() as cases:
        for name, text in (
            ("revoked", revoked),
            ("another secret", good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")),
            ("an id that is none", f"{prefix}{'a' * 12}{secret}"),
            ("cut", good[:-1]),
            ("a word", "cst_hello"),
            ("nothing", ""),
            ("a password", f"ana {PASSWORD}"),
        ):
            with cases.case(name):
                answer = browser.get("/v1/me", headers={"Authorization": f"Bearer {text}".strip()})
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
    assert browser.get("/v1/me", headers={"Authorization": f"Basic {good}"}).status_code == 401
    assert browser.get("/v1/me", headers={"Authorization": f"Bearer {good}"}).json()["signed_in_by"] == "token"
    server.clock.moment = NOW + timedelta(days=1)
    assert browser.get("/v1/me", headers={"Authorization": f"Bearer {good}"}).status_code == 401
    assert {each.refusal for each in town.audit_log.of("signed_in", "refused")} >= {"token", "no_token"}
    assert good not in str(town.audit_log.entries)


def test_who_is_not_let_in_cannot_fill_the_log(server: Serving, browser: httpx.Client) -> None:
    for _ in range(30):
        assert browser.get("/v1/me").status_code == 401
    assert len(server.town.audit_log.of("signed_in", "refused")) == 1


def test_a_key_is_told_what_it_is_and_a_token_is_no_key(server: Serving, browser: httpx.Client) -> None:
    with server.client(server.key(scopes=("calls:read",))) as system:
        me = system.get("/v1/me").json()
        assert (me["signed_in_by"], me["roles"], me["scopes"]) == ("key", [], ["calls:read"])
        assert system.delete("/v1/session").status_code == 409
        assert system.post("/v1/transcripts", json={}).status_code == 403
    assert any(each.refusal == "scope" for each in server.town.audit_log.entries)
    server.town.person("ana", "bi_analyst")
    token = {"Authorization": f"Bearer {server.town.token('ana', 'see_text')}"}
    assert browser.post("/v1/transcripts", json={}, headers=token).status_code == 403
    assert browser.delete("/v1/session", headers=token).status_code == 409


# At the OpenID provider


def through_provider(
    browser: httpx.Client, remote: TestProvider, spoil: dict[str, str] | None = None, cookie: bool = True
) -> httpx.Response:
    began = browser.get("/v1/session/oidc")
    assert began.status_code == 303
    (held,) = began.headers.get_list("set-cookie")
    assert all(part in held for part in ("HttpOnly", "Secure", "SameSite=lax", "Max-Age=600"))
    back = remote.authorize(began.headers["location"]) | (spoil or {})
    headers = cookie_of(began, people.SIGN_IN_COOKIE) if cookie else {}
    return browser.get("/v1/session/oidc/callback", params=back, headers=headers)


def test_somebody_signs_in_at_the_provider_and_has_the_roles_of_their_groups(
    server: Serving, browser: httpx.Client, remote: TestProvider
) -> None:
    remote.claims |= {"groups": ["cs-inspectors", "others"], "teams": ["sales"]}
    answer = through_provider(browser, remote)
    assert answer.status_code == 200
    cookie = cookie_of(answer)
    me = browser.get("/v1/me", headers=cookie).json()
    assert [(each["role"], each["teams"]) for each in me["roles"]] == [("inspector", ["sales"])]
    assert me["actor"].startswith("oidc-")
    assert "248289761001" not in str(me)
    assert browser.get("/v1/calls/c1", headers=cookie).status_code == 200
    assert browser.get("/v1/calls/c2", headers=cookie).status_code == 404
    again = through_provider(browser, remote).json()
    assert again["actor"] == me["actor"], "the same account every time"
    assert len(server.town.accounts.list()) == 1
    server.town.accounts.disable(OPERATOR, me["actor"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "REMEMBERED_S", 0.0)
        assert browser.get("/v1/me", headers=cookie).status_code == 401
        assert through_provider(browser, remote).status_code == 401, "whatever the provider says"


def test_an_account_that_was_made_before_keeps_its_own_roles(
    server: Serving, browser: httpx.Client, remote: TestProvider
) -> None:
    from processors.custody.accounts import OidcSubject

    subject = OidcSubject(remote.issuer, "248289761001")
    server.town.accounts.add(OPERATOR, "li_na", "acme", oidc=subject)
    server.town.accounts.give(OPERATOR, "li_na", "approver", "acme")
    remote.claims |= {"groups": ["cs-agents"], "employee": {"number": "1001"}}
    me = through_provider(browser, remote).json()
    assert me["actor"] == "li_na"
    roles = {(each["role"], each["agent_id"]) for each in me["roles"]}
    assert roles == {("approver", None), ("agent", "1001")}, "a mapping that does not fit its role grants nothing"


def test_somebody_without_a_role_is_not_let_in_and_has_no_account(
    server: Serving, browser: httpx.Client, remote: TestProvider
) -> None:
    with every_case() as cases:
        for name, claims in (
            ("no group", {"groups": []}),
            ("another group", {"groups": ["cs-everybody"]}),
            ("groups that are none", {"groups": {"cs-agents": True}}),
            ("an inspector of no team", {"groups": ["cs-inspectors"]}),
            ("an agent without number", {"groups": ["cs-agents"], "employee": {"number": 7}}),
        ):
            remote.claims = {"sub": "1", **claims}
            with cases.case(name):
                assert through_provider(browser, remote).status_code == 403
    assert server.town.accounts.list() == []
    assert server.town.audit_log.of("signed_in", "refused")[0].refusal == "no_role"


@pytest.mark.usefixtures("server")
def test_a_forged_way_back_is_refused(browser: httpx.Client, remote: TestProvider) -> None:
    remote.claims |= {"groups": ["cs-inspectors"], "teams": ["sales"]}
    with every_case() as cases:
        for name, spoil, cookie in (
            ("another state", {"state": "guessed"}, True),
            ("a code that was made up", {"code": "guessed"}, True),
            ("in another browser", {}, False),
            ("from another provider", {"iss": "https://evil.example"}, True),
            ("without anything", {"state": "", "code": ""}, True),
        ):
            with cases.case(name):
                answer = through_provider(browser, remote, spoil, cookie)
                assert answer.status_code == 401
                assert people.COOKIE + "=" not in str(answer.headers.get_list("set-cookie"))
        remote.spoils = {"nonce": "of another sign-in"}
        with cases.case("an id token of another sign-in"):
            assert through_provider(browser, remote).status_code == 401
        remote.spoils = {}
    began = browser.get("/v1/session/oidc")
    back, held = remote.authorize(began.headers["location"]), cookie_of(began, people.SIGN_IN_COOKIE)
    back["iss"] = remote.issuer
    assert browser.get("/v1/session/oidc/callback", params=back, headers=held).status_code == 200
    assert browser.get("/v1/session/oidc/callback", params=back, headers=held).status_code == 401, "it holds once"


def test_an_access_token_of_the_provider_opens_the_api(
    server: Serving, browser: httpx.Client, remote: TestProvider
) -> None:
    claims = {"groups": ["cs-inspectors"], "teams": ["sales"]}
    good = {"Authorization": f"Bearer {remote.access_token(**claims)}"}
    assert browser.get("/v1/me", headers=good).json()["signed_in_by"] == "oidc"
    assert browser.get("/v1/calls/c1", headers=good).status_code == 200
    assert browser.get("/v1/calls/c2", headers=good).status_code == 404
    with every_case() as cases:
        for name, token in (
            ("expired", remote.access_token(exp=time.time() - 90, **claims)),
            ("an id token", remote.signed(remote.usual(CLIENT, **claims))),
            ("of another provider", remote.access_token(iss="https://evil.example", **claims)),
            ("changed", good["Authorization"].split()[1][:-6] + "AAAAAA"),
            ("two dots", "a.b.c"),
        ):
            with cases.case(name):
                assert browser.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert {"expired", "wrong_audience", "wrong_issuer", "forged", "no_token"} <= {
        each.refusal for each in server.town.audit_log.of("signed_in", "refused")
    }


@pytest.mark.usefixtures("server")
def test_a_provider_that_is_away_is_said_to_be(browser: httpx.Client, remote: TestProvider) -> None:
    remote.down = True
    try:
        answer = browser.get("/v1/session/oidc")
        assert answer.status_code == 503
        assert "OpenID provider" in answer.json()["detail"]
    finally:
        remote.down = False


def test_without_a_provider_nobody_signs_in_there(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(None) as browser:
        assert browser.get("/v1/session/oidc").status_code == 404
        assert browser.get("/v1/session/oidc/callback").status_code == 404
        assert browser.get("/v1/me", headers={"Authorization": "Bearer a.b.c"}).status_code == 401
