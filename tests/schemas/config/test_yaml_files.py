"""YAML that people write holds no aliases, whichever file it is: nine lines of them stand for a billion entries."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.config.retention import read_retention_policy
from schemas.config.risk import read_risk_rules
from schemas.config.roles import load_roles, load_users
from schemas.config.rule_pack import load_rule_packs
from schemas.config.score_form import read_score_form
from schemas.config.subscription import subscriber_names
from schemas.config.yaml_files import load_yaml
from schemas.errors import OperatorError
from streams.adapters.channels import read_subscriptions

BOMB = (
    "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    + "subscriptions: []\nusers: []\n"
)
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(read_subscriptions, id="subscriptions"),
        pytest.param(lambda file: load_users(file, load_roles()), id="users"),
        pytest.param(lambda file: load_rule_packs([file.parent]), id="rule packs"),
        pytest.param(read_score_form, id="score form"),
        pytest.param(read_risk_rules, id="risk"),
        pytest.param(read_retention_policy, id="retention"),
    ],
)
@pytest.mark.parametrize("text", [BOMB, "subscriptions: &a []\nusers: *a\n"], ids=["bomb", "one alias"])
def test_a_file_with_aliases_is_refused(text: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    file = tmp_path / "written.yaml"
    file.write_text(text)
    with pytest.raises(OperatorError, match="aliases are not read"):
        read(file)


def test_names_of_subscribers_are_not_looked_for_in_a_file_with_aliases(tmp_path: Path) -> None:
    file = tmp_path / "written.yaml"
    file.write_text("subscriptions: &a [{name: ops}]\nagain: *a\n")
    assert subscriber_names(file) == ()


def test_no_file_is_read_by_a_reader_that_follows_aliases() -> None:
    for file in (file for folder in ("streams", "processors", "schemas") for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert not ast.unparse(node.func).startswith(("yaml.safe_load", "yaml.load", "yaml.full_load")), file


def test_what_has_no_aliases_is_read_as_it_is() -> None:
    assert load_yaml("a: [1, 退款]\nb:\n") == {"a": [1, "退款"], "b": None}
    assert load_yaml("") is None
