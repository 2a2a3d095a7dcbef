"""`callstream analyze`: one recording or transcript through the same stages in one process, without any server."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json, print_json_line
from streams.settings import Settings

if TYPE_CHECKING:
    from processors.judging.pipeline import Judge
    from schemas.messages.call_analysis import CallAnalysis
    from schemas.messages.transcript import Transcript
    from streams.ports import Clock

AGITATED = 0.5
"""The agitation of a segment is noted above this probability."""


def analyze(
    files: Annotated[
        list[Path] | None, typer.Argument(help="The recording; with --transcript, further transcripts.")
    ] = None,
    transcript: Annotated[
        list[Path] | None,
        typer.Option(
            help="Instead of a recording, a transcript that was made elsewhere: JSON (docs/transcripts.md). May be "
            "given more than once, and followed by further files."
        ),
    ] = None,
    meta: Annotated[Path | None, typer.Option(help="JSON file with fields of CallEnded, for all files.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Analyse one recording, or transcripts, in this process.

    Runs the same stages as the pipeline, without a broker, an object store or a database. A transcript that was made
    elsewhere is masked first, then judged as far as words go. Of several, --json prints a line of JSON each, in their
    order; where one cannot be read its line has the error, and the command ends with 1.
    """
    from streams.ports import SystemClock

    recordings, transcripts = (files or [], []) if not transcript else ([], [*transcript, *(files or [])])
    if len(recordings) > 1:
        raise typer.BadParameter("give one recording; several transcripts go with --transcript", param_hint="FILE")
    if not recordings and not transcripts:
        raise typer.BadParameter("give a recording, or a transcript with --transcript", param_hint="FILE")
    if recordings and recordings[0].suffix.lower() == ".json":
        raise typer.BadParameter(
            f"{recordings[0].name} is no recording; a transcript goes with --transcript", param_hint="FILE"
        )
    settings, clock = command_settings(), SystemClock()
    if len(transcripts) > 1:
        _analyze_each(transcripts, meta, settings, clock, as_json=as_json)
        return
    if transcripts:
        heard, analysis = analyze_transcript(transcripts[0], meta, settings, clock)
    else:
        heard, analysis = analyze_file(recordings[0], meta, settings, clock)
    if as_json:
        print_json(_as_json(heard, analysis))
        return
    for line in _lines(heard, analysis):
        typer.echo(line)


def _analyze_each(
    transcripts: Sequence[Path], meta: Path | None, settings: Settings, clock: "Clock", *, as_json: bool
) -> None:
    """One after the other; what cannot be read holds up none of the others."""
    from schemas.errors import InvalidCallError
    from streams.analysis import build_judge

    judge = build_judge(settings)
    unread = 0
    for file in transcripts:
        try:
            heard, analysis = analyze_transcript(file, meta, settings, clock, judge)
        except InvalidCallError as error:
            unread += 1
            typer.echo(str(error), err=True)
            if as_json:
                print_json_line({"error": str(error)})
            continue
        if as_json:
            print_json_line(_as_json(heard, analysis))
            continue
        typer.echo(f"== {file}")
        for line in _lines(heard, analysis):
            typer.echo(line)
    if unread:
        raise typer.Exit(EXIT_PROBLEM)


def _as_json(transcript: "Transcript", analysis: "CallAnalysis") -> dict[str, object]:
    return {"transcript": transcript.model_dump(mode="json"), "analysis": analysis.model_dump(mode="json")}


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
    from streams.analysis import build_emotion, build_engine, build_judge, listen_settings
    from streams.stages.capture import call_of_file, read_facts

    with DecoderProcess() as decoder:
        call, data = call_of_file(file, read_facts(meta) if meta else {}, settings.max_recording_bytes, decoder)
        # Whoever asks about one recording wants to read it, however short it is.
        how = replace(listen_settings(settings), hear_too_short=True)
        engine = build_engine(settings)
        emotion = build_emotion(settings, engine)
        transcript = listen(call, data, engine, how, clock.now(), time.monotonic, emotion, decoder.decode)
    return transcript, _judged(transcript, build_judge(settings), clock)


def analyze_transcript(
    file: Path, meta: Path | None, settings: Settings, clock: "Clock", judge: "Judge | None" = None
) -> "tuple[Transcript, CallAnalysis]":
    """The masked transcript and the analysis of a transcript that was made elsewhere; `meta` as in `analyze_file`.

    `judge` is that of the settings, where it is there already. Raises `InvalidCallError`.
    """
    from processors.receiving.pipeline import transcript_of
    from streams.analysis import build_judge, receive_settings
    from streams.stages.capture import read_facts, transcript_of_file

    received = transcript_of_file(file, read_facts(meta) if meta else {}, usual_call_id=_id_of(file))
    transcript = transcript_of(received, receive_settings(settings), clock.now())
    return transcript, _judged(transcript, judge or build_judge(settings), clock)


def _id_of(file: Path) -> str:
    """The name of the file where it can be the id of a call: several files are several calls."""
    return file.stem if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", file.stem) else "transcript"


def _judged(transcript: "Transcript", judge: "Judge", clock: "Clock") -> "CallAnalysis":
    from streams.cli.console.without_rules import note_industry_without_rules

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
