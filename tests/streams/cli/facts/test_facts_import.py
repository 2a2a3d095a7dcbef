"""`callstream facts import`: tables of other systems become messages; a wrong row is named and holds up no other."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from processors.custody.customer_keys import CustomerKeys
from schemas.messages.fact_received import FactReceived
from schemas.messages.topics import FACTS_RECEIVED
from streams.adapters.kafka.client import TopicReader, apply_topics
from streams.cli.console.exit_codes import EXIT_PROBLEM
from tests.streams.cli.terminal import Finished, Terminal
from tests.support.brokers import running_broker
from tests.support.postgresql_server import PostgresqlServer

SECRET = "a secret that is long enough"
HEAD = "订单号,状态,更新时间,承诺送达,联系电话"
GOOD = (
    "SO1,配送中,2026/3/1 9:05,2026-03-02 18:00,13800138000",
    "SO2,,2026-03-01T10:00:00Z,,",
    'SO3,"已签收,\n本人",2026-03-04,2026-03-03,',
)
ORDERS = ("--entity", "order", "--key", "订单号", "--valid-from", "更新时间", "--tenant", "acme", "--source", "orders")
FIELDS = ("--column", "状态=status", "--column", "承诺送达=promised_at", "--column", "联系电话")


def written(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    file = folder / "orders.csv"
    file.write_bytes("\r\n".join((HEAD, *lines)).encode(encoding))
    return file


def imported(
    terminal: Terminal, folder: Path, *arguments: object, stdin: str = "", times: int = 1
) -> list[FactReceived]:
    """What stands in the topic after the command has run so often."""
    with running_broker("tansu", folder) as settings:
        apply_topics(settings)
        terminal.set(kafka_bootstrap=settings.kafka_bootstrap, kafka_flavour="tansu", customer_key_secret=SECRET)
        for _ in range(times):
            done = terminal.run("facts", "import", *map(str, arguments), stdin=stdin)
            assert done.code in (0, EXIT_PROBLEM), done.err
        reader = TopicReader(settings, FACTS_RECEIVED.name)
        records = []
        while not reader.is_at_end:
            records += reader.read(10, 1)
        reader.close()
    assert all(len(record.key or b"") == 64 for record in records), "what a key is made of may be personal"
    return [FACTS_RECEIVED.read(record) for record in records]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_file_is_read_in_the_encodings_of_this_country(encoding: str, terminal: Terminal) -> None:
    file = written(terminal.folder, *GOOD, encoding=encoding)
    done = terminal.run("facts", "import", str(file), *ORDERS, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert "read 3 fact(s) of order, the newest valid from 2026-03-04T02" not in done.out
    assert "read 3 fact(s) of order, the newest valid from 2026-03-03T16:00:00+00:00" in done.out


@pytest.mark.embedded
def test_good_rows_are_published_however_often_and_wrong_ones_named(terminal: Terminal) -> None:
    file = written(terminal.folder, *GOOD, ",x,2026-03-01,,", "SO4,x,昨天,,", "SO5,x", f"SO6,{'长' * 300},2026-03-01,,")
    dry = terminal.run("facts", "import", str(file), *ORDERS, *FIELDS, "--dry-run")
    assert dry.code == EXIT_PROBLEM
    assert dry.err.splitlines() == [
        "line 6: 订单号: is empty",
        "line 7: 更新时间: is not a time, such as 2026-03-02 10:15:00",
        "line 8: has 2 cells where there are 5 columns",
        "line 9: 状态: has more than 256 letters",
        "left out 4 row(s)",
    ]
    facts = imported(terminal, terminal.folder, file, *ORDERS, *FIELDS, times=2)
    facts.sort(key=lambda fact: fact.key)
    assert facts[::2] == facts[1::2]
    assert [(fact.key, fact.valid_from.isoformat(), fact.fields) for fact in facts[::2]] == [
        (
            "SO1",
            "2026-03-01T01:05:00+00:00",
            {"status": "配送中", "promised_at": "2026-03-02 18:00", "联系电话": "[手机号]"},
        ),
        ("SO2", "2026-03-01T10:00:00+00:00", {}),
        ("SO3", "2026-03-03T16:00:00+00:00", {"status": "已签收,\n本人", "promised_at": "2026-03-03"}),
    ]
    assert {(fact.tenant_id, fact.entity, fact.source) for fact in facts} == {("acme", "order", "orders")}


MAKE = (
    "CREATE TABLE credit (phone VARCHAR(20), band VARCHAR(5), amount NUMERIC(10, 2), reviewed DATE, changed TIMESTAMP)",
    "INSERT INTO credit VALUES ('13800138000', 'B', 1200.50, '2026-03-02', '2026-03-02 09:30:00')",
    "INSERT INTO credit VALUES ('13900139000', 'A', NULL, NULL, '2026-03-05 09:30:00')",
    "INSERT INTO credit VALUES ('none', 'A', 1, NULL, '2026-03-06 09:30:00')",
)
ASK = "SELECT phone, band, amount, reviewed, changed FROM credit WHERE changed >= :since ORDER BY changed"
CREDIT = ("--entity", "credit", "--key", "phone", "--valid-from", "changed", "--key-is-phone", "--tenant", "acme")


def asked(terminal: Terminal, url: str, *further: str) -> Finished:
    return terminal.run("facts", "import", "--from-database", "-", "--query", ASK, *CREDIT, *further, stdin=f"{url}\n")


@pytest.mark.embedded
def test_a_database_is_asked_for_what_is_new(terminal: Terminal) -> None:
    url = f"sqlite:///{terminal.folder}/credit.db"
    _make(url)
    arguments = ("--from-database", "-", "--query", ASK, *CREDIT, "--since", "2026-03-02")
    facts = imported(terminal, terminal.folder, *arguments, stdin=f"{url}\n")
    keys = CustomerKeys(1, {1: SECRET})
    bands = {keys.of("acme", number): band for number, band in (("13800138000", "B"), ("13900139000", "A"))}
    assert {fact.key: fact.fields["band"] for fact in facts} == bands
    done = asked(terminal, url, "--since", "2026-03-03", "--dry-run")
    assert done.err.splitlines() == ["row 2: phone: is not a phone number", "left out 1 row(s)"]
    assert "read 1 fact(s) of credit" in done.out


@pytest.mark.postgresql
def test_postgresql_is_asked_for_what_is_new_and_not_changed(terminal: Terminal, postgresql: PostgresqlServer) -> None:
    url = postgresql.new_database()
    _make(url, "CREATE SEQUENCE visits")
    terminal.set(customer_key_secret=SECRET)
    done = asked(terminal, url, "--since", "2026-03-02", "--dry-run")
    assert "read 2 fact(s) of credit, the newest valid from 2026-03-05T01:30:00+00:00" in done.out
    changing = ("--query", "SELECT CAST(nextval('visits') AS text) AS phone, now() AS changed, 1 AS band")
    refused = terminal.run("facts", "import", "--from-database", "-", *changing, *CREDIT, "--dry-run", stdin=f"{url}\n")
    assert refused.code == EXIT_PROBLEM
    assert "read-only transaction" in refused.err
    password = url.split(":")[2].split("@")[0]
    gone = asked(terminal, url.replace(password, "wrong-secret"), "--since", "2026-03-02", "--dry-run")
    assert gone.code == EXIT_PROBLEM
    assert "wrong-secret" not in gone.err + gone.out


def _make(url: str, *further: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (*MAKE, *further):
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("no address", "none of SQLAlchemy", id="none"),
        pytest.param("mysql+nothing://u:geheim@db/x", "is not installed", id="a driver that is not there"),
        pytest.param("sqlite:////nowhere/x.db?key=geheim", "unable to open", id="a file that is not there"),
        pytest.param(
            "postgresql+pg8000://u:geheim@127.0.0.1:1/x",
            "postgresql+pg8000://u:***@",
            id="nobody answers",
            marks=pytest.mark.loopback,
        ),
    ],
)
def test_an_address_that_does_not_work_is_named_without_its_password(url: str, said: str, terminal: Terminal) -> None:
    terminal.set(customer_key_secret=SECRET)
    done = asked(terminal, url, "--since", "2026-03-02", "--dry-run")
    assert done.code == EXIT_PROBLEM
    assert said in done.err
    assert "geheim" not in done.err + done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(
            (*ORDERS, "--key", "order_id"), "there is no column order_id: there are 订单号", id="no such column"
        ),
        pytest.param((*ORDERS, "--entity", "Order"), "small letters", id="no such entity"),
        pytest.param(
            (*ORDERS, "--as-of", "2026-03-01"), "either the column --valid-from or one time --as-of", id="two"
        ),
        pytest.param((*ORDERS, "--query", "SELECT 1"), "a file is not asked", id="a query of a file"),
        pytest.param((*ORDERS, "--encoding", "klingon"), "no encoding", id="no encoding"),
        pytest.param((*ORDERS, "--encoding", "ascii"), "name its --encoding", id="another encoding"),
    ],
)
def test_what_is_missing_is_said(arguments: tuple[str, ...], said: str, terminal: Terminal) -> None:
    done = terminal.run("facts", "import", str(written(terminal.folder, *GOOD)), *arguments, "--dry-run")
    assert done.code != 0
    assert said in " ".join(done.err.split())
