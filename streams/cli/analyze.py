"""`callstream analyze`: one recording or transcript through the same stages in one process, without any server."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json
from streams.settings import Settings

if TYPE_CHECKING:
    from schemas.messages.call_analysis import CallAnalysis
    from schemas.messages.transcript import Transcript
    from streams.ports import Clock

AGITATED = 0.5
"""The agitation of a segment is noted above this probability."""


def analyze(
    file: Annotated[Path | None, typer.Argument(help="The recording.")] = None,
    transcript: Annotated[
        Path | None,
        typer.Option(help="Instead of a recording, a transcript that was made elsewhere: JSON (docs/transcripts.md)."),
    ] = None,
    meta: Annotated[Path | None, typer.Option(help="JSON file with fields of CallEnded.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Analyse one recording in this process.

    Runs the same stages as the pipeline, without a broker, an object store or a database. A transcript that was made
    elsewhere is masked first, then judged as far as words go.
    """
    from streams.ports import SystemClock

    if file is not None and transcript is not None:
        raise typer.BadParameter("give a recording or a transcript, not both", param_hint="--transcript")
    settings, clock = command_settings(), SystemClock()
    if transcript is not None:
        heard, analysis = analyze_transcript(transcript, meta, settings, clock)
    elif file is not None:
        heard, analysis = analyze_file(file, meta, settings, clock)
    else:
        raise typer.BadParameter("give a recording, or a transcript with --transcript", param_hint="FILE")
    if as_json:
        print_json({"transcript": heard.model_dump(mode="json"), "analysis": analysis.model_dump(mode="json")})
        return
    for line in _lines(heard, analysis):
        typer.echo(line)


def analyze_file(
    file: Path, meta: Path | None, settings: Settings, clock: "Clock"
) -> "tuple[Transcript, CallAnalysis]":
    """The transcript and the analysis of a recording; `meta` is a JSON file with fields of `CallEnded`.

    Raises `InvalidCallError`, `WeightsError`, `HeadsError` and `CheckpointError`.
    """
    import time
    from dataclasses import replace

    from processors.listening.pipeline import listen
    from streams.adapters.decoder.process import DecoderProcess
    from streams.analysis import build_emotion, build_engine, listen_settings
    from streams.stages.capture import call_of_file, read_facts

    with DecoderProcess() as decoder:
        call, data = call_of_file(file, read_facts(meta) if meta else {}, settings.max_recording_bytes, decoder)
        # Whoever asks about one recording wants to read it, however short it is.
        how = replace(listen_settings(settings), hear_too_short=True)
        engine = build_engine(settings)
        emotion = build_emotion(settings, engine)
        transcript = listen(call, data, engine, how, clock.now(), time.monotonic, emotion, decoder.decode)
    return transcript, _judged(transcript, settings, clock)


def analyze_transcript(
    file: Path, meta: Path | None, settings: Settings, clock: "Clock"
) -> "tuple[Transcript, CallAnalysis]":
    """The masked transcript and the analysis of a transcript that was made elsewhere; `meta` as in `analyze_file`.

    Raises `InvalidCallError`.
    """
    from processors.receiving.pipeline import transcript_of
    from streams.analysis import receive_settings
    from streams.stages.capture import read_facts, transcript_of_file

    received = transcript_of_file(file, read_facts(meta) if meta else {}, usual_call_id="transcript")
    transcript = transcript_of(received, receive_settings(settings), clock.now())
    return transcript, _judged(transcript, settings, clock)


def _judged(transcript: "Transcript", settings: Settings, clock: "Clock") -> "CallAnalysis":
    from streams.analysis import build_judge
    from streams.cli.console.without_rules import note_industry_without_rules

    judge = build_judge(settings)
    note_industry_without_rules(judge.rulebooks, transcript.call)
    return judge.judge(transcript, clock.now())


def _lines(transcript: "Transcript", analysis: "CallAnalysis") -> Iterator[str]:
    """For people: what was said, what was found in it, and the judgement."""
    yield f"{analysis.outcome} ({analysis.outcome_reason}), language {transcript.language or '-'}"
    if analysis.roles_doubtful:
        yield "agent and customer may be exchanged, by what they say"
    timed = transcript.engine.knows_times
    for segment in transcript.segments:
        agitated = segment.emotion.agitated if segment.emotion else 0.0
        note = f"  (agitated {agitated:.2f})" if agitated > AGITATED else ""
        begins = f"{segment.start_ms / 1000:8.1f} s" if timed else f"{'-':>10}"
        yield f"{begins}  {segment.role:<8} {segment.text}{note}"
    for finding in analysis.findings:
        # A finding without words, such as an unusual length, is about the whole call.
        at = f" at {finding.start_ms / 1000:.1f} s" if timed else ""
        where = f" 「{finding.matched}」{at}" if finding.matched else ""
        yield f"{finding.severity}: {finding.rule_id}{where}"
    for name, value in analysis.measures.items():
        yield f"{name} = {value}"
    for skipped in analysis.skipped_analysis:
        yield f"{skipped.measure}: not measurable, {skipped.reason}"
    yield from _judgement_lines(analysis)


def _judgement_lines(analysis: "CallAnalysis") -> Iterator[str]:
    """Score, risk, selection and retention, where there are any."""
    card, risk = analysis.scorecard, analysis.risk
    if card is not None:
        measured = sum(item.points is not None for item in card.items)
        score = "not measurable" if card.score is None else f"{card.score:g} of 100"
        yield f"score {score}, by {card.form_id}@{card.form_version}, {measured} of {len(card.items)} items measured"
    if risk is not None:
        unseen = f", {len(risk.unmeasured)} parts not measurable" if risk.unmeasured else ""
        yield f"risk {risk.level}, {risk.score:g} points{unseen}"
        yield from (f"  {part.points:g} {part.reason}" for part in risk.parts)
    if analysis.selection is not None:
        names = ", ".join(f"{trigger.name} ({trigger.reason})" for trigger in analysis.selection.triggers)
        yield f"selected by: {names or 'nothing'}"
    if analysis.retention_class is not None:
        yield f"kept as {analysis.retention_class}, for at least {analysis.retention_days} days"
