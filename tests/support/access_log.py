"""The log of access: what commands have entered in the register, and the relay will publish."""

from pathlib import Path

from sqlalchemy import select

from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.topics import RECORDINGS_ACCESSED
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tables import outbox

NO_REGISTER = "postgresql+pg8000://nobody:nothing@127.0.0.1:1/none"
"""A register that does not answer."""


def register_of(data_dir: Path) -> Register:
    """The register of one machine, with its tables."""
    register = Register(sqlite_url(data_dir / "register" / "register.db"))
    migrate_register(register)
    return register


def accesses(register: Register) -> list[RecordingAccessed]:
    """The log of access, in the order in which it was written; of what the relay still keeps."""
    o = outbox.c
    with register.reading() as tx:
        found = tx.execute(select(o.message).where(o.topic == RECORDINGS_ACCESSED.name).order_by(o.sequence)).scalars()
        return [RECORDINGS_ACCESSED.decode(bytes(message)) for message in found]
