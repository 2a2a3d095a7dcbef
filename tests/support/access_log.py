"""The log of access as it lies in Kafka."""

from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.topics import RECORDINGS_ACCESSED
from streams.adapters.kafka.client import TopicReader
from streams.settings import Settings


def accesses(broker: Settings) -> list[RecordingAccessed]:
    """The log of access."""
    reader = TopicReader(broker, RECORDINGS_ACCESSED.name)
    found = []
    try:
        while not reader.is_at_end:
            found += [RECORDINGS_ACCESSED.decode(record.value) for record in reader.read(1_000, 1)]
    finally:
        reader.close()
    return found
