"""What callstream lets a role do, in the file of roles: what fits, and what is said of what does not."""

from pathlib import Path

import pytest
import yaml

from schemas.clickhouse.views import load_views
from schemas.config.roles import ACTIONS, ROLES_FILE, RolesFileError, load_roles
from streams.cli.roles.show import action_table
from streams.queries.parquet_export import TEXT_COLUMNS
from tests.support.cases import every_case
from tests.support.clickhouse_columns import columns_of_view

ROLES = load_roles()


def test_the_page_has_the_table_that_the_file_makes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "people.md").read_text(encoding="utf-8")
    assert action_table(ROLES) in page, "put there what `callstream roles show --actions` prints"


def test_the_views_with_text_are_those_that_an_export_leaves_text_out_of() -> None:
    """Views that count texts, and give none, have none of these columns."""
    with_text = {name for name in load_views() if name in ROLES.views and TEXT_COLUMNS & columns_of_view(name).keys()}
    of_parameters = {"search_text"}  # its columns have no comments
    assert {name for name, view in ROLES.views.items() if view.text} == with_text | of_parameters


def changed(**changes: object) -> str:
    content = yaml.safe_load(ROLES_FILE.read_text(encoding="utf-8"))
    for path, value in changes.items():
        at = content
        *way, last = path.split("__")
        for name in way:
            at = at[name]
        at[last] = value
    return yaml.safe_dump(content, allow_unicode=True)


def test_a_file_that_grants_what_it_must_not_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "roles.yaml"
    one = {"purpose": "", "purpose_zh": "", "rows": "tenant"}
    with every_case() as cases:
        for name, change, sentence in (
            ("an action that is none", {"roles__agent__actions": ["see_all"]}, "actions"),
            ("an action twice", {"roles__agent__actions": ["see_text", "listen", "listen"]}, "twice"),
            (
                "text for a role that may see none",
                {"roles__agent__actions": ["listen"]},
                "view findings has text, and agent may not see_text",
            ),
            ("actions for the workers", {"roles__admin__actions": ["export"]}, "for people"),
            (
                "a role of both kinds",
                {"register_roles__agent": {**one, "actions": ["listen"]}},
                "agent stands in roles",
            ),
            ("a role for nothing", {"register_roles__idle": {**one, "actions": []}}, "actions"),
            ("a role for everything", {"register_roles__king": {**one, "rows": "all", "actions": ["hold"]}}, "rows"),
            (
                "columns that there are not",
                {"register_roles__more": {**one, "actions": ["hold"], "fields": ["secrets"]}},
                "no group of columns secrets",
            ),
            (
                "an action twice, without ClickHouse",
                {"register_roles__more": {**one, "actions": ["hold", "hold"]}},
                "twice",
            ),
        ):
            file.write_text(changed(**change), encoding="utf-8")
            with cases.case(name), pytest.raises(RolesFileError, match=sentence):
                load_roles(file)
    file.write_text(changed(), encoding="utf-8")
    assert load_roles(file).of_people == ROLES.of_people


def test_every_action_is_granted_to_somebody_and_nobody_has_all() -> None:
    granted = [role.actions for role in ROLES.of_people.values()]
    assert frozenset().union(*granted) == set(ACTIONS)
    assert all(len(actions) < len(ACTIONS) / 2 + 1 for actions in granted)


def test_a_role_without_clickhouse_has_no_grants_there() -> None:
    assert not set(ROLES.register_roles) & set(ROLES.roles)
    assert ROLES.of_people["administrator"].fields == frozenset()
    assert ROLES.of_people["inspector"].fields == {"facts", "customer", "suspicion", "pseudonym"}
