"""`callstream verdicts precision`."""

from typing import Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json


def precision(
    tenant: Annotated[str, typer.Option(help="Tenant whose verdicts are counted.")],
    as_json: JsonOption = False,
) -> None:
    """Show how often each version of each rule, and of reading, is right by the verdicts.

    The interval holds 95 % (Wilson). Of what is picked because it looks bad, more is right than of all calls.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.queries.search import check_tenant
    from streams.queries.verdicts import rule_precisions

    client = connect(command_settings().clickhouse_url.get_secret_value())
    try:
        found = rule_precisions(client, tenant)
        if not found:
            check_tenant(client, tenant)
    finally:
        client.close()
    if as_json:
        print_json([each._asdict() for each in found])
        return
    if not found:
        typer.echo(f"no verdict on a finding of tenant {tenant} is stored: docs/learning.md says how they are given")
        return
    table = Table("detector", "rule", "version", "judged", "right", "disputed", "precision", "95 % interval")
    for each in found:
        table.add_row(
            each.detector,
            each.rule_id,
            each.rule_version,
            str(each.judged),
            str(each.right),
            str(each.disputed),
            "–" if each.precision is None else f"{100 * each.precision:.0f} %",
            "–" if each.low is None or each.high is None else f"{100 * each.low:.0f} – {100 * each.high:.0f} %",
        )
    console().print(table)
