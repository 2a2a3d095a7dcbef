"""`callstream audit`: who did what, and that nobody has changed what is written of it."""

import typer

from streams.cli.audit.export import export_log
from streams.cli.audit.key import show_key
from streams.cli.audit.show import show_entries
from streams.cli.audit.verify import verify

audit_app = typer.Typer(
    help="The audit log (docs/audit.md): show it, export it, verify it against what was signed.",
    no_args_is_help=True,
)
audit_app.command("show")(show_entries)
audit_app.command("verify")(verify)
audit_app.command("export")(export_log)
audit_app.command("key")(show_key)
