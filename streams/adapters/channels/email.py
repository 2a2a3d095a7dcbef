"""Mail to people, by SMTP."""

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import ClassVar

from pydantic import Field

from processors.alerts.delivery_queue import Answer
from processors.alerts.rendering import Notice, subject_of, text_of
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings
from streams.adapters.channels.smtp import SMTP_TIMEOUT_S, MailAddress, SmtpServer, mail_address, submit


class EmailChannel(ChannelSettings):
    """Mail to people. Every recipient sees the others."""

    kind: ClassVar[str] = "email"

    smtp: SmtpServer
    sender: MailAddress = Field(alias="from")
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=50)

    @property
    def destination(self) -> str:
        """The server, and to how many."""
        return f"{self.smtp.host}, {len(self.to)} recipient(s)"

    def open(self, means: ChannelMeans) -> "EmailSender":
        """See `ChannelSettings.open`."""
        return EmailSender(self, means)


class EmailSender:
    """One connection for each mail: alerts are rare, and servers end idle connections.

    The host is the operator's own and may be a private one.
    """

    per_minute: int | None = None

    def __init__(self, channel: EmailChannel, means: ChannelMeans, timeout_s: float = SMTP_TIMEOUT_S) -> None:
        self._channel = channel
        self._console_url = means.console_url
        self._clock = means.clock
        self._timeout_s = timeout_s

    def send(self, notice: Notice) -> Answer:
        """Delivered once the server has accepted it for at least one recipient."""
        return submit(self.message(notice), self._channel.smtp, self._channel.sender, self._channel.to, self._timeout_s)

    def close(self) -> None:
        """There is nothing to close."""

    def message(self, notice: Notice) -> EmailMessage:
        """The mail; its Message-ID is the same on every try. Nothing of an alert can add a header: each is one line."""
        message = EmailMessage(policy=SMTP)
        domain = self._channel.sender.rpartition("@")[2]
        message["From"] = mail_address(self._channel.sender)
        message["To"] = [mail_address(recipient) for recipient in self._channel.to]
        message["Subject"] = subject_of(notice)
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{notice.notice_id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text_of(notice, self._console_url))
        return message
