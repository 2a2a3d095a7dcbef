"""`callstream cdr`: lists of the exchange become messages; wrong and double rows are named and hold up nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from processors.custody.customer_keys import customer_key
from processors.telephony.cdr_rows import RowReader
from schemas.config.cdr_mapping import CdrMappingError, read_mapping, shipped_mappings
from schemas.messages.call_listed import CallListed
from schemas.messages.topics import CALLS_LISTED
from streams.adapters.kafka.client import TopicReader, apply_topics
from streams.cli.cdr.list_file import Counts, ListFileError, SeenCalls, read_list
from streams.cli.console.exit_codes import EXIT_PROBLEM
from tests.streams.cli.terminal import Terminal
from tests.support.brokers import running_broker

DATA = Path(__file__).parents[3] / "data" / "cdr"
LISTED_AT = datetime(2026, 3, 3, tzinfo=UTC)
SECRET = "a secret that is long enough"
FILES = {
    "freeswitch_csv": "freeswitch.csv",
    "freeswitch_json": "freeswitch.jsonl",
    "asterisk_csv": "asterisk.csv",
    "asterisk_table": "asterisk_table.csv",
}


def read(file: Path, mapping: str) -> tuple[list[CallListed], Counts]:
    counts = Counts()
    reader = RowReader(
        read_mapping(mapping),
        "acme",
        LISTED_AT,
        lambda _tenant: ZoneInfo("Asia/Shanghai"),
        lambda _tenant, number: customer_key(number, SECRET),
    )
    return list(read_list(file, reader, counts)), counts


def test_each_shipped_mapping_has_an_example_and_reads_it_without_a_problem() -> None:
    assert FILES.keys() == shipped_mappings().keys()
    for mapping, name in FILES.items():
        calls, counts = read(DATA / name, mapping)
        assert calls, mapping
        assert (counts.problems, counts.double) == ([], 0), mapping


def facts(calls: list[CallListed]) -> list[tuple[object, ...]]:
    return [
        (call.call_id[-5:], call.direction, call.handled_by, call.recorded, call.agent_id, call.queue) for call in calls
    ]


def test_freeswitch_writes_csv() -> None:
    calls, _ = read(DATA / "freeswitch.csv", "freeswitch_csv")
    assert facts(calls) == [
        ("f0001", "inbound", "human", True, "8001", None),
        ("f0002", "outbound", "human", True, "8002", None),
        ("f0003", "inbound", "human", False, "8001", None),
    ]
    assert [call.customer_key for call in calls] == [
        customer_key("13800138000", SECRET),
        customer_key("13900139000", SECRET),
        None,
    ]
    assert calls[1].ended_at == datetime(2026, 3, 2, 16, 1, 9, tzinfo=UTC), "over midnight in Shanghai"


def test_freeswitch_writes_json() -> None:
    calls, _ = read(DATA / "freeswitch.jsonl", "freeswitch_json")
    assert facts(calls) == [
        ("f0001", "inbound", "human", True, "8001", "售后"),
        ("f0004", "outbound", "bot", True, "bot-1", None),
    ]
    assert calls[0].customer_key == customer_key("13800138000", SECRET)
    assert calls[0].started_at == datetime(2026, 3, 2, 2, 15, tzinfo=UTC)


def test_asterisk_writes_a_row_for_each_agent_that_it_tried() -> None:
    calls, counts = read(DATA / "asterisk.csv", "asterisk_csv")
    assert facts(calls) == [
        ("700.1", "inbound", "human", False, "1001", None),
        ("700.1", "inbound", "human", True, "1002", None),
        ("400.4", "outbound", "human", True, "1003", None),
    ]
    assert (counts.calls, counts.further_rows) == (2, 1)


def test_the_same_call_of_both_exports_of_asterisk_is_the_same() -> None:
    of_file, of_table = (
        read(DATA / "asterisk.csv", "asterisk_csv")[0],
        read(DATA / "asterisk_table.csv", "asterisk_table")[0],
    )
    assert of_file[1].model_dump(exclude={"answered"}) == of_table[0].model_dump(exclude={"answered"})


def written(folder: Path, *lines: str, name: str = "list.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


GOOD = (DATA / "freeswitch.csv").read_text(encoding="utf-8").splitlines()


def test_wrong_and_double_rows_are_named_by_line_and_hold_up_no_other(tmp_path: Path) -> None:
    broken = GOOD[1].replace("2026-03-02 23:58:00", "soon")
    calls, counts = read(written(tmp_path, GOOD[0], broken, GOOD[0], '"a","b"', "", GOOD[2]), "freeswitch_csv")
    assert [call.call_id[-1] for call in calls] == ["1", "3"]
    assert counts.problems == [
        "line 2: started_at: is not a time as the mapping has it",
        "line 4: 2 cells in place of 15",
    ]
    assert counts.doubles == ["line 3: the same as line 1"]


def test_of_a_hundred_thousand_wrong_rows_fifty_are_named(tmp_path: Path) -> None:
    _, counts = read(written(tmp_path, *['"a","b"'] * 100_000), "freeswitch_csv")
    assert (len(counts.problems), counts.wrong) == (50, 100_000)


def test_a_name_in_another_encoding_does_not_cost_the_row(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(GOOD[0].replace("张三", "@").encode().replace(b"@", "张三".encode("gb18030")))
    assert len(read(file, "freeswitch_csv")[0]) == 1


JSON = (DATA / "freeswitch.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("text", "calls", "wrong"),
    [
        pytest.param(JSON[0], 1, 0, id="one object, as FreeSWITCH writes one file a call"),
        pytest.param("[" + ",".join(JSON) + ", 7]", 2, 1, id="a list in which not all are objects"),
        pytest.param("\n".join([JSON[0], "{", "[1]", "", JSON[1]]), 2, 2, id="lines of which some are no objects"),
        pytest.param("\ufeff" + JSON[0], 1, 0, id="with a byte order mark"),
        pytest.param(JSON[0].replace("}]}", "}]," + '"x":' + "[" * 100_000), None, 0, id="nested without end"),
        pytest.param("", None, 0, id="empty"),
    ],
)
def test_json_comes_as_lines_or_as_one_document(text: str, calls: int | None, wrong: int, tmp_path: Path) -> None:
    file = written(tmp_path, text, name="list.json")
    if calls is None:
        with pytest.raises(ListFileError, match="is no JSON"):
            read(file, "freeswitch_json")
        return
    found, counts = read(file, "freeswitch_json")
    assert (len(found), counts.wrong) == (calls, wrong)


def test_a_first_line_that_lacks_a_column_stops_the_file(tmp_path: Path) -> None:
    with pytest.raises(ListFileError, match="no column billsec, duration, uniqueid"):
        read(written(tmp_path, "src,dst,disposition", "1,2,ANSWERED"), "asterisk_table")


def test_calls_that_a_list_has_had_are_known_by_tenant_and_id() -> None:
    call = read(DATA / "freeswitch.csv", "freeswitch_csv")[0][0]
    with SeenCalls() as seen:
        assert seen.add(call, 1) is None
        assert seen.add(call, 2) == (True, 1)
        assert seen.add(call.model_copy(update={"recorded": False}), 3) == (False, 1)
        assert seen.add(call.model_copy(update={"tenant_id": "other"}), 4) is None


START = "version: 1\nname: own\nformat: csv\nfields:\n  call_id: id\n  started_at: s\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(START, "give ended_at or duration_s", id="no end"),
        pytest.param(START + "  ended_at: e\nrecorded_when: {t: {}}\n", "a condition has is", id="an empty condition"),
        pytest.param(START + "  ended_at: e\ncolumns: [id, s]\n", "columns lack e", id="a column that is not there"),
        pytest.param(START + "  ended_at: e\ntime_zone: Mars\n", "no time zone", id="no zone"),
        pytest.param(START + "  ended_at: e\ntime_format: soon\n", "time_format is", id="no format"),
        pytest.param(START + "  ended_at: {from: e, pattern: '('}\n", "no regular expression", id="no pattern"),
        pytest.param(START + "  ended_at: e\n  phone: p\n", "phone", id="a field that does not exist"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_its_reason(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CdrMappingError, match=problem):
        read_mapping(str(file))


def test_a_mapping_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(CdrMappingError, match="freeswitch_csv"):
        read_mapping("avaya")


def test_mappings_are_listed_and_printed(terminal: Terminal) -> None:
    assert "asterisk_csv" in terminal.run("cdr", "mappings").out
    printed = terminal.run("cdr", "mappings", "asterisk_csv").out
    assert printed == shipped_mappings()["asterisk_csv"]


def test_a_dry_run_needs_no_kafka(terminal: Terminal) -> None:
    done = terminal.run("cdr", "import", DATA / "freeswitch.csv", "--mapping", "freeswitch_csv", "--dry-run")
    assert (done.code, "read 3 call(s)" in done.out) == (0, True)


@pytest.mark.embedded
def test_a_list_is_published_once_however_often_it_is_imported(terminal: Terminal) -> None:
    file = written(terminal.folder, *GOOD, '"a","b"')
    os.utime(file, (LISTED_AT.timestamp(), LISTED_AT.timestamp()))
    with running_broker("tansu", terminal.folder) as settings:
        apply_topics(settings)
        terminal.set(kafka_bootstrap=settings.kafka_bootstrap, kafka_flavour="tansu", customer_key_secret=SECRET)
        for _ in range(2):
            done = terminal.run("cdr", "import", file, "--mapping", "freeswitch_csv", "--tenant", "acme")
            assert done.code == EXIT_PROBLEM
            assert "line 4: 2 cells in place of 15" in done.err
        reader = TopicReader(settings, CALLS_LISTED.name)
        records = []
        while not reader.is_at_end:
            records += reader.read(10, 1)
        reader.close()
    values = [record.value or b"" for record in records]
    assert len(values) == 6
    assert len(set(values)) == 3, "byte for byte the same"
    assert b"138" not in b"".join(values)
