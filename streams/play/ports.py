"""What the application that plays recordings needs of the rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from schemas.messages.transcript import Transcript
from streams.listening import ListeningRequest, Playing, ShownPeaks
from streams.serve.permission import Authenticates
from streams.serve.ports import ServedExports
from streams.settings import Settings

if TYPE_CHECKING:
    pass


class Listens(Protocol):
    """`streams.listening.Listening`. Used by several threads at once."""

    def play(self, request: ListeningRequest) -> Playing: ...
    def peaks(self, request: ListeningRequest) -> ShownPeaks: ...
    def transcript(self, request: ListeningRequest) -> Transcript: ...


@dataclass(frozen=True)
class Played:
    """All that the application is made of. What blocks is called in threads."""

    settings: Settings
    authentication: Authenticates
    listening: Listens
    checks: Mapping[str, Callable[[], None]]
    """Name of what is needed → raises where it does not answer."""
    exports: ServedExports | None = None
    """None where no exports are handed out."""
