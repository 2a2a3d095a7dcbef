"""A Kafka record as bytes: as it was read, and as it is to be written."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_KEY = re.compile(rb"(?P<tenant>[a-z][a-z0-9_-]{0,63})/(?P<call>[A-Za-z0-9][A-Za-z0-9._:@-]{0,127})")

Headers = tuple[tuple[str, bytes], ...]
"""What stands beside a message: name and value. Whoever may write to a topic may write anything there."""

EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class ConsumerRecord:
    """One record of a topic, undecoded."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    written_at: datetime = EPOCH
    """When it was written to the topic, as the broker says."""
    unreadable: str = ""
    """Why the batch that this stands for cannot be read, and which offsets it has; its own is the last of them."""
    headers: Headers = ()

    @property
    def position(self) -> str:
        """`topic/partition/offset`: for logs, and the name of a message that has no readable id."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def title(self) -> str:
        """Its position, and its call where its key tells it: whoever reads the log can look at it."""
        call = call_of_key(self.key)
        return self.position + (f" (call {'/'.join(call)})" if call else "")


@dataclass(frozen=True)
class ProducerRecord:
    """A message ready to be written: the topic's name, the Kafka key, the JSON, and what stands beside it."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()


def call_of_key(key: bytes | None) -> tuple[str, str] | None:
    """Tenant and call id out of a message key, where it holds them."""
    match = _KEY.fullmatch(key or b"")
    return (match["tenant"].decode(), match["call"].decode()) if match else None
