"""`callstream publish`: recordings of one's own, and transcripts, into the pipeline."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.config.tenants import read_tenants
from schemas.errors import InvalidCallError
from schemas.messages.topics import TRANSCRIPTS_RECEIVED, Lane
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.cli.console.phone_number import read_phone_number
from streams.settings import Settings

if TYPE_CHECKING:
    from schemas.messages.call_ended import CallFacts
    from streams.adapters.kafka.by_hand import PublisherByHand

FactsOfFile = Callable[[Path], dict[str, Any]]
"""Of a file, what is known of its call beside it."""


def publish(
    files: Annotated[list[Path] | None, typer.Argument(help="Recordings: WAV, MP3, FLAC, Opus, µ-law, A-law …")] = None,
    transcript: Annotated[
        list[Path] | None,
        typer.Option(
            help="A transcript that was made elsewhere, JSON (docs/transcripts.md); can be repeated. No recording of "
            "the call is needed."
        ),
    ] = None,
    meta: Annotated[
        Path | None,
        typer.Option(help="JSON file with fields of CallEnded, or a folder with a name.json for each name.wav."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant id.")] = None,
    call_id: Annotated[
        str | None, typer.Option(help="Call id; by default derived from the recording and the end of the call.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Agent id.")] = None,
    team: Annotated[str | None, typer.Option(help="The agent's team.")] = None,
    customer: Annotated[
        str | None,
        typer.Option(
            help="- to read the customer's phone number from standard input; only its keyed hash is kept. A number "
            "written on the command line is visible to every user of the machine."
        ),
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Queue.")] = None,
    inquiry_type: Annotated[str | None, typer.Option(help="Inquiry type.")] = None,
    industry: Annotated[
        str | None, typer.Option(help="Industry: general, finance, ecommerce, education, medical …")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="Direction: inbound or outbound.")] = None,
    language: Annotated[str | None, typer.Option(help="Expected language, such as zh.")] = None,
    started_at: Annotated[
        str | None, typer.Option(help="Start of the call with its time zone, such as 2026-03-02T10:15:00+08:00.")
    ] = None,
    ended_at: Annotated[
        str | None, typer.Option(help="End of the call; by default when the file was last modified.")
    ] = None,
    channel_roles: Annotated[
        str | None,
        typer.Option(help="Role of each channel, such as agent,customer; by default what is said tells who is who."),
    ] = None,
    lane: Annotated[
        Lane,
        typer.Option(
            help="live; backfill for recordings of the past, for which no live call is to wait; redo to have calls "
            "heard once more that were taken in before: of use where another recogniser hears now."
        ),
    ] = "live",
    as_json: JsonOption = False,
) -> None:
    """Send recordings of your own through the pipeline.

    Seals and stores each recording, and announces it as a call that has ended; the same recording once more is the
    same call, and another one under its id is refused. All metadata is optional. A transcript that was
    made elsewhere is sealed in the object store until the stage `receive` has masked it.
    """
    from streams.adapters.kafka.by_hand import PublisherByHand
    from streams.stages.capture import read_facts

    recordings, transcripts = files or [], transcript or []
    if not recordings and not transcripts:
        raise typer.BadParameter("give recordings, or transcripts with --transcript", param_hint="FILES")
    if lane != "live" and transcripts:
        raise typer.BadParameter("lanes are for recordings: nobody has to hear a transcript", param_hint="--lane")
    if call_id and len(recordings) + len(transcripts) > 1:
        raise typer.BadParameter("one call id cannot name several recordings", param_hint="--call-id")
    if channel_roles and transcripts:
        raise typer.BadParameter("a transcript has roles, not channels", param_hint="--channel-roles")
    settings = command_settings()
    given: dict[str, Any] = {
        "tenant_id": tenant,
        "call_id": call_id,
        "queue": queue,
        "inquiry_type": inquiry_type,
        "industry": industry,
        "direction": direction,
        "language_hint": language,
        "started_at": started_at,
        "ended_at": ended_at,
    }
    options = {name: value for name, value in given.items() if value is not None}
    number = None if customer is None else read_phone_number("--customer", customer)
    tenants = read_tenants(settings.tenants_file)

    def facts_of(file: Path) -> dict[str, Any]:
        """What metadata and options say of the call."""
        facts = (read_facts(_meta_of(file, meta)) if meta else {}) | options
        if agent or team:
            facts["agent"] = _part_of(facts, "agent") | {k: v for k, v in (("id", agent), ("team", team)) if v}
            facts["agent"].setdefault("id", "unknown")
        tenant_id = str(facts.get("tenant_id", "default"))
        keeps = tenants.keeps_last_digits(tenant_id)
        if "customer" in facts and not keeps:
            facts["customer"] = {k: v for k, v in _part_of(facts, "customer").items() if k != "number_last4"}
        if number is not None:
            of_number = settings.customer_keys.fields(tenant_id, number, keep_last_digits=keeps)
            facts["customer"] = _part_of(facts, "customer") | of_number
        if channel_roles:
            facts["audio"] = _part_of(facts, "audio") | {"channel_roles": channel_roles.split(",")}
        return facts

    publisher = PublisherByHand(settings)
    published: list[dict[str, str]] = []
    for file, call in chain(
        _publish_recordings(recordings, facts_of, settings, publisher, lane),
        _publish_transcripts(transcripts, facts_of, settings, publisher),
    ):
        published.append({"file": str(file), "tenant_id": call.tenant_id, "call_id": call.call_id})
        if not as_json:
            typer.echo(f"{file}: call {call.tenant_id}/{call.call_id}")
    if as_json:
        print_json(published)


def _publish_recordings(
    files: Sequence[Path], facts_of: FactsOfFile, settings: Settings, publisher: "PublisherByHand", lane: Lane
) -> "Iterator[tuple[Path, CallFacts]]":
    """Each call, once it is durable.

    Raises `InvalidCallError`, `IntakeConflictError`, `RetryableError` and `StoreAccessError`.
    """
    from streams.adapters.decoder.process import DecoderProcess
    from streams.stages.capture import extension_of, facts_of_recording
    from streams.stages.take_in import take_in_from

    if not files:
        return
    with DecoderProcess() as decoder:
        take_in = take_in_from(settings, publisher, decoder.probe, lane=lane)
        for file in files:
            try:
                facts = facts_of_recording(file, facts_of(file), settings.max_recording_bytes, decoder.probe)
                pieces = _once_a_broker_answers(publisher, file)
                taken = take_in.take_in(facts, pieces, extension=extension_of(file), source="publish")
            except InvalidCallError as error:
                raise InvalidCallError(f"{file.name}: {error}") from None
            yield file, taken.call


def _once_a_broker_answers(publisher: "PublisherByHand", file: Path) -> "Iterator[bytes]":
    """The bytes of a file whose facts are right; none is stored where nobody could be told of it."""
    from streams.stages.capture import pieces_of

    publisher.require_answer()
    yield from pieces_of(file)


def _publish_transcripts(
    files: Sequence[Path], facts_of: FactsOfFile, settings: Settings, publisher: "PublisherByHand"
) -> "Iterator[tuple[Path, CallFacts]]":
    """Each call, once its transcript is durable: sealed in the store, and announced in its topic.

    Raises `InvalidCallError`, `RetryableError` and `StoreAccessError`.

    All are read first: if one is wrong, it is named and none is published.
    """
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.runtime.tracing import begun
    from streams.stages.capture import transcript_of_file
    from streams.wiring import received_store_from

    if not files:
        return
    received = [(file, transcript_of_file(file, facts_of(file))) for file in files]
    publisher.require_answer()
    originals = received_store_from(settings, object_store_from(settings))
    for file, message in received:
        publisher.publish([begun("capture", TRANSCRIPTS_RECEIVED.record(originals.put(message)))])
        yield file, message.call


def _part_of(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """What the metadata says of one part of the event. Raises `InvalidCallError`."""
    part = facts.get(name) or {}
    if not isinstance(part, dict):
        raise InvalidCallError(f"{name}: must be an object")
    return part


def _meta_of(file: Path, meta: Path) -> Path:
    return meta / f"{file.stem}.json" if meta.is_dir() else meta
