"""What custody has to do and has not done, counted in the register."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, func, select

from streams.adapters.register.register import Register
from streams.adapters.register.tables import (
    audit_waiting,
    erasures,
    exports,
    intakes,
    leftovers,
    purges,
    retentions,
    tombstones,
)


def custody_queues(register: Register, now: datetime) -> dict[str, int]:
    """Queue → entries in it; of a day that is due, by UTC. Raises as `Register.transaction`.

    `intakes_given_up`: uploads whose sender has gone, and `intakes_to_announce`, for `sweep`; `objects_to_remove`, for
    `sweep`; `audit_to_sign`, for `audit`; `retention_due`, `purges_under_way`, `erasures_open`, for `keep`;
    `calls_blocked`: asked to be erased, and held; `exports_to_approve`, for people.
    """
    queues: dict[str, tuple[Table, tuple[ColumnElement[bool], ...]]] = {
        "intakes_given_up": (intakes, (intakes.c.state == "reserved", intakes.c.lease_until < now)),
        "intakes_to_announce": (intakes, (intakes.c.state == "stored",)),
        "objects_to_remove": (leftovers, (leftovers.c.removed_at.is_(None),)),
        "audit_to_sign": (audit_waiting, ()),
        "retention_due": (retentions, (retentions.c.due_on <= now.date(),)),
        "purges_under_way": (purges, (purges.c.ended_at.is_(None), purges.c.receipted_at.is_(None))),
        "erasures_open": (erasures, (erasures.c.done_at.is_(None),)),
        "calls_blocked": (tombstones, (tombstones.c.state == "blocked",)),
        "exports_to_approve": (exports, (exports.c.state == "requested", exports.c.request_until > now)),
    }
    with register.reading("count what waits in it") as tx:
        return {
            name: int(tx.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())
            for name, (table, conditions) in queues.items()
        }
