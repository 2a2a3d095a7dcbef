"""`/v1/session` and `/v1/me`: people sign in and out, and are told who they are and what they may do."""

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from processors.custody.accounts import LONGEST_PASSWORD
from processors.custody.authorization import ACTIONS, Action
from processors.custody.sign_in import LONGEST_SESSION, SIGN_IN_WITHIN
from schemas.messages.belongs_there import with_what_belongs_there
from schemas.messages.message import problems_of
from streams.ports import Clock
from streams.serve.authentication import Authentication
from streams.serve.body import BodyLimits, chunks
from streams.serve.limits import TenantLimits
from streams.serve.people import COOKIE, SIGN_IN_COOKIE, OpenedSession, People, Person
from streams.serve.problems import RefusedError, described, unprocessable

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_LIMITS = BodyLimits(most_bytes=8 * 1024, min_bytes_per_s=1, window_s=10.0)

_UNAUTHORIZED = (HTTPStatus.UNAUTHORIZED, "nobody who is known, whatever is wrong")
_FORBIDDEN = (HTTPStatus.FORBIDDEN, "without a role, or sent by another site")
_NOT_FOUND = (HTTPStatus.NOT_FOUND, "nobody signs in that way here")
_INVALID = (HTTPStatus.UNPROCESSABLE_ENTITY, "a field is wrong; `errors` names it")
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, "too many tries, or too much at once: wait for Retry-After")
_UNAVAILABLE = (HTTPStatus.SERVICE_UNAVAILABLE, "something does not answer: send it again after Retry-After")
_BAD = (HTTPStatus.BAD_REQUEST, "not HTTP as it should be")
_REFUSALS = (_BAD, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _INVALID, _BUSY, _UNAVAILABLE)
_BODY_REFUSALS = (
    *_REFUSALS,
    (HTTPStatus.REQUEST_TIMEOUT, "the body comes too slowly"),
    (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large"),
    (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "no JSON, or compressed"),
)

ANYBODY: dict[str, Any] = {"security": [{"api_key": []}, {"session": []}]}


class SignIn(BaseModel):
    """Who signs in, and by which password."""

    model_config = ConfigDict(extra="forbid")

    account: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
    password: SecretStr = Field(min_length=1, max_length=LONGEST_PASSWORD)


class RoleAnswer(BaseModel):
    """A role, where it holds, and what it allows there."""

    role: str
    tenant_id: str = Field(description="* is all of them")
    teams: list[str] | None = Field(description="null: not narrowed to teams")
    agent_id: str | None = Field(description="null: not narrowed to an agent")
    actions: list[Action]
    fields: list[str] = Field(description="groups of columns of a call that are shown")
    ends_at: datetime | None = Field(description="null: without end, or by a claim of the OpenID provider")


class MeAnswer(BaseModel):
    """Who asks, and what they may do."""

    actor: str = Field(description="the account, or key: and the id of an API key")
    signed_in_by: str = Field(description="session, token, oidc or key")
    clickhouse_user: str | None = None
    roles: list[RoleAnswer]
    scopes: list[str] = Field(description="of an API key")
    csrf_token: str | None = Field(default=None, description="of a session: send it as X-CSRF-Token with each change")


def add_session_routes(
    app: "FastAPI",
    authentication: Authentication,
    people: People,
    limits: TenantLimits,
    clock: Clock,
) -> None:
    """The routes; what is wrong with a request is raised as `RefusedError`."""
    from fastapi import Request
    from fastapi.responses import JSONResponse, RedirectResponse, Response

    def opened(session: OpenedSession, status: HTTPStatus) -> Response:
        answer = JSONResponse(_me(session.person, clock.now()).model_dump(mode="json"), status_code=status)
        _set_cookie(answer, COOKIE, session.secret, round(LONGEST_SESSION.total_seconds()), "strict")
        return answer

    @app.get(
        "/v1/me",
        summary="Who asks, and what they may do",
        operation_id="get_me",
        responses=described(*_REFUSALS),
        openapi_extra=ANYBODY,
    )
    async def get_me(request: Request) -> MeAnswer:
        who = await authentication.who(request)
        if isinstance(who, Person):
            limits.request(f"account {who.account.account_id}")
            request.state.key_id = who.account.account_id
            return _me(who, clock.now())
        limits.request(who.tenant_id)
        request.state.key_id = who.key_id
        return MeAnswer(actor=f"key:{who.key_id}", signed_in_by="key", roles=[], scopes=sorted(who.scopes))

    @app.post(
        "/v1/session",
        status_code=HTTPStatus.CREATED,
        summary="Sign in by a password",
        description="The cookie that comes with the answer is the session. It ends after half an hour without use, and "
        "after twelve hours.",
        operation_id="sign_in",
        response_model=MeAnswer,
        responses=described(*_BODY_REFUSALS),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SignIn"}}},
            }
        },
    )
    async def sign_in(request: Request) -> Response:
        given = await _read_sign_in(request)
        session = await people.sign_in(given.account, given.password.get_secret_value(), request)
        return opened(session, HTTPStatus.CREATED)

    @app.delete(
        "/v1/session",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Sign out",
        operation_id="sign_out",
        responses=described(*_REFUSALS, (HTTPStatus.CONFLICT, "a key or a token is no session")),
        openapi_extra=ANYBODY,
    )
    async def sign_out(request: Request) -> Response:
        who = await authentication.who(request)
        if not isinstance(who, Person):
            raise RefusedError(HTTPStatus.CONFLICT, "no_session", "This is no session: revoke the key instead.")
        await people.sign_out(who, request)
        answer = Response(status_code=HTTPStatus.NO_CONTENT)
        _set_cookie(answer, COOKIE, "", 0, "strict")
        return answer

    @app.get(
        "/v1/session/oidc",
        status_code=HTTPStatus.SEE_OTHER,
        summary="Sign in at the OpenID provider",
        operation_id="begin_oidc",
        response_model=None,
        responses={303: {"description": "to the provider"}, **described(*_REFUSALS)},
    )
    async def begin_oidc() -> Response:
        url, browser = await people.begin_oidc()
        answer = RedirectResponse(url, HTTPStatus.SEE_OTHER)
        # Not strict: the browser must bring it along when the provider sends it back.
        _set_cookie(answer, SIGN_IN_COOKIE, browser, round(SIGN_IN_WITHIN.total_seconds()), "lax")
        return answer

    @app.get(
        "/v1/session/oidc/callback",
        summary="Back from the OpenID provider",
        operation_id="end_oidc",
        response_model=MeAnswer,
        responses=described(*_REFUSALS),
    )
    async def end_oidc(
        request: Request, state: CallbackText = "", code: CallbackText = "", iss: CallbackText | None = None
    ) -> Response:
        session = await people.end_oidc(code, state, request.cookies.get(SIGN_IN_COOKIE), request, issuer=iss)
        answer = opened(session, HTTPStatus.OK)
        _set_cookie(answer, SIGN_IN_COOKIE, "", 0, "lax")
        return answer


