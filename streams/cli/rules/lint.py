"""`callstream rules lint`."""

import typer

from schemas.config.yaml_files import YamlFileError
from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems
from streams.cli.rules.packs import FilesArgument, in_company, read_packs

LIKE_IS_A_GUESS = (
    "like compares with {examples} example(s). No encoder at hand is good enough to accuse anybody: what it finds is "
    "a suspicion, and it finds one violation in ten that is worded anew (docs/accuracy.md#like)"
)


def lint_packs(files: FilesArgument = None) -> None:
    """Check packs without running their examples.

    Finds unknown fields, bad expressions and circular conditions.
    """
    from processors.rules.expressions import examples_of
    from processors.rules.likeness import LikeExamples
    from processors.text.phonetic import Sounds
    from streams.runtime.rules_feed import check_rulebooks

    settings = command_settings()
    try:
        packs = read_packs(files, settings)
        check_rulebooks(in_company(packs, settings), Sounds(settings.merged_sounds), ())
    except YamlFileError as error:
        end_with_problems(error.problems)
    for pack in packs:
        typer.echo(f"{pack.label}: {sum(1 for _ in pack.entries())} rules")
        if examples := examples_of(pack):
            typer.echo(f"{pack.label}: {LIKE_IS_A_GUESS.format(examples=len(examples))}")
            for text in LikeExamples(examples).unread:
                typer.echo(f"{pack.label}: nothing is read in 「{text}」, so it is found by its letters alone")
