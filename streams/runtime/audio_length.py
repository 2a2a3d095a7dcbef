"""How long the recording of an event is, by what the event says."""

from schemas.errors import InvalidMessageError
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ENDED


def audio_s_of(record: ConsumerRecord) -> float:
    """Seconds from the start to the end of the call; 0 for an event that cannot be read."""
    try:
        call = CALLS_ENDED.read(record)
    except InvalidMessageError:
        return 0
    return (call.ended_at - call.started_at).total_seconds()
