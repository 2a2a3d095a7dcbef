"""Handing a mail to an SMTP server: what alerts and reports have in common."""

import os
import re
import smtplib
import ssl
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Literal, Self

import certifi
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from processors.alerts.delivery_queue import Answer, AttemptResult
from schemas.config.subscription import Secret
from schemas.messages.message import Record

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


def submit(
    message: EmailMessage, server: SmtpServer, sender: str, to: Sequence[str], timeout_s: float = SMTP_TIMEOUT_S
) -> Answer:
    """Delivered once the server has accepted it for at least one recipient. Raises for bugs only."""
    try:
        with _connected(server, timeout_s) as connection:
            refused = connection.send_message(message, sender, list(to))
    except smtplib.SMTPAuthenticationError as error:
        # For a person to mend; the mail is all right.
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


def mail_address(mailbox: str) -> Address:
    """As a header holds it."""
    user, _, domain = mailbox.rpartition("@")
    return Address(username=user, domain=domain)


def _connected(server: SmtpServer, timeout_s: float) -> smtplib.SMTP:
    if server.tls == "ssl":
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=timeout_s, context=_context(server)
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    try:
        if server.tls == "starttls":
            connection.starttls(context=_context(server))
        if server.user:
            connection.login(server.user, server.password.get_secret_value())
    except BaseException:
        connection.close()
        raise
    return connection


def _context(server: SmtpServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where()))


def _result_of_code(code: int) -> AttemptResult:
    return "refused" if 500 <= code < 600 else "later"
