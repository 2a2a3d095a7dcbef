"""`callstream verdicts import`: good rows are published, wrong ones named by line and reason."""

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from processors.detectors.base.findings import finding_id
from processors.reading.call_reader import KINDS
from schemas.messages.topics import VERDICTS_GIVEN
from streams.adapters.kafka.client import TopicReader, apply_topics
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.verdicts.csv_file import ReadVerdicts, VerdictFileError, read_verdicts
from tests.processors.rules.rule_packs import called
from tests.streams.cli.terminal import Terminal
from tests.support.brokers import running_broker

HEADER = (
    "tenant_id,call_id,about,answer,given_by,given_at,"
    "finding_id,detector,rule_id,rule_version,kind,quote,segment_id,note"
)
CALL = "acme,c1,call,yes,qa_1,2026-03-05T09:12:00+08:00,,,,,,,,"
FINDING_ID = "0c0b3f0e-6a0e-5a43-8d3c-0d8f0f5a3b11"
FINDING = f"acme,c1,,no,qa_1,2026-03-05T09:13:00+08:00,{FINDING_ID},reading,suspected_rude,3f9a,,,,转接了"
MISSED = "acme,c1,,yes,qa_1,2026-03-05 09:14,,,,,shirking,您找快递去,12,"


def shanghai(_tenant: str) -> tzinfo:
    return ZoneInfo("Asia/Shanghai")


def read(folder: Path, *rows: str, header: str = HEADER, **defaults: str | None) -> ReadVerdicts:
    file = folder / "verdicts.csv"
    file.write_text("\n".join([header, *rows]), encoding="utf-8-sig")
    return read_verdicts(file, shanghai, defaults)


def test_what_a_row_is_about_follows_from_what_it_has(tmp_path: Path) -> None:
    found = read(tmp_path, CALL, FINDING, "", MISSED)
    assert found.problems == ()
    assert [(each.about, each.answer) for each in found.verdicts] == [
        ("call", "yes"),
        ("finding", "no"),
        ("missed", "yes"),
    ]
    assert found.verdicts[1].note == "转接了"
    assert found.verdicts[2].given_at == datetime(2026, 3, 5, 1, 14, tzinfo=UTC), "on the tenant's clock"
    assert found.verdicts[2].segment_id == 12


def test_the_same_file_again_gives_the_same_messages(tmp_path: Path) -> None:
    first, second = (read(tmp_path, CALL, FINDING, MISSED).verdicts for _ in range(2))
    assert [VERDICTS_GIVEN.record(each) for each in first] == [VERDICTS_GIVEN.record(each) for each in second]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(CALL.replace("yes", "vielleicht"), "(yes, no or withdrawn)", id="no such answer"),
        pytest.param(CALL.replace("2026-03-05T09:12:00+08:00", "gestern"), "given_at", id="no time"),
        pytest.param(CALL.replace("2026", "2096"), "given_at: datetime_in_the_future", id="not yet given"),
        pytest.param(
            CALL.replace("c1", "138 0013 8000"),
            "mismatch (a letter or digit, then",
            id="no id of a call",
        ),
        pytest.param(FINDING.replace("suspected_rude", ""), "names_another_thing", id="a finding without its rule"),
        pytest.param(FINDING.replace("c1,,", "c1,call,"), "(of a finding finding_id, ", id="two things"),
        pytest.param(MISSED.replace("yes", "no"), "missed_and_not", id="missed, and not there"),
        pytest.param(MISSED.replace(",12,", ",zwölf,"), "segment_id: int_type (a whole number)", id="no segment"),
        pytest.param(MISSED.replace("shirking", "nonsense_kind"), "kind: no kind of violation (false_", id="no kind"),
        pytest.param(FINDING.replace(FINDING_ID, "not-a-uuid"), "finding_id: no id of a finding (", id="no finding"),
        pytest.param(FINDING.replace(FINDING_ID, FINDING_ID.upper()), "finding_id: no id", id="large letters"),
        pytest.param(
            FINDING.replace(FINDING_ID, "00000000-0000-0000-0000-000000000000"), "finding_id: no id", id="zeros"
        ),
        pytest.param(MISSED.replace("yes", ""), "answer: missing", id="a quote, and the answer was forgotten"),
        pytest.param("acme,c1", "2 cells, and the first line has 14", id="a row that breaks off"),
        pytest.param(FINDING.replace("转接了", "很" * 501), "note: string_too_long", id="a note without end"),
    ],
)
def test_a_wrong_row_is_named_and_holds_up_no_other(row: str, reason: str, tmp_path: Path) -> None:
    found = read(tmp_path, CALL, row, MISSED)
    assert len(found.verdicts) == 2
    (problem,) = found.problems
    assert problem.startswith("line 3: ")
    assert reason in problem
    assert not any(value in problem for value in ("vielleicht", "nonsense", "not-a-uuid"))
    assert "138" not in problem


