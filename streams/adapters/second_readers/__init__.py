"""Second readers: services over HTTP that are given masked transcripts and answer with findings."""

import threading

from streams.adapters.second_readers.chat import ChatReader
from streams.adapters.second_readers.exchange import Exchange
from streams.adapters.second_readers.hook import HookReader
from streams.ports import Clock, SecondReader
from streams.settings import Settings


def second_reader(settings: Settings, stop: threading.Event, clock: Clock) -> SecondReader:
    """The one that the settings name; nothing is sent yet."""
    exchange = Exchange(settings, stop, clock)
    if settings.second_reader_kind == "hook":
        return HookReader(settings, exchange, clock)
    return ChatReader(settings, exchange)
