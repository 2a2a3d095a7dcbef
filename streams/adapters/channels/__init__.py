"""The ways to reach a subscriber: one file for each kind, all behind `Channel`, each found by being there.

To add one, add a module with a subclass of `ChannelSettings`: its fields are what a subscription says under its `kind`,
`open` makes what sends.
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from schemas.config.subscription import Subscription, load_subscriptions
from schemas.found import find_kinds
from streams.adapters.channels.channel import Channel, ChannelMeans, ChannelSettings
from streams.adapters.channels.http_sender import HttpLimits, Resolve, allows_host
from streams.ports import Clock, PublisherPort


@cache
def channel_kinds() -> dict[str, type[ChannelSettings]]:
    """Every channel that there is, by the word that chooses it. Raises `FoundError`."""
    return find_kinds(__name__, ChannelSettings)  # type: ignore[type-abstract] # what is found can be opened


def read_subscriptions(file: Path | None, environ: Mapping[str, str] | None = None) -> tuple[Subscription, ...]:
    """The subscriptions of the file, each with one of the channels that there are. Raises `SubscriptionsError`."""
    return load_subscriptions(file, tuple(channel_kinds().values()), environ, allows_host)


def channel_of(
    subscription: Subscription,
    console_url: str,
    open_publisher: Callable[[], PublisherPort],
    clock: Clock,
    limits: HttpLimits | None = None,
    resolve_host: Resolve | None = None,
) -> Channel:
    """The channel that the subscription names. Raises `TypeError` for one that nobody can open."""
    chosen = subscription.channel.channel
    if not isinstance(chosen, ChannelSettings):
        raise TypeError(f"{type(chosen).__name__} is no channel that can be opened")
    return chosen.open(ChannelMeans(console_url, open_publisher, clock, limits, resolve_host))
