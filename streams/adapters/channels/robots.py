"""Group robots of DingTalk, WeCom and Feishu. They answer 200 even when they refuse; the truth is in the body.

Each takes twenty messages a minute (Feishu more); who sends more is shut out for a while, by DingTalk for ten minutes.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice, lines_of, link_of, markdown_of, shorten, subject_of
from processors.alerts.signatures import dingtalk_signature, feishu_signature
from schemas.config.subscription import DingTalkChannel, FeishuChannel, WeComChannel
from streams.adapters.channels.http_sender import HttpLimits, HttpSender, Resolve, SendError
from streams.adapters.channels.webhook import result_of_status, retry_after_s
from streams.ports import Clock

ROBOT_MESSAGES_PER_MINUTE = 20

WECOM_MARKDOWN_BYTES = 4_096
DINGTALK_MARKDOWN_BYTES = 18_000
FEISHU_TEXT_BYTES = 18_000

_JSON = {"Content-Type": "application/json; charset=utf-8"}

_TOO_MANY_S: Mapping[int, float] = {
    130101: 600,  # DingTalk: more than 20 a minute, shut out for ten
    410100: 600,  # DingTalk: too fast
    90030: 600,  # DingTalk: webhook over limit
    45009: 60,  # WeCom: api freq out of limit
    45033: 60,  # WeCom: too many calls at once
    9499: 60,  # Feishu: too many requests
    11232: 60,  # Feishu: frequency limited
    99991400: 60,  # Feishu: the same, from its gateway
}
"""Code of an answer → seconds that it is of no use to send anything."""


class _Robot(ABC):
    """What the three have in common: post JSON, read the code in the answer."""

    per_minute: int | None = ROBOT_MESSAGES_PER_MINUTE
    _code_field = "errcode"

    def __init__(
        self,
        channel: DingTalkChannel | WeComChannel | FeishuChannel,
        console_url: str,
        clock: Clock,
        limits: HttpLimits | None = None,
        resolve_host: Resolve | None = None,
    ) -> None:
        self._sender = HttpSender(channel, limits, resolve_host)
        self._console_url = console_url
        self._clock = clock
        self._secret = None if isinstance(channel, WeComChannel) else channel.secret

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
        code = _code(answer.body, self._code_field)
        if code is None:
            return Answer("later", status_code=answer.status, error_class="UnreadableAnswer")
        if code != 0:
            too_many_s = _TOO_MANY_S.get(code)
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


class DingTalkRobot(_Robot):
    """Markdown; signed by `timestamp` and `sign` in the URL."""

    def _message(self, notice: Notice) -> dict[str, Any]:
        text = markdown_of(notice, self._console_url, DINGTALK_MARKDOWN_BYTES)
        return {"msgtype": "markdown", "markdown": {"title": subject_of(notice), "text": text}}

    def _query(self) -> str:
        if self._secret is None:
            return ""
        timestamp_ms = int(self._clock.now().timestamp() * 1000)
        sign = dingtalk_signature(self._secret.get_secret_value(), timestamp_ms)
        return urlencode({"timestamp": timestamp_ms, "sign": sign}, quote_via=quote, safe="")


class WeComRobot(_Robot):
    """Markdown; the key in the URL is all that proves who sends."""

    def _message(self, notice: Notice) -> dict[str, Any]:
        return {
            "msgtype": "markdown",
            "markdown": {"content": markdown_of(notice, self._console_url, WECOM_MARKDOWN_BYTES)},
        }


class FeishuRobot(_Robot):
    """Rich text (`post`), which knows no mark-up to be injected; signed by `timestamp` and `sign` in the body."""

    _code_field = "code"

    def _message(self, notice: Notice) -> dict[str, Any]:
        text = shorten("\n".join(f"{name}：{text}" for name, text in lines_of(notice)), FEISHU_TEXT_BYTES)
        content: list[list[dict[str, str]]] = [[{"tag": "text", "text": line}] for line in text.split("\n")]
        link = link_of(notice.first, self._console_url)
        if link:
            content.append([{"tag": "a", "text": "打开录音", "href": link}])
        message: dict[str, Any] = {
            "msg_type": "post",
            "content": {"post": {"zh_cn": {"title": subject_of(notice), "content": content}}},
        }
        if self._secret is not None:
            timestamp_s = int(self._clock.now().timestamp())
            message["timestamp"] = str(timestamp_s)
            message["sign"] = feishu_signature(self._secret.get_secret_value(), timestamp_s)
        return message
