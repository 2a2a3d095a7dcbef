"""One question to a second reader over HTTP: what is tried again, what waits, what this call ends with."""

import random
import threading
import time
from collections.abc import Callable, Mapping

from pydantic import SecretStr

from processors.second_reading.question import NotReadError
from schemas.config.subscription import HttpTarget
from schemas.errors import RetryableError
from streams.adapters.channels.http_sender import (
    MAX_ANSWER_BYTES,
    HttpAnswer,
    HttpLimits,
    HttpSender,
    RefusedAddressError,
    SendError,
)
from streams.adapters.channels.webhook import retry_after_s
from streams.ports import Clock, ReaderBusyError
from streams.settings import Settings

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
CONNECT_S = 5.0

REFUSED, FAILED, TIMED_OUT = "reader_refused", "reader_failed", "reader_timed_out"
REDIRECTED, TOO_LARGE = "reader_redirected", "answer_too_large"

_NOT_THERE = frozenset(
    {"ConnectionRefusedError", "NameResolutionError", "NoAddress", "SSLCertVerificationError", "SSLError"}
    | {"ConnectTimeoutError", "NewConnectionError", "OSError", "gaierror"}
)
"""Whatever the call, nobody answers."""
_TIME_OUTS = frozenset({"TotalTimeout", "TimeoutError", "ReadTimeoutError"})
_OF_SETTINGS: Mapping[int, str] = {
    401: "it refuses the key, see CALLSTREAM_SECOND_READER_SECRET_KEY",
    402: "it wants to be paid",
    403: "it refuses the key, see CALLSTREAM_SECOND_READER_SECRET_KEY",
    404: "it knows no such path or model, see CALLSTREAM_SECOND_READER_URL and _MODEL",
    405: "it takes no POST there, see CALLSTREAM_SECOND_READER_URL",
}
"""Would be the answer to every call: better to wait than to pass over all of them."""
_BUSY = frozenset({408, 425, 429, 503})


class Exchange:
    """Posts to the endpoint of the settings. May be used by several threads at once."""

    def __init__(self, settings: Settings, stop: threading.Event, clock: Clock) -> None:
        """`settings.second_reader_url` is set."""
        self._target = HttpTarget(
            url=SecretStr(settings.second_reader_url or ""), allow_private=True, ca_file=settings.second_reader_ca_file
        )
        timeout_s = settings.second_reader_timeout_s
        self._limits = HttpLimits(connect_s=min(CONNECT_S, timeout_s / 2), read_s=timeout_s, total_s=timeout_s)
        self._attempts = settings.second_reader_attempts
        self._stop = stop
        self._clock = clock

    def ask(self, body: bytes, headers: Callable[[], Mapping[str, str]]) -> bytes:
        """The body of the answer. `headers` are made for each attempt.

        Raises `NotReadError` for what only this call is to blame for, `ReaderBusyError` and `RetryableError` for what
        others would meet as well, or when asked to stop.
        """
        sender = HttpSender(self._target, self._limits)
        try:
            for attempt in range(1, self._attempts + 1):
                is_last = attempt == self._attempts
                began_s = time.monotonic()
                try:
                    answer = sender.post(body, headers())
                except RefusedAddressError:
                    raise RetryableError(
                        "the second reader's name leads to an address that nothing is sent to"
                    ) from None
                except SendError as error:
                    self._look_at(error.kind, time.monotonic() - began_s, is_last=is_last)
                    self._pause(attempt, None)
                    continue
                if answer.status == 200:
                    return _whole(answer)
                self._look_at_status(answer.status, is_last=is_last)
                self._pause(attempt, answer.retry_after)
        finally:
            sender.close()
        raise NotReadError(FAILED)

    def _look_at(self, kind: str, after_s: float, *, is_last: bool) -> None:
        """Returns where it may be tried again."""
        # Of the two time-outs, that of a connection is the shorter one.
        if kind in _NOT_THERE or (kind in _TIME_OUTS and after_s < self._limits.read_s * 0.9):
            raise RetryableError(f"the second reader does not answer: {kind}")
        if is_last:
            raise NotReadError(TIMED_OUT if kind in _TIME_OUTS else FAILED)

    def _look_at_status(self, status: int, *, is_last: bool) -> None:
        if status in _OF_SETTINGS:
            raise RetryableError(f"the second reader answers {status}: {_OF_SETTINGS[status]}")
        if status in _BUSY:
            if is_last:
                raise ReaderBusyError(f"the second reader is busy: it answers {status}")
            return
        if 300 <= status < 400:
            raise NotReadError(REDIRECTED)
        if status < 500:
            raise NotReadError(REFUSED)
        if is_last:
            raise NotReadError(FAILED)

    def _pause(self, attempt: int, retry_after: str | None) -> None:
        asked_s = retry_after_s(retry_after, self._clock.now())
        pause_s = FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
        if self._stop.wait(min(max(pause_s, asked_s or 0), LONGEST_PAUSE_S)):
            raise RetryableError("asking the second reader again is broken off")


def _whole(answer: HttpAnswer) -> bytes:
    if len(answer.body) >= MAX_ANSWER_BYTES:
        raise NotReadError(TOO_LARGE)
    return answer.body