def test_a_finding_has_an_id_that_the_detectors_give_and_is_taken(tmp_path: Path) -> None:
    given = finding_id(called(("agent", "您好"), call_id="c1"), "reading", "suspected_rude", "3f9a", None)
    found = read(tmp_path, FINDING.replace(FINDING_ID, given))
    assert (found.problems, [each.finding_id for each in found.verdicts]) == ((), [given])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_violation_may_be_missed(kind: str, tmp_path: Path) -> None:
    found = read(tmp_path, MISSED.replace("shirking", kind))
    assert (found.problems, [each.kind for each in found.verdicts]) == ((), [kind])


def test_what_was_given_about_nothing_can_be_withdrawn(tmp_path: Path) -> None:
    rows = MISSED.replace("shirking", "nonsense_kind"), FINDING.replace(FINDING_ID, "f-1").replace(",no,", ",yes,")
    found = read(tmp_path, *(row.replace(",yes,", ",withdrawn,") for row in rows))
    assert (found.problems, [each.answer for each in found.verdicts]) == ((), ["withdrawn", "withdrawn"])


def test_rows_without_an_answer_are_passed_over_and_counted(tmp_path: Path) -> None:
    """As in the sheet that docs/learning.md makes: the inspector and the time are empty, too."""
    sheet = "call_id,answer,given_by,given_at,finding_id,detector,rule_id,rule_version,start_ms,note"
    done = f"c1,no,qa_1,2026-03-05 09:13,{FINDING_ID},reading,suspected_rude,3f9a,1200,"
    empty = f"c2,,,,{FINDING_ID},reading,suspected_rude,3f9a,1500,"
    found = read(tmp_path, empty, done, empty, "c3, ,qa_1,,,,,,,问组长", header=sheet, tenant_id="acme")
    assert (found.problems, len(found.verdicts), found.unanswered) == ((), 1, 3)


def test_a_score_without_an_answer_is_not_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, f"{CALL.replace('yes', '')},86", header=f"{HEADER},score")
    assert found.unanswered == 0
    assert found.problems == ("line 2: answer: missing (must be there)",)


def test_a_line_is_counted_as_the_file_has_it_where_a_note_goes_over_several(tmp_path: Path) -> None:
    found = read(tmp_path, FINDING.replace("转接了", '"一\n二\n三"'), "acme,c1")
    assert found.problems[0].startswith("line 5: ")


def test_what_a_person_wrote_down_is_masked_before_it_is_sent(tmp_path: Path) -> None:
    (verdict,) = read(tmp_path, FINDING.replace("转接了", "客户手机13800138000")).verdicts
    assert verdict.note is not None
    assert "138001" not in verdict.note


def test_what_is_the_same_for_all_rows_needs_no_column(tmp_path: Path) -> None:
    found = read(tmp_path, "c1,yes,2026-03-05", header="call_id,answer,given_at", tenant_id="acme", given_by="qa_1")
    assert [(each.tenant_id, each.given_by) for each in found.verdicts] == [("acme", "qa_1")]


