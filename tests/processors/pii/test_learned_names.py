"""Names that nobody asked for are found by what stands around them; ordinary words are not taken for names."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from processors.pii.learned_names import NameWeightsError, candidates, commonness, load_names
from processors.pii.masking import MaskSettings, mask
from processors.pii.match import fold
from schemas.messages.call_ended import Role
from tests.processors.transcripts import said

READER = load_names()


def found(*lines: tuple[Role, str]) -> list[list[str]]:
    texts = [(role, fold(text)) for role, text in lines]
    return [
        [text[one.start : one.end] for one in matches]
        for (_, text), matches in zip(texts, READER.find(texts), strict=True)
    ]


@pytest.mark.parametrize(
    ("heard", "text", "name"),
    [
        ("您姓名和预约手机", "毕晓东，毕业的毕，拂晓的晓，手机幺三七", "毕晓东"),
        ("她叫什么", "她叫费桂芳，费用的费，桂花的桂", "费桂芳"),
        ("地址说一下", "东莞市长安镇锦厦社区，二十二号，收件人麦国强", "麦国强"),
        ("联系人怎么称呼", "我姓龚，龚建斌，建设的建", "龚建斌"),
    ],
)
def test_a_name_is_found(heard: str, text: str, name: str) -> None:
    assert name in found(("agent", heard), ("customer", text))[1]


@pytest.mark.parametrize(
    "text",
    [
        "我很高兴啊，谢谢你们",
        "我想问一下这个包裹什么时候到",
        "你们那个黄色的还有没有",
        "周末有没有安排，方便吗",
        "这个费用怎么算的，于是我就打电话来了",
        "江苏省",
        "国庆节。",
    ],
)
def test_ordinary_words_are_no_names(text: str) -> None:
    assert found(("agent", "您好请讲"), ("customer", text)) == [[], []]


def test_it_is_masked_wherever_it_comes_again() -> None:
    call = said(("agent", "孩子叫什么"), ("customer", "叫缪思远，缪是荒谬的谬去掉言字旁"), ("agent", "缪思远同学对吧"))
    texts = [segment.text for segment in mask(call.segments, MaskSettings()).segments]
    assert not any("缪思远" in text for text in texts)


def test_matches_lie_apart_and_are_those_of_candidates() -> None:
    text = fold("张王李赵陈建国王建国欧阳文静")
    (matches,) = READER.find([("customer", text)])
    assert all(one.end <= other.start for one, other in pairwise(matches))
    places = {(one.start, one.end) for one in candidates(text)}
    assert {(one.start, one.end) for one in matches} <= places


@pytest.mark.parametrize("text", ["", "abc 123", "王", "，。", "\U0001f600王\U0001f600"])
def test_where_there_is_no_candidate_nothing_is_found(text: str) -> None:
    assert READER.find([("unknown", text)]) == [[]]


def test_how_common_something_is_grows_by_doublings_to_an_end() -> None:
    assert [commonness(count) for count in (0, 1, 2, 3, 7, 62, 63, 1_000_000)] == [0, 1, 1, 2, 3, 5, 6, 6]


def test_what_was_saved_finds_the_same(tmp_path: Path) -> None:
    READER.save(tmp_path / "names.npz")
    lines: list[tuple[Role, str]] = [("agent", "姓名"), ("customer", "邝志豪，左边广右边耳朵的邝")]
    assert load_names(tmp_path / "names.npz").find(lines) == READER.find(lines)


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "names.npz").write_bytes(content)
    with pytest.raises(NameWeightsError, match=r"names\.npz cannot be read"):
        load_names(tmp_path / "names.npz")


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "names.npz", about=np.array('{"format": 0}'))
    with pytest.raises(NameWeightsError, match="another version"):
        load_names(tmp_path / "names.npz")
