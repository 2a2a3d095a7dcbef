"""`callstream rules show`."""

from rich.table import Table

from schemas.config.rule_pack import RulePack
from schemas.config.yaml_files import YamlFileError
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, end_with_problems, print_json
from streams.cli.rules.packs import FilesArgument, read_packs


def show_packs(files: FilesArgument = None, as_json: JsonOption = False) -> None:
    """Show every rule: id, category, severity and measure."""
    try:
        packs = read_packs(files, command_settings())
    except YamlFileError as error:
        end_with_problems(error.problems)
    rows = [row for pack in packs for row in _rows(pack)]
    if as_json:
        print_json(rows)
        return
    columns = ("pack", "section", "id", "name", "category", "severity", "measure")
    table = Table(*columns)
    for row in rows:
        table.add_row(*(row[column] for column in columns))
    console().print(table)


def _rows(pack: RulePack) -> list[dict[str, str]]:
    return [
        {
            "pack": pack.label,
            "section": section,
            "id": entry.id,
            "name": getattr(entry, "name", None) or "",
            "category": getattr(entry, "category", ""),
            "severity": getattr(entry, "severity", ""),
            "measure": getattr(entry, "measure", None) or "",
        }
        for section, entry in pack.entries()
    ]
