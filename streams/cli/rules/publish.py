"""`callstream rules publish`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from processors.rules.expressions import problems_with_expressions
from schemas.config.rule_pack import RulePack, RulePackError
from schemas.config.yaml_files import YamlFileError
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED
from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems
from streams.cli.rules.packs import bad_options, read_packs, read_published

if TYPE_CHECKING:
    from streams.runtime.rules_feed import RulesInForce


def publish_packs(
    files: Annotated[list[Path], typer.Argument(help="Rule packs, or folders of them.")],
    by: Annotated[str, typer.Option(help="Who publishes them, for the record.")] = "unknown",
    note: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    key: Annotated[
        Path | None,
        typer.Option(help="File of the private key to sign with; by default CALLSTREAM_RULES_PRIVATE_KEY_FILE."),
    ] = None,
) -> None:
    """Put packs into force for all running workers.

    The packs and their examples are checked first, together with all packs in force. A version can be published once
    only. To change a pack, or to go back to an older one, give it a higher version.
    """
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.ports import SystemClock
    from streams.runtime.rule_signatures import read_private_key, sign
    from streams.runtime.rules_feed import rules_in_force

    settings = command_settings()
    key_file = key or settings.rules_private_key_file
    private_key = read_private_key(key_file) if key_file else None
    if private_key is None and settings.rules_public_keys is not None:
        end_with_problems(["workers take signed packs only: name the private key with --key"])
    try:
        packs = read_packs(files, settings)
        publisher = publisher_by_hand(settings)
        before = read_published(settings)
        rules = rules_in_force(settings, before)
        new = [pack for pack in packs if _is_new(pack, rules, before)]
        if problems := [problem for pack in new for problem in problems_with_expressions(pack)]:
            raise RulePackError(problems)
        rules.add(new)
    except YamlFileError as error:
        end_with_problems(error.problems)
    now = SystemClock().now()
    try:
        messages = [RulesPublished(pack=pack, published_at=now, published_by=by, note=note) for pack in new]
    except ValidationError as error:
        raise bad_options(error, {"published_by": "--by", "note": "--note"}, "FILES") from None
    if private_key is not None:
        messages = [sign(message, private_key) for message in messages]
    if large := [message.pack.label for message in messages if len(message.encode()) > RulesPublished.max_bytes]:
        end_with_problems(f"{label} is larger than a message may be: split it into several packs" for label in large)
    publisher.publish(RULES_PUBLISHED.record(message) for message in messages)
    publisher.close()
    for pack in packs:
        is_new = any(pack is one for one in new)
        typer.echo(f"{pack.label}: {'published' if is_new else 'already published'}")


def _is_new(pack: RulePack, rules: "RulesInForce", before: Sequence[RulesPublished]) -> bool:
    """Whether a pack is to be published. Raises `RulePackError` for a version that cannot come into force."""
    latest = rules.registry.latest(pack.tenant, pack.pack)
    if latest is not None and pack.version < latest.version:
        raise RulePackError([f"{pack.label} is older than {latest.label}, which is in force: give it a higher version"])
    rules.registry.put(pack)
    if rules.registry.is_refused(pack):
        raise RulePackError([f"{pack.label} was published before and is refused: fix it and give it a higher version"])
    return pack.label not in {message.pack.label for message in before}
