"""The labelled calls that `callstream learn` works on, and what it prints of models."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.output import console

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from processors.reading.call_reader import CallReader
    from processors.reading.labels import Labelled, StoredCall
    from processors.reading.learned import HeadComparison

LearnTenantOption = Annotated[
    str | None, typer.Option("--tenant", help="Tenant whose calls and verdicts are read from ClickHouse.")
]
LearnDataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of labelled dialogues as JSON, instead of ClickHouse.")
]


def labelled_calls(tenant: str | None, data: Path | None) -> "Labelled":
    """Those that inspectors have judged, or the dialogues of a folder. Raises `LabelledDataError`."""
    from streams.queries.labelled_calls import judged_calls

    return _calls(tenant, data, judged_calls, also_unlabelled=False)


def calls_with_verdicts(tenant: str | None, data: Path | None) -> "Labelled":
    """Those that inspectors have judged, without what they say was missed. Raises `LabelledDataError`."""
    from processors.reading.labels import without_missed
    from streams.queries.labelled_calls import judged_calls

    return _calls(tenant, data, lambda client, name: without_missed(judged_calls(client, name)), also_unlabelled=False)


def newest_calls(tenant: str | None, data: Path | None, most: int) -> "Labelled":
    """The newest of a tenant, judged or not, or all dialogues of a folder. Raises `LabelledDataError`."""
    from streams.queries.labelled_calls import newest_calls

    return _calls(tenant, data, lambda client, name: newest_calls(client, name, most), also_unlabelled=True)


def _calls(
    tenant: str | None,
    data: Path | None,
    ask: "Callable[[Client, str], list[StoredCall]]",
    *,
    also_unlabelled: bool,
) -> "Labelled":
    from processors.reading.labels import label_calls, read_dialogues

    if data is not None and tenant is None:
        found = read_dialogues(data, also_unlabelled=also_unlabelled)
    elif tenant is not None and data is None:
        found = label_calls(_stored_calls(tenant, ask), also_unlabelled=also_unlabelled)
    else:
        raise typer.BadParameter("name either a tenant or a folder with --data", param_hint="--tenant")
    if found.not_read:
        typer.echo(f"left out {found.not_read} call(s) in which agent and customer are not told apart", err=True)
    if found.not_placed:
        typer.echo(f"left out {found.not_placed} verdict(s) whose words are not in the transcript any more", err=True)
    return found


def _stored_calls(tenant: str, ask: "Callable[[Client, str], list[StoredCall]]") -> "list[StoredCall]":
    """What a query gives, once it stands in the audit log that these transcripts were read."""
    from streams.adapters.clickhouse.connection import connect
    from streams.cli.console.audit import access_entry, enter

    settings = command_settings()
    allowed = require_permission(settings, "see_text", tenant, entered_as="searched")
    client = connect(settings.clickhouse_url.get_secret_value())
    try:
        found = ask(client, tenant)
    finally:
        client.close()
    enter(settings, access_entry("searched", tenant, ("learning",), len(found), who=allowed, reason="training"))
    return found


def print_comparisons(
    names: tuple[str, str], compared: "Sequence[HeadComparison]", *, by_verdicts: bool = False
) -> None:
    """Figures of two models on the same calls; `by_verdicts`: inspectors labelled what they were shown."""
    table = Table("head", "calls or utterances", "positive", "model", "precision", "recall", "F1", "average precision")
    for each in compared:
        for name, one in zip(names, (each.before, each.after), strict=True):
            table.add_row(
                each.head,
                str(one.examples),
                str(one.positive),
                name,
                str(one.precision),
                str(one.recall),
                str(one.f1),
                str(one.average_precision),
            )
        table.add_row(each.head, "", "", "difference", "", "", str(each.f1), str(each.average_precision))
    console().print(table)
    console().print("95 % intervals in brackets: Wilson, bootstrap over examples; of differences a paired bootstrap")
    if by_verdicts:
        console().print(
            "labels are verdicts, most of them on what the heads in force had suspected: recall of `violation` is of "
            "those and of what inspectors entered as missed, not of all violations; calls that were labelled to the "
            "end (--data) tell that"
        )


def heads_in_force(tenant: str | None) -> Path:
    """The folder of the heads that read the calls of a tenant now, by the settings and the tenants file."""
    from processors.detectors.reading import ReadingSettings, weights_of
    from schemas.config.tenants import read_tenants

    settings = command_settings()
    return weights_of(settings.part(ReadingSettings), read_tenants(settings.tenants_file), tenant)


def load_reader(folder: Path | None) -> "CallReader":
    """The heads of a folder, or those that are shipped. Raises `ReadingWeightsError`."""
    from processors.detectors.reading import ReadingSettings
    from processors.reading.call_reader import CallReader

    if folder is None:
        return CallReader.load()
    return CallReader.load(folder, command_settings().part(ReadingSettings).reading_device)
