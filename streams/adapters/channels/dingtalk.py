"""Group robots of DingTalk."""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from processors.alerts.rendering import Notice, markdown_of, subject_of
from processors.alerts.signatures import dingtalk_signature
from schemas.config.subscription import HttpTarget, Secret
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings
from streams.adapters.channels.group_robot import GroupRobot

DINGTALK_MARKDOWN_BYTES = 18_000


class DingTalkChannel(ChannelSettings, HttpTarget):
    """A group robot of DingTalk; with `secret` its requests are signed (加签)."""

    kind: ClassVar[str] = "dingtalk"

    secret: Secret | None = None

    def open(self, means: ChannelMeans) -> "DingTalkRobot":
        """See `ChannelSettings.open`."""
        return DingTalkRobot(self, means)


class DingTalkRobot(GroupRobot):
    """Markdown; signed by `timestamp` and `sign` in the URL."""

    too_many_s: ClassVar[Mapping[int, float]] = {
        130101: 600,  # more than 20 a minute, shut out for ten
        410100: 600,  # too fast
        90030: 600,  # webhook over limit
    }

    def __init__(self, channel: DingTalkChannel, means: ChannelMeans) -> None:
        super().__init__(channel, means)
        self._secret = channel.secret

    def _message(self, notice: Notice) -> dict[str, Any]:
        text = markdown_of(notice, self._console_url, DINGTALK_MARKDOWN_BYTES)
        return {"msgtype": "markdown", "markdown": {"title": subject_of(notice), "text": text}}

    def _query(self) -> str:
        if self._secret is None:
            return ""
        timestamp_ms = int(self._clock.now().timestamp() * 1000)
        sign = dingtalk_signature(self._secret.get_secret_value(), timestamp_ms)
        return urlencode({"timestamp": timestamp_ms, "sign": sign}, quote_via=quote, safe="")
