"""The ways in which handling a message, or a command, can end badly.

Every stage knows exactly these: an `InvalidMessageError` becomes a dead letter, a `RetryableError` is tried
again and keeps its offset, anything else is a bug and stops the worker with the offset unmoved.
"""

from collections.abc import Iterable
from typing import ClassVar


class InvalidMessageError(Exception):
    """This message can never be processed, however often it is tried; it becomes a dead letter.

    `problems` are sentences that are safe to store and to log: names of schema fields and kinds of error,
    never a value of the message.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "; ".join(self.problems)


class ConflictingCallError(InvalidMessageError):
    """A second, different event claims the id of a call that was already heard."""


class RefusedByDatabaseError(InvalidMessageError):
    """The message is right by its schema, but the database refuses a row of it."""


class EndedTheWorkerError(InvalidMessageError):
    """The message ended the process that worked on it, again and again, by what no handler can catch."""


class UnreadableBatchError(InvalidMessageError):
    """A batch of messages cannot be read: it expands too far, or is damaged. Who wrote them is not known."""


class RetryableError(Exception):
    """An outside system did not answer as it should; the same message is tried again, its offset stays.

    The text names the system and the operation, never the content of a call.
    """


class OperatorError(Exception):
    """Only a person can mend this; the text is a sentence that says what is wrong and what to do.

    It names no secret and nothing that a caller said. `exit_code` is that of the command that it ends.
    """

    exit_code: ClassVar[int] = 3


class InvalidCallError(OperatorError):
    """What was given about a call does not make an event; the text names fields, never values.

    `problems`: the same in parts, one for each field that is wrong.
    """

    exit_code = 1

    def __init__(self, text: str, problems: Iterable[str] = ()) -> None:
        self.problems = tuple(problems) or (text,)
        super().__init__(text)


class EmbeddedStackError(OperatorError):
    """A process of the embedded stack cannot be started, or has failed."""

    exit_code = 5
