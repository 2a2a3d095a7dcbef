"""Names that nobody asked for are found by what stands around them; ordinary words are not taken for names."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from processors.pii.learned_names import NameWeightsError, commonness, load_names
from processors.pii.masking import MaskSettings, mask
from processors.pii.match import fold
from processors.pii.name_letters import TEMPLATES, call_letters, hashes, weight_places
from processors.pii.words_like_names import least_probability
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


@pytest.mark.parametrize(
    ("heard", "text", "name"),
    [
        ("几点来接孩子", "我走不开，让建国来接", "建国"),
        ("请问您是哪位", "我是古丽娜尔的妹妹", "古丽娜尔"),
        ("收件人叫什么", "扎西次仁，西藏的", "扎西次仁"),
    ],
)
def test_a_name_without_a_surname_is_found(heard: str, text: str, name: str) -> None:
    assert name in found(("agent", heard), ("customer", text))[1]


@pytest.mark.parametrize(
    "text",
    [
        "我买的沙发什么时候送",
        "相机镜头有划痕我要换",
        "乌鲁木齐几天能到",
        "阿莫西林饭前吃还是饭后吃",
        "金额不对，客服也没给我解释",
        "特斯拉能不能做四轮定位",
    ],
)
def test_things_places_and_medicines_are_no_names(text: str) -> None:
    assert found(("agent", "您好请讲"), ("customer", text)) == [[], []]


def test_matches_lie_apart_in_their_text() -> None:
    text = fold("张王李赵陈建国王建国欧阳文静")
    (matches,) = READER.find([("customer", text)])
    assert matches
    assert all(one.end <= other.start for one, other in pairwise(matches))
    assert all(0 <= one.start < one.end <= len(text) for one in matches)


def test_letters_are_seen_at_their_places() -> None:
    letters = call_letters(["ab", "", "王\U0001f600"], ["", "", "您的名字"])
    codes = [
        letters.codes[start : start + length] for start, length in zip(letters.starts, letters.lengths, strict=True)
    ]
    assert [each.tolist() for each in codes] == [[ord("a"), ord("b")], [], [ord("王"), 0xFFFF]]
    seen = weight_places(hashes(letters, READER.speech))
    assert seen.shape == (len(letters.codes), TEMPLATES)
    assert seen.max() < len(READER.weights)
    assert letters.asked[letters.starts[2]] > letters.asked[letters.starts[0]]


@pytest.mark.parametrize(
    ("text", "part", "least"),
    [
        ("我在乌鲁木齐", "鲁木齐", 0.9),
        ("特斯拉的", "特斯拉", 0.9),
        ("沙发相机", "发相", 0.5),
        ("戴森林的", "戴森林", 0),
        ("李建国家", "李建国", 0),
    ],
)
def test_letters_that_may_be_words_have_to_be_surer_names(text: str, part: str, least: float) -> None:
    start = text.index(part)
    assert least_probability(text, start, start + len(part)) == least


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
