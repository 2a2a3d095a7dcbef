"""The packs that the commands of `callstream rules` are about: files, what is in use, and what was published."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from schemas.config.rule_pack import RulePack, RulePackError, read_rule_pack
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED
from streams.cli.console.options import yaml_files
from streams.settings import Settings

FilesArgument = Annotated[
    list[Path] | None, typer.Argument(help="Rule packs, or folders of them; by default those in use.")
]


def read_packs(paths: list[Path] | None, settings: Settings) -> tuple[RulePack, ...]:
    """The packs of these files; without any, those in use.

    Raises `YamlFileError` with the problems of all files.
    """
    from streams.runtime.rules_feed import packs_at_hand

    if not paths:
        return packs_at_hand(settings.rules_folder)
    packs: list[RulePack] = []
    problems: list[str] = []
    for file in yaml_files(paths):
        try:
            packs.append(read_rule_pack(file))
        except RulePackError as error:
            problems.extend(error.problems)
    if problems:
        raise RulePackError(problems)
    return tuple(packs)


def in_company(given: Sequence[RulePack], settings: Settings) -> tuple[RulePack, ...]:
    """The packs that are given together with all others in use, except those of the same name, which they replace."""
    from streams.runtime.rules_feed import PackRegistry, packs_at_hand

    return PackRegistry(packs_at_hand(settings.rules_folder)).in_force(given)


def read_published(settings: Settings, *, signed: bool = True) -> tuple[RulesPublished, ...]:
    """Everything that was published so far; `signed`: without what none of the public keys of the settings has signed.

    Raises `RetryableError` and `RuleKeyError`.
    """
    from streams.adapters.kafka.client import TopicReader
    from streams.runtime.rule_signatures import read_public_keys
    from streams.runtime.rules_feed import decode_published

    keys = read_public_keys(settings.rules_public_keys) if signed else None
    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        return decode_published(reader.read_to_end(), keys)
    finally:
        reader.close()


def bad_options(error: ValidationError, options: Mapping[str, str], otherwise: str) -> typer.BadParameter:
    """Which options do not fit, by the fields that they fill; `otherwise` names that of all other fields."""
    wrong = {options.get(str(detail["loc"][0]), otherwise): detail["type"] for detail in error.errors()}
    return typer.BadParameter("; ".join(f"{option}: {kind}" for option, kind in sorted(wrong.items())))
