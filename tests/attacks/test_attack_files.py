"""Attacks by a YAML file that somebody was given: values that stand for more than they look like, or for none."""

from pathlib import Path

import pytest
import yaml

from schemas.config.rule_pack import RulePackError, load_rule_packs
from schemas.config.yaml_files import load_yaml
from tests.streams.runtime.published_rules import pack_text

REFUSED = {
    "a text that stands for itself again": "a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 1_000) + "]\n",
    "a key that is taken from elsewhere": "a: &a b\n*a : c\n",
    "a mapping that is merged": "a: &a {x: 1}\nb: {<<: *a}\n",
    "a list that holds itself": "&a [*a]\n",
    "a call of Python": "a: !!python/object/apply:os.system [x]\n",
    "a call under another name": "%TAG ! tag:yaml.org,2002:python/\n---\na: !name:os.system\n",
    "a second document": "a: 1\n---\nb: 2\n",
    "a key that stands twice, quoted": 'a: 1\n"a": 2\n',
    "brackets": "[" * 200_000,
    "a day that does not exist": "a: 2026-02-30\n",
    "a zone of a hundred hours": "a: 2001-12-14T21:59:43-99:00\n",
    "a number of a hundred thousand digits": "a: " + "9" * 100_000 + "\n",
    "a number in sixties": "a: " + ":".join(["59"] * 500_000) + "\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_yaml_could_make_of_a_file_is_refused(text: str) -> None:
    with pytest.raises((yaml.YAMLError, RecursionError)):
        load_yaml(text)


def test_a_day_that_does_not_exist_is_said_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(pack_text() + "    valid_from: 2026-02-30\n", encoding="utf-8")
    with pytest.raises(RulePackError, match=r"desk\.yaml:1: a day, a time or a number in it cannot be"):
        load_rule_packs((tmp_path,))
