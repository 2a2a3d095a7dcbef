"""What the commands of this group share: who asks, what for, and how a refusal is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from processors.custody.play_sessions import ListeningPurpose
from schemas.errors import OperatorError

if TYPE_CHECKING:
    from processors.custody.authorization import Actor
    from streams.listening import ListeningRequest

CallArgument = Annotated[str, typer.Argument(metavar="CALL", help="The id of the call.")]
RecordingTenantOption = Annotated[str, typer.Option("--tenant", help="Whose call it is.")]
ListeningPurposeOption = Annotated[
    str, typer.Option("--purpose", help=f"What for, for the audit log: {', '.join(get_args(ListeningPurpose))}.")
]
TicketOption = Annotated[str | None, typer.Option("--ticket", help="The case that it is done for.")]
UnmaskedOption = Annotated[
    bool, typer.Option("--unmasked", help="Without muting personal data; needs the right to listen_unmasked.")
]

CLIENT = "cli"


class NotShownError(OperatorError):
    """The recording is not shown, and why; the refusal is in the audit log."""

    exit_code = 1


_SENTENCES = {
    "unknown": "there is no such call, or none that you may know of",
    "forbidden": "no role that you have there allows this: ask an administrator",
    "gone": "it was destroyed, or its key was",
    "not_now": "it cannot be played as asked",
    "broken": "what is stored was changed: look at the object store",
}


def request_of(
    actor: "Actor", tenant: str, call_id: str, purpose: str, ticket: str | None, *, unmasked: bool
) -> "ListeningRequest":
    """Raises `typer.BadParameter` for a purpose that is none."""
    from streams.listening import ListeningRequest

    purposes: tuple[ListeningPurpose, ...] = get_args(ListeningPurpose)
    found = next((each for each in purposes if each == purpose), None)
    if found is None:
        raise typer.BadParameter(f"write one of {', '.join(purposes)}", param_hint="--purpose")
    return ListeningRequest(actor, tenant, call_id, found, ticket, unmasked, CLIENT)


@contextmanager
def refusals_as_sentences() -> Iterator[None]:
    """Raises `NotShownError` in place of `NotPlayedError`."""
    from streams.listening import NotPlayedError

    refusal: NotPlayedError | None = None
    try:
        yield
    except NotPlayedError as error:
        refusal = error
    if refusal is not None:
        raise NotShownError(f"{_SENTENCES[refusal.why]} ({refusal.reason}); this is in the audit log")
