"""`callstream learn publish`."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems
from streams.cli.learn.data import DataOption, TenantOption, labelled_calls, load_reader, print_comparisons
from streams.cli.learn.train import refuse_filled


def publish_model(
    model: Annotated[Path, typer.Argument(help="Folder that `train` wrote.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to write the heads and their model card to; new or empty.")],
    tenant: TenantOption = None,
    data: DataOption = None,
    in_force: Annotated[
        Path | None,
        typer.Option(help="Heads that are in force; by default those of the settings, else the shipped ones."),
    ] = None,
) -> None:
    """Write a model to the folder that workers will read, unless it is worse than what is in force.

    Both read the frozen calls. A model whose F1 or average precision is lower there is refused, and the figures are
    named. Workers are not touched: the command says how to put the heads into force and how to read history again.
    """
    from processors.detectors.reading import ReadingSettings
    from processors.reading.labels import LabelledDataError
    from processors.reading.learned import compare, frozen_calls, load_learned, model_card, save_learned

    refuse_filled(to)
    record = load_learned(model)
    if record is None:
        raise LabelledDataError(f"{model} has no learned.json: it was not written by `callstream learn train`")
    present = in_force or command_settings().part(ReadingSettings).reading_weights
    calls = frozen_calls(labelled_calls(tenant, data).calls, record, load_learned(present) if present else None)
    reader = load_reader(model)
    compared = compare(load_reader(present), reader, calls)
    print_comparisons(("in force", "model"), compared)
    if worse := [each for each in compared if each.is_worse]:
        end_with_problems(
            [
                *(
                    f"{each.head}: F1 {each.before.f1.value:.3f} → {each.after.f1.value:.3f}, average precision "
                    f"{each.before.average_precision.value:.3f} → {each.after.average_precision.value:.3f}"
                    for each in worse
                ),
                "refused: the model is worse than what is in force; nothing was written",
            ]
        )
    save_learned(to, reader, record)
    (to / "MODEL_CARD.md").write_text(model_card(record, compared), encoding="utf-8")
    typer.echo(f"wrote {to}, model {record.model}. To put it into force:")
    typer.echo(f"  set CALLSTREAM_READING_WEIGHTS={to.absolute()} for every judge, and restart it")
    typer.echo("  callstream replay --from <day>        # reads past calls again")
