"""Mail to people, by SMTP."""

import os
import re
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import certifi
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from processors.alerts.delivery_queue import Answer, AttemptResult
from processors.alerts.rendering import Notice, subject_of, text_of
from schemas.config.subscription import Secret
from schemas.messages.message import Record
from streams.adapters.channels.channel import ChannelMeans, ChannelSettings

SMTP_TIMEOUT_S = 20.0


def _is_mailbox(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?", text):
        raise PydanticCustomError("mailbox", "must be an address such as name@example.com")
    return text


MailAddress = Annotated[str, AfterValidator(_is_mailbox)]


class SmtpServer(Record):
    """The mail server."""

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")
    port: int = Field(default=587, ge=1, le=65_535)
    tls: Literal["starttls", "ssl", "none"] = "starttls"
    ca_file: Path | None = None
    user: str = ""
    password: Secret = SecretStr("")

    @model_validator(mode="after")
    def _keeps_the_password_private(self) -> Self:
        if self.tls == "none" and self.password.get_secret_value():
            raise PydanticCustomError("password_in_clear", "a password needs tls starttls or ssl")
        return self


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
        message = self.message(notice)
        try:
            with self._connected() as server:
                refused = server.send_message(message, self._channel.sender, list(self._channel.to))
        except smtplib.SMTPAuthenticationError as error:
            # For a person to mend; the alert is all right.
            return Answer("later", status_code=error.smtp_code, error_class=type(error).__name__)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            return Answer(_result_of_code(min(codes)), status_code=min(codes), error_class=type(error).__name__)
        except smtplib.SMTPResponseException as error:
            is_about_this_mail = isinstance(error, smtplib.SMTPDataError)
            verdict = _result_of_code(error.smtp_code) if is_about_this_mail else "later"
            return Answer(verdict, status_code=error.smtp_code, error_class=type(error).__name__)
        except (OSError, smtplib.SMTPException) as error:
            return Answer("later", error_class=type(error).__name__)
        return Answer("accepted", status_code=250, error_class="SomeRecipientsRefused" if refused else None)

    def close(self) -> None:
        """There is nothing to close."""

    def message(self, notice: Notice) -> EmailMessage:
        """The mail; its Message-ID is the same on every try. Nothing of an alert can add a header: each is one line."""
        message = EmailMessage(policy=SMTP)
        domain = self._channel.sender.rpartition("@")[2]
        message["From"] = _address(self._channel.sender)
        message["To"] = [_address(recipient) for recipient in self._channel.to]
        message["Subject"] = subject_of(notice)
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = f"<{notice.notice_id}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text_of(notice, self._console_url))
        return message

    def _connected(self) -> smtplib.SMTP:
        server = self._channel.smtp
        if server.tls == "ssl":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout_s, context=_context(server)
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
        try:
            if server.tls == "starttls":
                connection.starttls(context=_context(server))
            if server.user:
                connection.login(server.user, server.password.get_secret_value())
        except BaseException:
            connection.close()
            raise
        return connection


def _address(mailbox: str) -> Address:
    user, _, domain = mailbox.rpartition("@")
    return Address(username=user, domain=domain)


def _context(server: SmtpServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where()))


def _result_of_code(code: int) -> AttemptResult:
    return "refused" if 500 <= code < 600 else "later"
