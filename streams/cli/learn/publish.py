"""`callstream learn publish`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console.output import end_with_problems
from streams.cli.learn.data import (
    LearnDataOption,
    LearnTenantOption,
    heads_in_force,
    labelled_calls,
    load_reader,
    print_comparisons,
)
from streams.cli.learn.train import refuse_filled


def publish_model(
    model: Annotated[Path, typer.Argument(help="Folder that `train` wrote.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write the heads and their model card to; new or empty.")],
    tenant: LearnTenantOption = None,
    data: LearnDataOption = None,
    in_force: Annotated[
        Path | None,
        typer.Option(help="Heads that are in force; by default those that read the calls of the tenant now."),
    ] = None,
) -> None:
    """Write a model to the folder that workers will read, unless it is worse than what is in force.

    Both read the frozen calls. A model whose F1 is lower there is refused, as is one whose average precision is
    lower beyond doubt, and the figures are named. Workers are not touched: the command says how to put the heads into
    force and how to read history again.
    """
    from processors.reading.labels import LabelledDataError
    from processors.reading.learned import compare, frozen_calls, load_learned, model_card, save_learned

    refuse_filled(to)
    record = load_learned(model)
    if record is None:
        raise LabelledDataError(f"{model} has no learned.json: it was not written by `callstream learn train`")
    present = in_force or heads_in_force(tenant)
    calls = frozen_calls(labelled_calls(tenant, data).calls, record, load_learned(present))
    reader = load_reader(model)
    compared = compare(load_reader(present), reader, calls)
    print_comparisons(("in force", "model"), compared, by_verdicts=data is None)
    if worse := [each for each in compared if each.is_worse]:
        end_with_problems(
            [
                *(
                    f"{each.head}: F1 {each.before.f1.value:.3f} → {each.after.f1.value:.3f}, average precision "
                    f"{each.before.average_precision.value:.3f} → {each.after.average_precision.value:.3f}"
                    for each in worse
                ),
                "refused: the model is worse than what is in force; nothing was written. Train again when there "
                "are more verdicts, also on violations that were missed, or keep what is in force",
            ]
        )
    for each in compared:
        if each.after.precision.value < each.before.precision.value:
            typer.echo(
                f"{each.head}: less of what the model believes is right than of what is in force ("
                f"{each.before.precision.value:.2f} → {each.after.precision.value:.2f}), and more is found "
                f"({each.before.recall.value:.2f} → {each.after.recall.value:.2f})"
                + (
                    ": reading.suspect_from in the tenants file raises the threshold"
                    if each.head == "violation"
                    else ""
                )
            )
    save_learned(to, reader, record)
    (to / "MODEL_CARD.md").write_text(model_card(record, compared), encoding="utf-8")
    typer.echo(f"wrote {to}, model {record.model}. To put it into force, let the tenants file of every judge say")
    typer.echo(f"  - id: {tenant or 'TENANT'}\n    reading: {{weights: {to.absolute()}}}")
    typer.echo("or, where there is one tenant alone, set")
    typer.echo(f"  CALLSTREAM_READING_WEIGHTS={to.absolute()}")
    typer.echo("Restart each judge, and read past calls again:\n  callstream replay --from DAY")
