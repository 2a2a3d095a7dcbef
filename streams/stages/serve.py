"""The stage `serve`: recordings that other systems upload over HTTP, and where their calls stand.

What it answers is in `streams/serve`; this file gives it store, register, Kafka and ClickHouse.
"""

from dataclasses import replace
from datetime import timedelta

from schemas.config.claim_grants import load_claim_grants
from schemas.config.roles import load_roles
from schemas.config.tenants import read_tenants
from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from streams.adapters.clickhouse.call_outcomes import ClickHouseOutcomes
from streams.adapters.clickhouse.call_owners import ClickHouseCallOwners
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.publisher_pool import PublisherPool
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.oidc.provider import provider_from
from streams.adapters.passwords import Passwords
from streams.adapters.register.accounts import RegisterAccounts
from streams.adapters.register.api_keys import RegisterApiKeys
from streams.adapters.register.audit_log import RegisterAuditLog
from streams.adapters.register.register import Register
from streams.adapters.register.sessions import RegisterSessions
from streams.adapters.register.tombstones import RegisterTombstones
from streams.ports import Clock
from streams.runtime.loop import Loop
from streams.runtime.tracing import begun
from streams.runtime.worker_context import WorkerContext
from streams.serve.application import build_app
from streams.serve.audit import ServedAudit
from streams.serve.people import PeopleServed
from streams.serve.ports import Served
from streams.serve.server import Server
from streams.settings import Settings
from streams.stages.exporting import exporting_from, exports_of
from streams.stages.take_in import take_in_from
from streams.wiring import audit_log_of, received_store_from, require_register, require_topics

LOOKED_AFTER_EVERY_S = 0.5

SHORTEST_LEASE_S = 60.0
"""So long an upload of a process that was killed keeps its call from being uploaded again. A sender may stand still for
`serve_slow_after_s` at most, and the store takes its time, too."""


def build(worker: WorkerContext) -> Loop:
    """Waits for Kafka, object store and register, then listens. Raises `AddressError` and `CertificateError`.

    ClickHouse is not waited for: without it, recordings are taken in all the same.
    """
    settings = worker.settings
    register, store = Register.of(settings), object_store_from(settings)
    worker.wait_for(lambda: require_topics(settings))
    worker.wait_for(store.check)
    worker.wait_for(lambda: require_register(register))
    decoder = DecoderProcess()
    publisher = PublisherPool(worker.publisher)
    take_in = replace(
        take_in_from(settings, publisher, decoder.probe, worker.clock),
        lease=timedelta(seconds=max(SHORTEST_LEASE_S, 2 * settings.serve_slow_after_s)),
    )
    received = received_store_from(settings, store)
    tenants = read_tenants(settings.tenants_file)
    outcomes = ClickHouseOutcomes(settings.clickhouse_url.get_secret_value())
    owners = ClickHouseCallOwners(settings.clickhouse_url.get_secret_value(), take_in.intakes.intake)
    exporting = exporting_from(
        settings,
        register,
        worker.clock,
        RegisterAuditLog(register, worker.clock),
        RegisterTombstones(register, worker.clock),
    )
    served = Served(
        settings=settings,
        clock=worker.clock,
        take_in=take_in,
        hand_over=lambda message: publisher.publish(
            [begun("capture", TRANSCRIPTS_RECEIVED.record(received.put(message)))]
        ),
        api_keys=RegisterApiKeys(register, worker.clock),
        intakes=take_in.intakes,
        outcomes=outcomes,
        customer_of=lambda tenant_id, number: settings.customer_keys.fields(
            tenant_id, number, keep_last_digits=tenants.keeps_last_digits(tenant_id)
        ),
        audit=ServedAudit(audit_log_of(register, worker.clock), worker.clock),
        people=people_from(settings, register, worker.clock),
        owners=owners,
        exports=exports_of(exporting),
        checks={
            "the object store": store.check,
            "the register": lambda: require_register(register),
            "Kafka": lambda: require_topics(settings),
        },
    )
    server = Server(build_app(served), settings, worker.clock.now(), answered=worker.metrics.answered)
    server.start()

    def look() -> None:
        server.look()
        served.audit.flush()

    def close() -> None:
        server.stop()
        served.audit.flush(everything=True)
        decoder.close()
        outcomes.close()
        owners.close()
        register.close()

    return worker.loop(look, every_s=LOOKED_AFTER_EVERY_S, close=close)


def people_from(settings: Settings, register: Register, clock: Clock) -> PeopleServed:
    """Accounts, sessions and passwords of this register, and the OpenID provider of the settings.

    Raises `OidcError`, `RolesFileError` and `ClaimGrantsError`.
    """
    roles, audit_log, passwords = load_roles().of_people, audit_log_of(register, clock), Passwords()
    passwords.prepare()
    return PeopleServed(
        accounts=RegisterAccounts(register, clock, roles, audit_log, client="api"),
        sessions=RegisterSessions(register, clock),
        passwords=passwords,
        roles=roles,
        audit_log=audit_log,
        provider=provider_from(settings, clock),
        claim_grants=load_claim_grants(settings.oidc_grants_file, roles),
    )
