"""`callstream learn train`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from streams.cli.learn.data import LearnDataOption, LearnTenantOption, labelled_calls, load_reader


def train(
    out: Annotated[Path, typer.Option("--out", help="Folder to write the heads to; new or empty.")],
    tenant: LearnTenantOption = None,
    data: LearnDataOption = None,
    split: Annotated[
        Literal["time", "agent"],
        typer.Option(help="Which calls are frozen and never learned from: the newest, or those of some agents."),
    ] = "time",
    frozen: Annotated[float, typer.Option(min=0.1, max=0.9, help="Share of the labelled calls that is frozen.")] = 0.3,
) -> None:
    """Adapt the shipped reading heads to labelled calls.

    What is learned is a correction of two heads: whether a call is worth hearing, and whether an utterance of the agent
    is a violation. How strong it is, cross-validation chooses; where it helps nothing, a head stays as it is. Nothing
    is put into force: see `evaluate` and `publish`.
    """
    from processors.reading.learned import learn, save_learned

    refuse_filled(out)
    found = labelled_calls(tenant, data)
    adapted, record = learn(load_reader(None), found.calls, tenant or "data", split, frozen)
    save_learned(out, adapted.reader, record)
    for one in adapted.reports:
        if one.loss_before is None or one.loss_after is None:
            became = "too few of one kind: left as it is"
        elif one.penalty is None:
            became = f"no correction helps (log loss {one.loss_before:.3f}): left as it is"
        else:
            became = f"log loss in cross-validation {one.loss_before:.3f} → {one.loss_after:.3f}"
        typer.echo(f"{one.head}: {one.examples} labelled examples, {one.positive} positive; {became}")
    typer.echo(f"learned from {len(record.trained_on)} calls, {len(record.frozen)} are frozen; wrote {out}")


def refuse_filled(folder: Path) -> None:
    """Raises `LabelledDataError` where a folder holds something: a worker may be reading it."""
    from processors.reading.labels import LabelledDataError

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LabelledDataError(f"{folder} holds something already: name a new folder")
