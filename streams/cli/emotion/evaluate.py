"""`callstream emotion evaluate`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from rich.table import Table

from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.emotion.labelled_calls import (
    CacheOption,
    DataOption,
    ModelOption,
    check_labels,
    load_encoder,
    report_progress,
)

if TYPE_CHECKING:
    from processors.emotion.evaluation import Figures


def evaluate_heads(
    data: DataOption,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="Heads to evaluate: a folder written by `train`; by default the shipped ones."),
    ] = None,
    train_on: Annotated[
        list[Path] | None, typer.Option("--train-on", help="Train on this folder instead, and evaluate the result.")
    ] = None,
    leave_one_speaker_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-speaker-out", help="For each speaker, train on all others instead, and evaluate the result."
        ),
    ] = False,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Skip the simulated telephone line (8 kHz, µ-law).")
    ] = False,
    order: Annotated[
        str,
        typer.Option(
            help="Order of single utterances: shuffled (mean of five orders), listed (as in the file) or alone."
        ),
    ] = "shuffled",
    whisper_model: ModelOption = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how good the heads are on labelled data.

    Shows agitated against the rest, and all classes, with 95 % intervals. Every speaker is judged as in a call:
    against the speaker's earlier segments only. Figures for data that the heads were trained on mean nothing;
    `--leave-one-speaker-out` gives honest ones. With `--leave-one-speaker-out`, folders given by `--train-on` are
    added to the training data of every fold.
    """
    from processors.emotion.evaluation import Order
    from processors.emotion.experiments import Experiment, run_experiment

    if order not in get_args(Order):
        raise typer.BadParameter(f"{order} is none of {', '.join(get_args(Order))}", param_hint="--order")
    check_labels((*data, *(train_on or ())))
    figures = run_experiment(
        Experiment(
            data=tuple(data),
            heads=heads,
            train_on=tuple(train_on or ()),
            leave_one_speaker_out=leave_one_speaker_out,
            telephone=not as_recorded,
            order=cast(Order, order),
        ),
        load_encoder(whisper_model),
        cache=cache,
        say=report_progress,
    )
    if as_json:
        print_json([asdict(each) for each in figures])
        return
    out = console()
    out.print(_summary(figures))
    for each in figures:
        if each.class_recall:
            recall = {name: str(value) for name, value in each.class_recall.items()}
            out.print(_parts(f"{each.name}: recall of each class", recall))
        if len(each.by_speaker) > 1:
            rows = {name: f"{accuracy:.3f} / {f1:.3f}" for name, (accuracy, f1) in each.by_speaker.items()}
            out.print(_parts(f"{each.name}: accuracy / F1 of each speaker", rows))


def _summary(figures: "Sequence[Figures]") -> Table:
    columns = (
        "",
        "segments",
        "agitated",
        "majority",
        "accuracy",
        "F1 agitated",
        "precision",
        "recall",
        "mistaken",
        "AUC",
        "classes",
    )
    table = Table(*columns, title="agitated against the rest; 95 % intervals in brackets")
    for each in figures:
        table.add_row(
            each.name,
            str(each.segments),
            str(each.agitated),
            f"{each.majority:.3f}",
            str(each.accuracy),
            str(each.f1),
            f"{each.precision:.2f}",
            f"{each.recall:.2f}",
            f"{each.mistaken:.3f}",
            f"{each.ranking:.3f}",
            str(each.class_accuracy or "-"),
        )
    return table


def _parts(title: str, rows: Mapping[str, str]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, value)
    return table