CallbackText = Annotated[str, StringConstraints(max_length=4096)]


def _me(person: Person, now: datetime) -> MeAnswer:
    ends = {
        (held.role, held.tenant_id, held.teams, held.agent_id): held.ends_at
        for held in person.account.grants
        if held.holds(now)
    }
    return MeAnswer(
        actor=person.actor.actor_id,
        signed_in_by=person.by,
        clickhouse_user=person.account.clickhouse_user,
        roles=[
            RoleAnswer(
                role=grant.role,
                tenant_id=grant.tenant_id,
                teams=None if grant.teams is None else sorted(grant.teams),
                agent_id=grant.agent_id,
                actions=[action for action in ACTIONS if action in grant.actions],
                fields=sorted(grant.fields),
                ends_at=ends.get((grant.role, grant.tenant_id, grant.teams, grant.agent_id)),
            )
            for grant in person.actor.grants
        ],
        scopes=[],
        csrf_token=person.csrf_token,
    )


async def _read_sign_in(request: "Request") -> SignIn:
    """Raises `RefusedError` (408, 413, 415, 422); what was sent is in none of them."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Send application/json.")
    raw = bytearray()
    async for data in chunks(request.receive, _LIMITS, None, _at_once):
        raw += data
    problems: list[str] = []
    try:
        return SignIn.model_validate_json(bytes(raw))
    except ValidationError as error:
        problems = [with_what_belongs_there(SignIn, problem) for problem in problems_of(SignIn, error)]
    raise unprocessable("invalid", "Send account and password.", problems)


async def _at_once(_size: int) -> None:
    return None


def _set_cookie(answer: "Response", name: str, value: str, lasts_s: int, same_site: Any) -> None:
    answer.set_cookie(name, value, max_age=lasts_s, path="/", secure=True, httponly=True, samesite=same_site)
