"""Numbers that are told in pieces, by their ends, in amounts, and with letters apart from the digits."""

import pytest

from processors.pii.masking import MaskSettings, mask
from tests.processors.transcripts import Line, said


def masked(*lines: Line) -> list[str]:
    return [segment.text for segment in mask(said(*lines).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        ("我那个号一百三十七，零六零六，八八二三", "一百三十七，零六零六，八八二三"),
        ("打一百五十九 四四三幺 二零零七 找他", "一百五十九 四四三幺 二零零七"),
        ("电话是么五八，三三零零，四么二六", "么五八，三三零零，四么二六"),
        ("电话是幺三六，双七零五，完了一个八，再俩零，三", "幺三六，双七零五，完了一个八，再俩零，三"),
        ("打座机吧，八三二零六六幺七转三零八", "八三二零六六幺七转三零八"),
    ],
)
def test_digits_said_as_amounts_pairs_and_single_ones_are_one_number(words: str, secret: str) -> None:
    (text,) = masked(("customer", words))
    assert secret[:3] not in text
    assert secret[-3:] not in text


@pytest.mark.parametrize(
    ("words", "secret"),
    [
        ("您留的是幺五二开头的那个吗", "幺五二"),
        ("打那个尾巴是三六的", "三六"),
        ("我的是八二零四尾，不是别的", "八二零四"),
        ("主卡结尾 七幺 对吗", "七幺"),
    ],
)
def test_the_ends_of_a_number_are_masked(words: str, secret: str) -> None:
    (text,) = masked(("agent", words))
    assert secret not in text


@pytest.mark.parametrize(
    "words",
    [
        "快递单尾数三六七二到了吗",
        "九五开头的都是银行客服",
        "密码别告诉人，零零开头的是国外打来的",
        "昨天量的是一百四十六、九十，有点高",
        "有没有尾数三个九的号，我想换一个好记的",
        "一百三十七块钱，二零二三年买的",
        "什么时候能好",
    ],
)
def test_ends_of_other_numbers_wishes_and_amounts_stay(words: str) -> None:
    assert masked(("customer", words)) == [words]


@pytest.mark.parametrize(
    "answer",
    ["E 打头，后面还有个 H，零三二，幺幺七五", "数字是六六零二幺八四，字母是E K", "一个G，然后幺二三四五六七八"],
)
def test_letters_of_a_passport_are_masked_apart_from_its_digits(answer: str) -> None:
    _, text = masked(("agent", "请报一下护照号码"), ("customer", answer))
    assert "[护照]" in text
    assert not any(letter.isascii() and letter.isalpha() for letter in text)


@pytest.mark.parametrize("answer", ["航班 ZH 九四六二 明天走", "坐的 T 二三六，靠窗的", "票号K三三零二七九"])
def test_numbers_of_journeys_are_no_passports(answer: str) -> None:
    assert masked(("agent", "请报一下护照号码"), ("customer", answer))[1] == answer


@pytest.mark.parametrize(
    ("question", "answer", "secret"),
    [
        ("您存折上头那一长串是多少", "零四三 幺幺零 二七五九", "零四三 幺幺零 二七五九"),
        ("您的学员编号报一下", "二零八三三四", "二零八三三四"),
        ("您的用户ID是多少", "b 四 k 二 九 零", "b 四 k 二 九 零"),
        ("您的查询码念一下", "Q 七 W 三 R", "Q 七 W 三 R"),
        ("系统给您的那条您念", "三五零，九九八", "三五零，九九八"),
        ("后面呢", "密保卡C二是六七零", "六七零"),
        ("他怎么说", "默认是qwe五五六", "qwe五五六"),
    ],
)
def test_what_people_call_accounts_codes_and_passwords(question: str, answer: str, secret: str) -> None:
    _, text = masked(("agent", question), ("customer", answer))
    assert secret not in text


