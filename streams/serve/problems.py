"""How a request is refused: `application/problem+json` of RFC 9457, with names of fields and never a value."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from schemas.messages.belongs_there import problem_of_parameter

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response


MEDIA_TYPE = "application/problem+json"


class HttpProblem(BaseModel):
    """The body of every answer that refuses (RFC 9457)."""

    type: str = Field(default="about:blank", description="about:blank: `status` says it all")
    title: str = Field(description="name of the status")
    status: int
    detail: str = Field(description="what is wrong and what to do, for people")
    code: str = Field(description="what is wrong, for programs")
    request_id: str = Field(description="stands in the log, and in the header X-Request-Id")
    errors: tuple[str, ...] = Field(
        default=(),
        description="for each field that is wrong `field: kind of error`, and in brackets what belongs there",
    )


class RefusedError(Exception):
    """A request is refused. Nothing in it is a value that somebody sent. `entered`: the audit log has it already."""

    entered = False

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        errors: Sequence[str] = (),
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s
        self.headers = dict(headers or {})
        super().__init__(code)


class ClientGoneError(Exception):
    """Whoever sent the request has hung up; there is nobody to answer."""


def busy(code: str, detail: str, retry_after_s: float = 1) -> RefusedError:
    """Too much at once (429): the same request is right a little later."""
    return RefusedError(HTTPStatus.TOO_MANY_REQUESTS, code, detail, retry_after_s=retry_after_s)


def unavailable(detail: str, retry_after_s: float = 5) -> RefusedError:
    """Something that is needed does not answer (503): the same request is right later."""
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, retry_after_s=retry_after_s)


def unprocessable(code: str, detail: str, errors: Sequence[str] = ()) -> RefusedError:
    """What was sent is not what belongs there (422)."""
    return RefusedError(HTTPStatus.UNPROCESSABLE_ENTITY, code, detail, errors=errors)


def gone() -> RefusedError:
    """The call was destroyed, or erased (410): it is never taken in again."""
    return RefusedError(
        HTTPStatus.GONE,
        "gone",
        "The call was destroyed, or erased: nothing of it is taken in any more. Do not send it again.",
    )


NOT_FOUND = "There is no such call for this key."
"""The same words whether there is none, or one of another tenant."""


def not_found(detail: str = NOT_FOUND) -> RefusedError:
    """There is nothing, or nothing that may be known (404)."""
    return RefusedError(HTTPStatus.NOT_FOUND, "not_found", detail)


def entered(refused: RefusedError) -> RefusedError:
    """The same, which the audit log has already."""
    refused.entered = True
    return refused


def add_problem_handlers(
    app: "FastAPI", enter: "Callable[[Request, RefusedError], Awaitable[None]] | None" = None
) -> None:
    """Have every refusal answered by a problem, those of routes that are not there and of parameters too. `enter`
    hears of a refusal before it is answered.
    """
    from fastapi import Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        if enter is not None:
            await enter(request, error)
        return answer_of(error, request.state.request_id)

    @app.exception_handler(HTTPException)
    async def routed_nowhere(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        problem = RefusedError(status, status.phrase.lower().replace(" ", "_"), "There is nothing of that kind here.")
        problem.headers.update(error.headers or {})
        return answer_of(problem, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = [problem_of_parameter(each["loc"][1:], each["type"], each.get("ctx", {})) for each in error.errors()]
        return answer_of(unprocessable("invalid", "A parameter is wrong.", problems), request.state.request_id)


def answer_of(refused: RefusedError, request_id: str) -> "Response":
    """The answer that refuses."""
    from fastapi.responses import JSONResponse

    headers = dict(refused.headers)
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refused.retry_after_s)))
    problem = HttpProblem(
        title=refused.status.phrase,
        status=refused.status.value,
        detail=refused.detail,
        code=refused.code,
        request_id=request_id,
        errors=refused.errors,
    )
    return JSONResponse(
        problem.model_dump(mode="json"), status_code=refused.status, headers=headers, media_type=MEDIA_TYPE
    )


def described(*refusals: tuple[HTTPStatus, str]) -> dict[int | str, dict[str, Any]]:
    """The refusals of an operation as the OpenAPI document has them."""
    found: dict[int | str, dict[str, Any]] = {}
    for status, description in refusals:
        entry: dict[str, Any] = {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/HttpProblem"}}},
        }
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            entry["headers"] = {
                "Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}, "required": True}
            }
        found[status.value] = entry
    return found
