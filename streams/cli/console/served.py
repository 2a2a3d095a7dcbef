"""`serve` as commands reach it: where it listens, and which certificate it must have."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from schemas.errors import OperatorError, RetryableError
from streams.settings import Settings

if TYPE_CHECKING:
    import urllib3

PIECE_BYTES = 256 * 1024


class ServeRefusedError(OperatorError):
    """`serve` does not do it; the text is what it says."""

    exit_code = 1


def url_of_serve(settings: Settings) -> str:
    """Where it listens, by the settings."""
    https = settings.serve_self_signed or settings.serve_cert_file is not None
    host = f"[{settings.serve_host}]" if ":" in settings.serve_host else settings.serve_host
    return f"{'https' if https else 'http'}://{host}:{settings.serve_port}"


def http_of_serve(settings: Settings, now: datetime) -> "urllib3.PoolManager":
    """A client that trusts its certificate, where that is one of the settings."""
    import urllib3

    from streams.serve.certificate import certificate_files

    files = certificate_files(settings, now)
    if files is None:
        return urllib3.PoolManager(maxsize=16)
    return urllib3.PoolManager(maxsize=16, ca_certs=str(files.certificate))


class ServeApi:
    """Requests of a person. Every method raises `ServeRefusedError`, and `RetryableError` where nobody answers."""

    def __init__(self, settings: Settings, now: datetime, url: str = "") -> None:
        token = settings.person_token.get_secret_value()
        if not token:
            raise ServeRefusedError(
                "CALLSTREAM_PERSON_TOKEN is not set: it is the token of your account (docs/people.md)"
            )
        self._http = http_of_serve(settings, now)
        self._url = (url or url_of_serve(settings)).rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **fields: str) -> Any:
        """The JSON of an answer."""
        return self._asked("GET", path, fields=fields or None)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of an answer."""
        return self._asked("POST", path, body=json.dumps(body or {}), headers={"Content-Type": "application/json"})

    def stream(self, path: str, headers: dict[str, str]) -> Iterator[bytes]:
        """The body of an answer, as it comes; `RetryableError` where it breaks off."""
        from urllib3.exceptions import HTTPError

        answer = self._request("GET", path, headers=headers, preload_content=False)
        try:
            if answer.status >= 300:
                raise _refused(answer.status, answer.read())
            yield from answer.stream(PIECE_BYTES)
        except HTTPError:
            raise RetryableError("serve broke off: see its log, and begin again") from None
        finally:
            answer.release_conn()

    def _asked(self, method: str, path: str, **options: Any) -> Any:
        answer = self._request(method, path, **options)
        if answer.status >= 300:
            raise _refused(answer.status, answer.data)
        return json.loads(answer.data)

    def _request(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Any:
        from urllib3 import Retry, Timeout
        from urllib3.exceptions import HTTPError

        try:
            return self._http.request(
                method,
                self._url + path,
                headers=self._headers | (headers or {}),
                retries=Retry(0, redirect=False),
                timeout=Timeout(connect=10, read=120),
                **options,
            )
        except HTTPError:
            raise RetryableError(f"serve does not answer at {self._url}: is it running?") from None


def _refused(status: int, body: bytes) -> OperatorError | RetryableError:
    try:
        problem = json.loads(body)
        detail = str(problem["detail"])
        if errors := problem.get("errors"):
            detail += f" ({'; '.join(map(str, errors))})"
    except (ValueError, KeyError, TypeError):
        detail = f"serve answered {status}"
    return RetryableError(detail) if status in (429, 503) else ServeRefusedError(detail)
