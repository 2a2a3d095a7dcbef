"""`callstream rules test`."""

import typer

from schemas.config.yaml_files import YamlFileError
from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems
from streams.cli.rules.packs import FilesArgument, in_company, read_packs


def run_examples(files: FilesArgument = None) -> None:
    """Run the examples of every rule.

    Each example runs against all rules of the industry. Ends with 1 if one fails. The examples of the packs already
    in use run as well, because a new pack may claim words that they rely on.
    """
    from processors.text.phonetic import Sounds
    from streams.runtime.rules_feed import check_rulebooks

    settings = command_settings()
    try:
        packs = read_packs(files, settings)
        company = in_company(packs, settings)
        check_rulebooks(company, Sounds(settings.merged_sounds), company)
    except YamlFileError as error:
        end_with_problems(error.problems)
    for pack in packs:
        examples = sum(len(getattr(e, "match", ())) + len(getattr(e, "no_match", ())) for _, e in pack.entries())
        typer.echo(f"{pack.label}: {examples} examples pass")
