"""Ports on the loopback interface: a free one, and whether a Kafka broker answers on one."""

import socket

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import EmbeddedStackError

LOOPBACK = "127.0.0.1"
_ANSWER_WITHIN_S = 2.0


class PortTakenError(EmbeddedStackError):
    """Another program listens on the port."""


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, wanted_by: str) -> None:
    """Raises `PortTakenError` when the port cannot be listened on: else who answers there would pass for ours."""
    with socket.socket() as probe:
        # Connections of an earlier run that have not timed out yet do not take a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise PortTakenError(f"{wanted_by} cannot listen on {LOOPBACK}:{port}: another program does.") from None


def kafka_answers(port: int) -> bool:
    """Whether a Kafka broker on this port tells its topics. Blocks for at most two seconds; logs nothing."""
    try:
        # Cheaper than a client of librdkafka, and most often the answer: nobody listens yet.
        socket.create_connection((LOOPBACK, port), timeout=_ANSWER_WITHIN_S).close()
    except OSError:
        return False
    # log_level 0: librdkafka would tell each refused connection to the terminal.
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=_ANSWER_WITHIN_S).brokers)
    except KafkaException:
        return False
