"""Every action as every role through the dependency of the routes, on a real server; each refusal is an entry first."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from processors.custody.authorization import ACTIONS, Action
from streams.ports import CallOwner
from streams.serve import application
from streams.serve.permission import ENTERED_AS, Permitted, require, require_of_tenant
from tests.processors.custody.test_authorization import EXPECTED
from tests.support.cases import every_case
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.loopback

CALLS = {
    "own": ("acme", CallOwner("1001", "sales")),
    "team": ("acme", CallOwner("1002", "sales")),
    "apart": ("acme", CallOwner("1003", "care")),
    "nobodys": ("acme", CallOwner(None, None)),
    "foreign": ("other", CallOwner("1001", "sales")),
}
SEEN = {"tenant": {"own", "team", "apart", "nobodys"}, "team": {"own", "team"}, "agent": {"own"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """With a route for each action, as those of listening and exports are."""
    build = application.build_app

    def with_routes(served: Any) -> Any:
        app = build(served)
        for action in ACTIONS:
            add_route(app, action)
        return app

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.serving.build_app", with_routes)
        with serving(tmp_path_factory.mktemp("serve"), serve_requests_per_s=0) as running:
            for call_id, (tenant_id, owner) in CALLS.items():
                running.town.owners.of[tenant_id, call_id] = owner
            yield running


def add_route(app: FastAPI, action: Action) -> None:
    @app.post(f"/try/{action}/{{call_id}}")
    async def of_call(permitted: Annotated[Permitted, Depends(require(action))]) -> dict[str, Any]:
        return {
            "actor": permitted.actor.actor_id,
            "call": permitted.target.call_id,
            "tenant": permitted.target.tenant_id,
            "role": permitted.decision.role,
            "masking": permitted.decision.masking,
        }

    @app.post(f"/try/{action}")
    async def of_tenant(permitted: Annotated[Permitted, Depends(require_of_tenant(action))]) -> dict[str, Any]:
        return {"tenant": permitted.target.tenant_id}


def scope_of(rows: str) -> dict[str, Any]:
    scopes: dict[str, dict[str, Any]] = {"team": {"teams": ["sales"]}, "agent": {"agent_id": "1001"}}
    return scopes.get(rows, {})


def test_every_action_as_every_role_on_every_kind_of_call(server: Serving) -> None:
    town = server.town
    for role, (rows, _) in EXPECTED.items():
        town.person(f"the-{role.replace('_', '-')}", role, **scope_of(rows))
    with every_case() as cases:
        for role, (rows, granted) in EXPECTED.items():
            name = f"the-{role.replace('_', '-')}"
            with server.client(None, cookies=None) as browser:
                secret = town.session(name)
                headers = {"Cookie": f"__Host-callstream={secret}"}
                headers["X-CSRF-Token"] = browser.get("/v1/me", headers=headers).json()["csrf_token"]
                for action, call_id in product(ACTIONS, CALLS):
                    tenant = CALLS[call_id][0]
                    seen = tenant == "acme" and call_id in SEEN[rows]
                    expected = 404 if not seen else 200 if action in granted else 403
                    before = len(town.audit_log.entries)
                    answer = browser.post(f"/try/{action}/{call_id}?tenant={tenant}", headers=headers)
                    with cases.case(role, action, call_id):
                        assert answer.status_code == expected
                        made = town.audit_log.entries[before:]
                        if expected == 200:
                            assert answer.json()["role"] == role
                            assert made == [], "what is allowed is entered by who does it"
                        else:
                            (entry,) = made
                            assert (entry.result, entry.actor, entry.call_id) == ("refused", name, call_id)
                            assert (entry.tenant_id, entry.action) == (tenant, ENTERED_AS[action])
                            assert entry.personal == {"address": "127.0.0.1"}
                for action in ACTIONS:
                    allowed = rows == "tenant" and action in granted
                    refusal = 403 if rows == "tenant" else 404
                    answer = browser.post(f"/try/{action}", headers=headers)
                    with cases.case(role, action, "the tenant"):
                        assert answer.status_code == (200 if allowed else refusal)
        assert cases.tried == len(EXPECTED) * len(ACTIONS) * (len(CALLS) + 1)


@dataclass
class Asked:
    """What came of asking with a header."""

    status: int
    body: dict[str, Any]


def ask(server: Serving, authorization: str, path: str) -> Asked:
    with server.client(None) as client:
        answer = client.post(path, headers={"Authorization": authorization})
        return Asked(answer.status_code, answer.json())


def test_a_token_does_what_it_was_made_for_within_what_the_account_may(server: Serving) -> None:
    town = server.town
    town.person("pia", "privacy_officer")
    listens = f"Bearer {town.token('pia', 'listen')}"
    assert ask(server, listens, "/try/listen/own").body["masking"] == "masked", "listen_unmasked is another scope"
    assert ask(server, listens, "/try/see_text/own").status == 403
    assert ask(server, listens, "/try/listen/foreign?tenant=other").status == 404
    both = f"Bearer {town.token('pia', 'listen', 'listen_unmasked')}"
    assert ask(server, both, "/try/listen/own").body["masking"] == "unmasked"


def test_an_api_key_shows_and_changes_nothing(server: Serving) -> None:
    key = f"Bearer {server.key()}"
    for action in ACTIONS:
        assert ask(server, key, f"/try/{action}/own").status == 403
        assert ask(server, key, f"/try/{action}/foreign?tenant=other").status == 404


def test_a_call_that_does_not_exist_is_answered_as_one_of_somebody_else(server: Serving) -> None:
    server.town.person("ivo", "inspector", teams=["sales"])
    token = f"Bearer {server.town.token('ivo', 'listen')}"
    never, apart = ask(server, token, "/try/listen/never"), ask(server, token, "/try/listen/apart")
    foreign = ask(server, token, "/try/listen/foreign?tenant=other")
    assert never.status == apart.status == foreign.status == 404
    words = [{**each.body, "request_id": ""} for each in (never, apart, foreign)]
    assert words[0] == words[1] == words[2]


def test_whoever_has_roles_in_several_tenants_says_which(server: Serving) -> None:
    server.town.person("ana", "bi_analyst")
    server.town.person("ana", "bi_analyst", "other")
    token = f"Bearer {server.town.token('ana', 'see_text')}"
    assert ask(server, token, "/try/see_text/own").body["errors"] == ["tenant: missing"]
    assert ask(server, token, "/try/see_text/own?tenant=acme").status == 200
    assert ask(server, token, "/try/see_text/foreign?tenant=other").status == 200
    assert ask(server, token, "/try/see_text/own?tenant=third").status == 404
    assert ask(server, token, "/try/see_text/own?tenant=No!").status == 422


def test_without_a_role_nothing_is_told_and_it_is_entered(server: Serving) -> None:
    server.town.person("zoe", "bi_analyst")
    token = f"Bearer {server.town.token('zoe', 'see_text')}"
    zoe = server.town.person("zoe")
    from tests.support.people import OPERATOR

    server.town.accounts.revoke_grant(OPERATOR, "zoe", zoe.grants[0].grant_id)
    before = len(server.town.audit_log.entries)
    answer = ask(server, token, "/try/see_text/own")
    assert (answer.status, answer.body["code"]) == (403, "no_role")
    (entry,) = server.town.audit_log.entries[before:]
    assert (entry.actor, entry.result, entry.refusal) == ("zoe", "refused", "no_role")


def test_what_cannot_be_entered_is_not_even_refused_otherwise(server: Serving) -> None:
    server.town.person("ben", "bi_analyst")
    token = f"Bearer {server.town.token('ben', 'see_text')}"
    assert ask(server, token, "/try/listen/own").status == 403
    server.town.audit_log.down = True
    try:
        assert ask(server, token, "/try/listen/own").status == 503
    finally:
        server.town.audit_log.down = False


def test_where_a_call_stands_is_told_to_people_who_may_see_its_text_once_it_is_entered(server: Serving) -> None:
    server.town.person("ida", "inspector", teams=["sales"])
    server.outcomes.of["acme", "own"] = ("analyzed", "")
    server.outcomes.of["acme", "apart"] = ("analyzed", "")
    token = {"Authorization": f"Bearer {server.town.token('ida', 'see_text')}"}
    with server.client(None) as client:
        before = len(server.town.audit_log.entries)
        assert client.get("/v1/calls/own", headers=token).json()["outcome"] == "analyzed"
        assert client.get("/v1/calls/apart", headers=token).status_code == 404
        assert client.get("/v1/calls/never", headers=token).status_code == 404
        assert client.get("/v1/calls/foreign?tenant=other", headers=token).status_code == 404
        results = [(each.action, each.result, each.refusal) for each in server.town.audit_log.entries[before:]]
        assert results == [
            ("viewed_call", "allowed", None),
            ("viewed_text", "refused", "other_team"),
            ("viewed_text", "refused", "other_team"),
            ("viewed_text", "refused", "other_tenant"),
        ]
        server.town.audit_log.down = True
        try:
            assert client.get("/v1/calls/own", headers=token).status_code == 503
        finally:
            server.town.audit_log.down = False
    with server.client(server.key()) as key:
        assert key.get("/v1/calls/own").status_code == 200
        assert key.get("/v1/calls/own?tenant=acme").status_code == 200
        assert key.get("/v1/calls/foreign?tenant=other").status_code == 404
