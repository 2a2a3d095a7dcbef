"""The log of access (R36): whatever shows recordings to people writes a line here before it does.

    log_access(publisher, RecordingAccessed.of(action="searched", filters=("phone",), accessed_at=clock.now(), …))

`store` brings the lines to the view `access_log`. A search over several tenants is one line for each of them, so that
the auditor of each sees it, and one with `ALL_TENANTS` where no tenant was asked for.
"""

from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.topics import RECORDINGS_ACCESSED
from streams.ports import PublisherPort


def log_access(publisher: PublisherPort, *lines: RecordingAccessed) -> None:
    """Returns when the lines are durable in Kafka.

    Raises `RetryableError` when Kafka does not answer. Then nothing may be shown: what cannot be logged is not
    accessed.
    """
    publisher.publish(
        [RECORDINGS_ACCESSED.record(line) for line in lines],
    )
