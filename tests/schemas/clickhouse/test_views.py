"""Views as data: one a file, and an order in which they can be made."""

import re
from pathlib import Path

import pytest

from schemas.clickhouse.views import ViewFilesError, load_views
from streams.adapters.clickhouse.migrate import views_of
from streams.settings import Settings

VIEWS = views_of(Settings())


def written(folder: Path, **views: str) -> Path:
    for name, sql in views.items():
        (folder / f"{name}.sql").write_text(sql)
    return folder


def test_a_view_comes_after_those_that_it_reads() -> None:
    reads = 0
    names = list(VIEWS)
    for name, statement in VIEWS.items():
        for other in re.findall(r"\b(?:FROM|(?<!ARRAY )JOIN)\s+(\w+)(?![\w.])", statement):
            if other in VIEWS:
                reads += 1
                assert names.index(other) < names.index(name), f"{name} reads {other}: say `-- made after: {other}`"
    assert reads > 10


def test_every_view_reads_with_the_rights_of_who_made_it_and_says_what_it_is() -> None:
    for name, statement in VIEWS.items():
        assert len(re.findall(r"\bSQL SECURITY DEFINER\b", statement)) == 1, name
        assert re.search(r"^COMMENT '.+'$", statement, re.MULTILINE), name


def test_views_wait_for_those_they_name_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        a="-- made after: b, c\nCREATE OR REPLACE VIEW a AS SELECT 1;",
        b="-- Why.\n-- made after: c\nCREATE OR REPLACE VIEW b AS SELECT 1",
        c="CREATE OR REPLACE VIEW c AS SELECT 1;",
    )
    (folder / "README.md").write_text("no view")
    assert list(load_views(folder)) == ["c", "b", "a"]
    assert load_views(folder)["b"] == "CREATE OR REPLACE VIEW b AS SELECT 1"


@pytest.mark.parametrize(
    ("views", "sentence"),
    [
        pytest.param({"a": "CREATE OR REPLACE VIEW b AS SELECT 1"}, r"a\.sql must hold one", id="another name"),
        pytest.param({"a": "CREATE OR REPLACE VIEW ab AS SELECT 1"}, r"a\.sql must hold one", id="a longer name"),
        pytest.param({"a": "CREATE OR REPLACE VIEW a AS SELECT 1; SELECT 1"}, "must hold one", id="two statements"),
        pytest.param({"a": "CREATE VIEW a AS SELECT 1"}, "must hold one", id="made once only"),
        pytest.param({"a": "-- nothing"}, "must hold one", id="none"),
        pytest.param(
            {"a": "-- made after: b\nCREATE OR REPLACE VIEW a AS SELECT 1"}, "after b, of which", id="no file"
        ),
        pytest.param(
            {
                "a": "-- made after: b\nCREATE OR REPLACE VIEW a AS SELECT 1",
                "b": "-- made after: a\nCREATE OR REPLACE VIEW b AS SELECT 1",
            },
            "wait for each other: (a, b|b, a)",
            id="a circle",
        ),
    ],
)
def test_files_that_are_no_views_are_refused(views: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ViewFilesError, match=sentence):
        load_views(written(tmp_path, **views))
