"""Group robots of Feishu."""

from collections.abc import Mapping
from typing import Any, ClassVar

from processors.alerts.rendering import Notice, lines_of, link_of, shorten, subject_of
from processors.alerts.signatures import feishu_signature
from schemas.config.subscription import HttpTarget, Secret
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings
from streams.adapters.channels.group_robot import GroupRobot

FEISHU_TEXT_BYTES = 18_000


class FeishuChannel(ChannelSettings, HttpTarget):
    """A group robot of Feishu; with `secret` its requests are signed (签名校验)."""

    kind: ClassVar[str] = "feishu"

    secret: Secret | None = None

    def open(self, means: ChannelMeans) -> "FeishuRobot":
        """See `ChannelSettings.open`."""
        return FeishuRobot(self, means)


class FeishuRobot(GroupRobot):
    """Rich text (`post`), which knows no mark-up to be injected; signed by `timestamp` and `sign` in the body."""

    code_field: ClassVar[str] = "code"
    too_many_s: ClassVar[Mapping[int, float]] = {
        9499: 60,  # too many requests
        11232: 60,  # frequency limited
        99991400: 60,  # the same, from its gateway
    }

    def __init__(self, channel: FeishuChannel, means: ChannelMeans) -> None:
        super().__init__(channel, means)
        self._secret = channel.secret

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
