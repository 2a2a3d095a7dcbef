"""What every way to reach a subscriber has in common: what it is given, what it does, how it is declared."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice
from schemas.config.subscription import ChannelModel
from streams.adapters.channels.http_sender import HttpLimits, Resolve
from streams.ports import Clock, PublisherPort


class Channel(Protocol):
    """Sends one notice at a time. For one thread."""

    per_minute: int | None
    """At most so many messages a minute are taken at the other side; None: no limit is known."""

    def send(self, notice: Notice) -> Answer:
        """Returns how it ended, whatever happens at the other side; raises for bugs only."""
        ...

    def close(self) -> None:
        """Close the connection, if one is open."""
        ...


@dataclass(frozen=True)
class ChannelMeans:
    """What a channel is opened with. `console_url` begins the links in an alert; empty: no links."""

    console_url: str
    open_publisher: Callable[[], PublisherPort]
    clock: Clock
    limits: HttpLimits | None = None
    resolve_host: Resolve | None = None


class ChannelSettings(ChannelModel, ABC):
    """What a subscription says of one way to reach a subscriber. The file that declares it is found by being there."""

    @abstractmethod
    def open(self, means: ChannelMeans) -> Channel:
        """The channel; nothing is sent yet."""
