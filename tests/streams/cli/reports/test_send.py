"""Reports to a real mail server, with figures from a real engine: once for each recipient, whatever happens."""

import csv
import io
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from PIL import Image

from streams.adapters.register.register import Register
from streams.embedded.ports import free_port
from tests.streams.cli.terminal import Terminal
from tests.support.access_log import register_of
from tests.support.clickhouse_engine import RunningEngine
from tests.support.kpi_store import Filled, filled_store
from tests.support.mailroom import Mailroom

pytestmark = [pytest.mark.embedded, pytest.mark.names]

TO = ("boss@example.com", "lead@example.com")


@pytest.fixture(scope="module")
def filled(engine: RunningEngine) -> Iterator[Filled]:
    with filled_store(engine, 600) as store:
        yield store


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def mailroom(port: int) -> Iterator[Mailroom]:
    room = Mailroom()
    controller = Controller(room, hostname="127.0.0.1", port=port)
    controller.start()
    yield room
    controller.stop()


@pytest.fixture
def register(terminal: Terminal) -> Iterator[Register]:
    register = register_of(terminal.folder / "data")
    yield register
    register.close()


@pytest.fixture
def there(
    filled: Filled,
    port: int,
    mailroom: Mailroom,  # noqa: ARG001 - it answers
    register: Register,  # noqa: ARG001 - made before
    terminal: Terminal,
) -> Terminal:
    terminal.file(
        "reports.yaml",
        f"""\
version: 1
smtp: {{host: 127.0.0.1, port: {port}, tls: none}}
from: qa@example.com
reports:
  - {{name: teams, tenant: acme, every: weekly, by: team, kpis: [sensitive_calls, duration], to: [{", ".join(TO)}]}}
""",
    )
    terminal.set(clickhouse_url=filled.url, reports_file=terminal.folder / "reports.yaml")
    return terminal


def states(there: Terminal) -> list[str]:
    return [row["state"] for row in there.run("reports", "list", "--json").json["reports"]]


def parts_of(message: EmailMessage) -> dict[str, list[EmailMessage]]:
    found: dict[str, list[EmailMessage]] = {}
    for part in message.walk():
        assert isinstance(part, EmailMessage)
        found.setdefault(part.get_content_type(), []).append(part)
    return found


def test_everybody_gets_a_mail_of_their_own_with_pictures_and_a_table_and_once(
    there: Terminal, mailroom: Mailroom
) -> None:
    assert states(there) == ["due", "due"]
    done = there.run("reports", "send")
    assert done.code == 0
    assert [recipients for _, recipients in mailroom.mails] == [[TO[0]], [TO[1]]]
    message, _ = mailroom.mails[0]
    assert message["Subject"].startswith("质检周报 acme 20")
    assert TO[1] not in message.as_string()
    parts = parts_of(message)
    (html,) = (part.get_content() for part in parts["text/html"])
    pictures = parts["image/png"]
    assert [f"cid:{picture['Content-ID'].strip('<>')}" in html for picture in pictures] == [True] * len(pictures)
    assert all(Image.open(io.BytesIO(picture.get_content())).size == (640, 200) for picture in pictures)
    assert "<th" in html
    (attached,) = parts["text/csv"]
    rows = list(csv.DictReader(io.StringIO(attached.get_content().removeprefix("\ufeff"))))
    shown = there.run("kpi", "--by", "team", "--tenant", "acme", "--kpi", "duration", *week_of(message), "--json").json
    assert {row["班组"]: row["样本量"] for row in rows if row["指标编号"] == "duration"} == {
        line["agent_team"] or "": str(line["n"]) for line in shown["kpis"]
    }
    assert (there.run("reports", "send").out, len(mailroom.mails), states(there)) == ("", 2, ["sent", "sent"])


def week_of(message: EmailMessage) -> list[str]:
    (text,) = (part.get_content() for part in parts_of(message)["text/plain"])
    first, last = text.splitlines()[1].split(" – ")
    return ["--from", first, "--to", last]


def test_what_is_not_taken_is_tried_again_and_what_is_refused_is_not(there: Terminal, mailroom: Mailroom) -> None:
    mailroom.answer_to_data = "451 later"
    done = there.run("reports", "send")
    assert (done.code, "later (451 SMTPDataError)" in done.out, states(there)) == (1, True, ["later", "later"])
    mailroom.answer_to_data, mailroom.refused_recipients = "250 taken", (TO[0],)
    assert there.run("reports", "send").code == 1
    assert states(there) == ["refused", "sent"]
    mailroom.refused_recipients = ()
    assert (there.run("reports", "send").code, len(mailroom.mails)) == (0, 1)


def test_figures_that_cannot_be_had_are_asked_for_again(there: Terminal, mailroom: Mailroom, filled: Filled) -> None:
    there.set(clickhouse_url=f"http://127.0.0.1:{free_port()}/none")
    assert there.run("reports", "send").code == 4
    assert states(there) == ["later", "later"]
    there.set(clickhouse_url=filled.url)
    assert (there.run("reports", "send").code, len(mailroom.mails)) == (0, 2)


def test_a_preview_is_the_mail_and_sends_nothing(there: Terminal, mailroom: Mailroom) -> None:
    done = there.run("reports", "preview", "teams", "--output", "report.eml")
    assert (done.code, mailroom.mails, states(there)) == (0, [], ["due", "due"])
    assert b"multipart/related" in Path(there.folder / "report.eml").read_bytes()
    assert "no report moon" in there.run("reports", "preview", "moon", "--output", "x.eml").err
