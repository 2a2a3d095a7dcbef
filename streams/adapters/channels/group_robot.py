"""What group robots of chat programs have in common. They answer 200 even when they refuse; the truth is in the body.

Each takes twenty messages a minute (Feishu more); who sends more is shut out for a while, by DingTalk for ten minutes.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice
from schemas.config.subscription import HttpTarget
from streams.adapters.channels.channel import ChannelMeans
from streams.adapters.channels.http_sender import HttpSender, SendError
from streams.adapters.channels.webhook import result_of_status, retry_after_s

ROBOT_MESSAGES_PER_MINUTE = 20

_JSON = {"Content-Type": "application/json; charset=utf-8"}


class GroupRobot(ABC):
    """Posts JSON and reads the code in the answer."""

    per_minute: int | None = ROBOT_MESSAGES_PER_MINUTE
    code_field: ClassVar[str] = "errcode"
    """Where the answer says whether it was taken."""
    too_many_s: ClassVar[Mapping[int, float]] = {}
    """Code of an answer → seconds that it is of no use to send anything."""

    def __init__(self, target: HttpTarget, means: ChannelMeans) -> None:
        self._sender = HttpSender(target, means.limits, means.resolve_host)
        self._console_url = means.console_url
        self._clock = means.clock

    def send(self, notice: Notice) -> Answer:
        """Delivered if the code in the answer is 0. Any other code is retried: most are for a person to fix."""
        body = json.dumps(self._message(notice), ensure_ascii=False).encode()
        try:
            answer = self._sender.post(body, _JSON, self._query())
        except SendError as error:
            return Answer("later", error_class=error.kind)
        if not 200 <= answer.status < 300:
            verdict = result_of_status(answer.status)
            wait_s = retry_after_s(answer.retry_after, self._clock.now())
            return Answer(verdict, status_code=answer.status, retry_after_s=wait_s)
        code = _code(answer.body, self.code_field)
        if code is None:
            return Answer("later", status_code=answer.status, error_class="UnreadableAnswer")
        if code != 0:
            too_many_s = self.too_many_s.get(code)
            kind = "TooManyMessages" if too_many_s else "RobotRefused"
            return Answer("later", status_code=code, error_class=kind, retry_after_s=too_many_s)
        return Answer("accepted", status_code=answer.status)

    def close(self) -> None:
        self._sender.close()

    @abstractmethod
    def _message(self, notice: Notice) -> dict[str, Any]:
        """What is posted."""

    def _query(self) -> str:
        return ""


def _code(body: bytes, field: str) -> int | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    code = answer.get(field) if isinstance(answer, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**53 else None