def test_whoever_scores_a_call_writes_the_score_beside_the_answer(tmp_path: Path) -> None:
    found = read(tmp_path, *(f"{CALL},{score}" for score in ("86", "0", "100", "72.5", "")), header=f"{HEADER},score")
    assert found.problems == ()
    assert [each.score for each in found.verdicts] == [86, 0, 100, 72.5, None]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(f"{CALL},101", "score: less_than_equal", id="more than all"),
        pytest.param(f"{CALL},-1", "score: greater_than_equal", id="less than nothing"),
        pytest.param(f"{CALL},nan", "score", id="no number that is one"),
        pytest.param(f"{CALL},86分", "score: float_type", id="not a number alone"),
        pytest.param(f"{FINDING},86", "names_another_thing", id="of a finding"),
        pytest.param(f"{MISSED},86", "names_another_thing", id="of what was missed"),
        pytest.param(f"{CALL.replace('yes', 'withdrawn')},86", "withdrawn_with_score", id="taken back and scored"),
    ],
)
def test_a_score_that_is_none_is_named_and_holds_up_no_other(row: str, reason: str, tmp_path: Path) -> None:
    found = read(tmp_path, f"{CALL},86", row, f"{CALL},87", header=f"{HEADER},score")
    assert [each.score for each in found.verdicts] == [86, 87]
    (problem,) = found.problems
    assert problem.startswith("line 3: ")
    assert reason in problem
    assert "86分" not in problem


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        pytest.param("call_id,answer,given_at,given_by", "no column tenant_id", id="whose calls"),
        pytest.param(f"{HEADER},王先生", "column 15 is none of tenant_id, call_id", id="a column that is not known"),
        pytest.param(f"{HEADER},note", "a column occurs twice", id="twice"),
        pytest.param(
            HEADER.replace(",", ";"), "columns are separated by ';': save it with commas", id="separated by semicolons"
        ),
        pytest.param(
            '"' + HEADER.replace(",", '";"') + '"', "columns are separated by ';'", id="by semicolons, in marks"
        ),
        pytest.param(
            HEADER.replace(",", "\t"), "columns are separated by tabs: save it with commas", id="separated by tabs"
        ),
    ],
)
def test_a_file_of_other_columns_is_refused_whole(header: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(VerdictFileError, match=sentence):
        read(tmp_path, CALL, header=header)


def test_a_file_that_excel_wrote_in_its_own_code_says_how_to_save_it(tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    file.write_bytes(f"{HEADER}\n{FINDING}".encode("gbk"))
    with pytest.raises(VerdictFileError, match="CSV UTF-8"):
        read_verdicts(file, shanghai)


@pytest.mark.embedded
def test_good_rows_are_published_and_the_command_tells_of_the_others(terminal: Terminal) -> None:
    (terminal.folder / "verdicts.csv").write_text(
        "\n".join([HEADER, CALL, "acme,c1", FINDING.replace(",no,", ",,"), MISSED]), encoding="utf-8"
    )
    with running_broker("tansu", terminal.folder) as settings:
        apply_topics(settings)
        terminal.set(kafka_bootstrap=settings.kafka_bootstrap, kafka_flavour="tansu")
        done = terminal.run("verdicts", "import", "verdicts.csv")
        reader = TopicReader(settings, VERDICTS_GIVEN.name)
        records = []
        while not reader.is_at_end:
            records += reader.read(10, 1)
        reader.close()
    assert done.code == EXIT_PROBLEM
    assert "published 2 verdict(s)\n1 row has no answer yet\n" in done.out
    assert "line 3: 2 cells" in done.err
    assert "left out 1 row(s)" in done.err
    assert sorted(VERDICTS_GIVEN.read(record).about for record in records) == ["call", "missed"]
