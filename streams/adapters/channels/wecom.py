"""Group robots of WeCom."""

from collections.abc import Mapping
from typing import Any, ClassVar

from processors.alerts.rendering import Notice, markdown_of
from schemas.config.subscription import HttpTarget
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings
from streams.adapters.channels.group_robot import GroupRobot

WECOM_MARKDOWN_BYTES = 4_096


class WeComChannel(ChannelSettings, HttpTarget):
    """A group robot of WeCom; its key is part of the URL."""

    kind: ClassVar[str] = "wecom"

    def open(self, means: ChannelMeans) -> "WeComRobot":
        """See `ChannelSettings.open`."""
        return WeComRobot(self, means)


class WeComRobot(GroupRobot):
    """Markdown; the key in the URL is all that proves who sends."""

    too_many_s: ClassVar[Mapping[int, float]] = {
        45009: 60,  # api freq out of limit
        45033: 60,  # too many calls at once
    }

    def _message(self, notice: Notice) -> dict[str, Any]:
        return {
            "msgtype": "markdown",
            "markdown": {"content": markdown_of(notice, self._console_url, WECOM_MARKDOWN_BYTES)},
        }
