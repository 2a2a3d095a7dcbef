"""`callstream rules`: for the people who write rules."""

import typer

from streams.cli.rules.diff import diff_packs
from streams.cli.rules.keygen import make_keys
from streams.cli.rules.lint import lint_packs
from streams.cli.rules.list import list_published
from streams.cli.rules.publish import publish_packs
from streams.cli.rules.show import show_packs
from streams.cli.rules.test import run_examples
from streams.cli.rules.try_ import try_text

rules_app = typer.Typer(help="Check, test, try out and publish rule packs (docs/rules.md).", no_args_is_help=True)
rules_app.command("lint")(lint_packs)
rules_app.command("test")(run_examples)
rules_app.command("show")(show_packs)
rules_app.command("diff")(diff_packs)
rules_app.command("try")(try_text)
rules_app.command("publish")(publish_packs)
rules_app.command("list")(list_published)
rules_app.command("keygen")(make_keys)