def test_the_last_digits_of_a_code_are_masked_where_they_are_said_again() -> None:
    texts = masked(("agent", "验证码念一下"), ("customer", "三九零二七四"), ("agent", "零二七四，通过了"))
    assert texts[2] == "[验证码]，通过了"


def test_shelf_row_and_last_digits_of_a_parcel_are_what_it_is_fetched_with() -> None:
    assert masked(("agent", "您到店里报这个就行，七杠三杠四零二八")) == ["您到店里报这个就行，[验证码]"]


@pytest.mark.parametrize("answer", ["要伞武期四就", "期期事，幺林就"])
def test_digits_that_were_all_heard_as_words_are_found_where_they_were_asked_for(answer: str) -> None:
    assert masked(("agent", "验证码念一下"), ("customer", answer))[1] == "[验证码]"


def test_two_words_between_pauses_may_be_digits_of_a_number_that_was_asked_for() -> None:
    _, text = masked(("agent", "留个手机号"), ("customer", "幺七零，三三，林武，八二幺，四就"))
    assert text == "[手机号]"


def test_the_digits_that_a_speaker_counts_are_masked() -> None:
    (text,) = masked(("customer", "卡包里的，前三位我闺女生日六零二，后两位随便写的"))
    assert "六零二" not in text


def test_one_more_digit_belongs_to_the_number_before_it() -> None:
    texts = masked(("agent", "验证码念一下"), ("customer", "四零，嗯，二七三，最后还有个八"), ("agent", "好的，通过了"))
    assert texts[1] == "[验证码]"


def test_missing_digits_of_a_number_that_nobody_asked_for_are_expected() -> None:
    texts = masked(
        ("customer", "六二一七，零零三八，幺二零零，四四五六，七"), ("agent", "还差两位"), ("customer", "四九")
    )
    assert "四九" not in texts[2]


@pytest.mark.parametrize(
    "lines",
    [
        (("agent", "公积金账号是多少"), ("customer", "余额是三万一千五百零六")),
        (("agent", "留个手机号"), ("customer", "等我到家了，一起说吧")),
        (("customer", "存折丢了，什么时候能补"), ("agent", "三个工作日")),
        (("customer", "默认是自动续费吧"), ("agent", "是的，一百二十块一年")),
    ],
)
def test_amounts_and_daily_words_stay(lines: tuple[Line, ...]) -> None:
    assert masked(*lines) == [text for _, text in lines]


@pytest.mark.parametrize(
    ("lines", "secret"),
    [
        ((("customer", "六零四九，这是你们发的验证码吧"),), "六零四九"),
        ((("agent", "您的订单八八二零四四幺"), ("customer", "别打那个 电话 幺三九 零零四")), "幺三九 零零四"),
        ((("customer", "扣的是这张卡 六二五八零幺 三三零七 九九四二"),), "三三零七"),
        ((("customer", "退到农行那张三零七六"),), "三零七六"),
        ((("customer", "抽屉那个铁盒，里头纸上是二九四四零七，能开吗"),), "二九四四零七"),
        ((("agent", "幺五零三三八二四四零六是吧"), ("customer", "不对，是四零九")), "四零九"),
    ],
)
def test_digits_are_personal_by_what_follows_them_or_stands_around_them(lines: tuple[Line, ...], secret: str) -> None:
    assert secret not in masked(*lines)[-1]


@pytest.mark.parametrize(
    "words",
    [
        "我按的零四七六二二幺幺，怎么是你们接",
        "我都数到一二三四五六七了，还没人接",
        "刚才三三零二七八号客服答应我今天回复的",
        "保单P三三零七七二什么时候生效",
        "河虾三两四，小的二两六，都还活着",
        "一个是九五五三三，九五五六六也是你们的吧",
    ],
)
def test_digits_that_were_dialled_or_counted_and_numbers_of_others_stay(words: str) -> None:
    assert masked(("customer", words)) == [words]
