"""A real SMTP server on loopback that refuses what a test tells it to refuse."""

import email
import email.policy
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailroom:
    """An SMTP server; refuses what a test tells it to refuse."""

    def __init__(self) -> None:
        self.mails: list[tuple[EmailMessage, list[str]]] = []
        self.answer_to_data = "250 taken"
        self.refused_recipients: tuple[str, ...] = ()
        self.refusal = "550 unknown"

    async def handle_RCPT(  # noqa: N802 - the name is aiosmtpd's
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refused_recipients:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer_to_data.startswith("250"):
            assert isinstance(envelope.content, bytes)
            message = email.message_from_bytes(envelope.content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.mails.append((message, list(envelope.rcpt_tos)))
        return self.answer_to_data
