import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.config.rule_pack import RULE_PACK_FOLDER, RulePackError, load_rule_packs

FIELD = "sensitive_words house_word, field sensitive_words.0."

GOOD: dict[str, Any] = {
    "pack": "acme_finance",
    "industry": "finance",
    "language": "zh",
    "version": 1,
    "owner": "acme",
    "sensitive_words": [
        {
            "id": "house_word",
            "category": "forbidden_promise",
            "severity": "high",
            "score_delta": -10,
            "words": ["聚宝盆"],
            "advice": "说产品名",
            "match": ["我们的聚宝盆"],
            "no_match": ["没有聚宝盆"],
        }
    ],
}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is that of the base
        return True


def written(folder: Path, content: object, name: str = "acme.yaml") -> Path:
    """The folder, holding that content as a pack."""
    text = content if isinstance(content, str) else yaml.dump(content, Dumper=_Plain, allow_unicode=True)
    folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def changed(**rule: Any) -> dict[str, Any]:
    """The good pack with other fields in its rule."""
    return {**GOOD, "sensitive_words": [{**GOOD["sensitive_words"][0], **rule}]}


def test_a_folder_of_ones_own_is_read_besides_the_shipped_one(tmp_path: Path) -> None:
    packs = load_rule_packs([RULE_PACK_FOLDER, written(tmp_path, GOOD)])
    assert [pack.pack for pack in packs if pack.industry == "finance"] == ["acme_finance", "finance"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(changed(words=[]), FIELD + "words: ", id="no words"),
        pytest.param(
            changed(words=["好", ""]),
            FIELD + "words.1: ",
            id="an empty word",
        ),
        pytest.param(
            changed(words=["，。"]),
            FIELD + "words.0: ",
            id="a word of punctuation only",
        ),
        pytest.param(
            changed(words=["保证…"]),
            FIELD + "words.0: ",
            id="a gap at the end",
        ),
        pytest.param(
            changed(unless=["…"]),
            FIELD + "unless.0: ",
            id="an exception without letters",
        ),
        pytest.param(
            changed(severity="grave"),
            FIELD + "severity: ",
            id="unknown severity",
        ),
        pytest.param(changed(score_delta=5), FIELD + "score_delta: ", id="a reward"),
        pytest.param(
            changed(match=[]),
            FIELD + "match: ",
            id="no example that must match",
        ),
        pytest.param(
            changed(no_match=[]),
            FIELD + "no_match: ",
            id="no example that must not",
        ),
        pytest.param(changed(colour="red"), FIELD + "colour: ", id="an unknown field"),
        pytest.param({**GOOD, "sensitive_words": ["word"]}, "sensitive_words 1, ", id="a rule that is no mapping"),
        pytest.param({**GOOD, "version": 0}, "field version: ", id="version zero"),
        pytest.param(
            {**GOOD, "sensitive_words": [GOOD["sensitive_words"][0], {**GOOD["sensitive_words"][0]}]},
            "the id house_word stands twice",
            id="two rules of one id",
        ),
        pytest.param(["a list"], "must hold a mapping", id="no mapping"),
        pytest.param("pack: [", ":2: ", id="not YAML"),
        pytest.param("pack: a\npack: b\n", ":2: pack stands twice", id="a key twice"),
    ],
)
def test_a_wrong_pack_is_refused_with_file_line_rule_and_field(tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(RulePackError) as caught:
        load_rule_packs([written(tmp_path, content)])
    assert re.search(rf"{re.escape(str(tmp_path))}/acme\.yaml(:\d+)?: ", str(caught.value))
    assert says in str(caught.value)


def test_all_problems_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    written(tmp_path, changed(words=[], severity="grave"), "a.yaml")
    written(tmp_path, {**GOOD, "version": 0}, "b.yaml")
    with pytest.raises(RulePackError) as caught:
        load_rule_packs([tmp_path])
    assert [problem.removeprefix(f"{tmp_path}/").split(": ")[:2] for problem in caught.value.problems] == [
        ["a.yaml:14", FIELD + "severity"],
        ["a.yaml:15", FIELD + "words"],
        ["b.yaml:17", "field version"],
    ]


def test_two_files_of_one_pack_are_refused(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.yaml")
    written(tmp_path, GOOD, "b.yaml")
    with pytest.raises(RulePackError, match=r"b\.yaml: pack acme_finance is also in .*a\.yaml"):
        load_rule_packs([tmp_path])


def test_a_folder_without_packs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulePackError, match="holds no rule pack"):
        load_rule_packs([tmp_path / "missing"])


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("acme.yaml").write_bytes("pack: 保".encode("gbk"))
    with pytest.raises(RulePackError, match="cannot be read: UnicodeDecodeError"):
        load_rule_packs([tmp_path])
