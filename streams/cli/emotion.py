"""`callstream emotion`: train and evaluate the heads that judge how a segment sounds and what its words betray."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from processors.emotion.labels import LABEL_COLUMNS, LABELS, LABELS_FILE, TEXT_COLUMN
from streams.settings import load_settings

LABELS_HELP = f"""
Your own calls: put {LABELS_FILE} beside the recordings, UTF-8, with the columns {", ".join(LABEL_COLUMNS)} and, if you
have it, {TEXT_COLUMN}. `file` is a path below the folder, times are whole milliseconds, channels count from 0, and
`label` is one of {", ".join(LABELS)}.
"""

emotion_app = typer.Typer(
    help="Train and evaluate the emotion heads on labelled calls.", no_args_is_help=True, epilog=LABELS_HELP
)

DataOption = Annotated[list[Path], typer.Option("--data", help="A folder of labelled data; may be given repeatedly.")]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", help="Keep computed features in this folder, for the next run.")
]
PLAIN_WIDTH = 190


def _encoder(model: str | None) -> Any:
    from processors.emotion.encoder import WhisperEncoder
    from processors.listening.engines.faster_whisper import WhisperSettings

    settings = load_settings().settings
    return WhisperEncoder(cache_dir=settings.cache_dir, model=model or settings.part(WhisperSettings).whisper_model)


ModelOption = Annotated[
    str | None, typer.Option("--whisper-model", help="The recogniser's model; by default the one of the settings.")
]


@emotion_app.command(epilog=LABELS_HELP)
def train(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="The folder to which the heads are written.")],
    whisper_model: ModelOption = None,
    cache: CacheOption = None,
) -> None:
    """Train the heads for which there are labels, and write them to a folder.

    Heads without labels are left out: the shipped ones stay in use. Needs `pip install 'callstream[train]'`.
    """
    from processors.emotion.training import require_scikit_learn
    from processors.emotion.training import train as train_heads

    require_scikit_learn()
    _check(data)
    done = train_heads(data, out, _encoder(whisper_model), cache=cache, say=_say)
    sys.stdout.write(
        f"{done.sounds} sounds of {done.speakers} speakers ({done.agitated_sounds} agitated), "
        f"{done.texts} texts ({done.agitated_texts} agitated), {done.polar_texts} negative or positive texts\n"
    )
    for file in done.files:
        sys.stdout.write(f"{file}  {file.stat().st_size / 1000:.0f} kB\n")


@emotion_app.command(epilog=LABELS_HELP)
def evaluate(
    data: DataOption,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="The heads to judge: a folder of `train`; by default the shipped.")
    ] = None,
    train_on: Annotated[
        list[Path] | None, typer.Option("--train-on", help="Train on this folder instead, and judge the result.")
    ] = None,
    leave_one_speaker_out: Annotated[
        bool,
        typer.Option("--leave-one-speaker-out", help="Train on all speakers but one instead, for every speaker."),
    ] = False,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Do not send the sounds through a telephone line (8 kHz, µ-law).")
    ] = False,
    order: Annotated[
        str,
        typer.Option(
            help="How single utterances follow each other: shuffled (the mean of five orders), listed, alone."
        ),
    ] = "shuffled",
    whisper_model: ModelOption = None,
    cache: CacheOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")] = False,
) -> None:
    """How good the heads are on labelled data: agitated against the rest, all classes, with 95 % intervals.

    Every speaker is judged as in a call: against the speaker's earlier segments only. Figures for data with which
    the heads were trained mean nothing; `--leave-one-speaker-out` gives honest ones. With `--leave-one-speaker-out`,
    folders of `--train-on` are added to the training of every fold.
    """
    from processors.emotion.evaluation import Order
    from processors.emotion.experiments import Experiment, run_experiment

    if order not in get_args(Order):
        raise typer.BadParameter(f"{order} is none of {', '.join(get_args(Order))}", param_hint="--order")
    _check((*data, *(train_on or ())))
    figures = run_experiment(
        Experiment(
            data=tuple(data),
            heads=heads,
            train_on=tuple(train_on or ()),
            leave_one_speaker_out=leave_one_speaker_out,
            telephone=not as_recorded,
            order=cast(Order, order),
        ),
        _encoder(whisper_model),
        cache=cache,
        say=_say,
    )
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in figures], ensure_ascii=False, indent=2) + "\n")
        return
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    console.print(_summary(figures))
    for each in figures:
        if each.class_recall:
            console.print(
                _parts(f"{each.name}: recall of each class", {k: str(v) for k, v in each.class_recall.items()})
            )
        if len(each.by_speaker) > 1:
            rows = {name: f"{accuracy:.3f} / {f1:.3f}" for name, (accuracy, f1) in each.by_speaker.items()}
            console.print(_parts(f"{each.name}: accuracy / F1 of each speaker", rows))


def _check(folders: Sequence[Path]) -> None:
    """Fail on a wrong row before a model is loaded."""
    from processors.emotion.corpora import read_labelled

    for folder in folders:
        read_labelled(folder)


def _summary(figures: Sequence[Any]) -> Table:
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
    table = Table(*columns, title="agitated against the rest; in brackets 95 % intervals")
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


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
