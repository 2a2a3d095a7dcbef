"""Who is the agent, by what is said."""

import pytest

from processors.listening.role_inference import CallDirection, contradicts, infer_roles, lead_of_first
from schemas.messages.call_ended import Role
from tests.processors.recordings import example_calls

AGENT_FIRST: tuple[Role, Role] = ("agent", "customer")
CUSTOMER_FIRST: tuple[Role, Role] = ("customer", "agent")


@pytest.mark.parametrize(
    ("agent", "customer"),
    [
        pytest.param("您好，工号三零一五，请问有什么可以帮您？", "我前天下的订单还没有到", id="greeting"),
        pytest.param("您好这里是会员中心", "嗯好的这个怎么领", id="company"),
        pytest.param("很高兴为您服务", "很高兴", id="at_your_service"),
        pytest.param("本次通话将录音", "", id="only_the_notice_was_heard"),
        pytest.param("您稍等", "你们怎么这么慢", id="politeness_against_complaint"),
        pytest.param("请稍等，我帮你查一下", "好的，我想查一下我的快递，谢谢您", id="a_polite_customer"),
        pytest.param("喂您好，我是您的理财顾问", "喂，哪位", id="both_say_hello"),
        pytest.param("Thank you for calling, how may I help you?", "Where is my parcel?", id="english"),
    ],
)
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_what_is_said_tells_who_speaks_on_either_channel(agent: str, customer: str, direction: CallDirection) -> None:
    """Against the order of speaking, too: whoever begins, the words decide."""
    for first in (None, 0, 1):
        assert infer_roles([agent, customer], first, direction) == AGENT_FIRST
        assert infer_roles([customer, agent], first, direction) == CUSTOMER_FIRST


@pytest.mark.parametrize(
    ("first", "direction", "roles"),
    [
        pytest.param(0, "inbound", AGENT_FIRST, id="the_agent_answers_who_calls_in"),
        pytest.param(1, "inbound", CUSTOMER_FIRST, id="the_agent_answers_on_the_other_channel"),
        pytest.param(0, "outbound", CUSTOMER_FIRST, id="the_customer_answers_who_calls_out"),
        pytest.param(1, "outbound", AGENT_FIRST, id="the_customer_answers_on_the_other_channel"),
        pytest.param(None, "inbound", None, id="nobody_is_first"),
    ],
)
def test_where_words_do_not_tell_who_answers_speaks_first(
    first: int | None, direction: CallDirection, roles: tuple[Role, Role] | None
) -> None:
    assert infer_roles(["嗯", "嗯"], first, direction) == roles


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("您看您方便吗", "行", id="who is polite more often"),
        pytest.param("Thank you for calling", "Where is my parcel?", id="english"),
        pytest.param(
            "这个我帮您记一笔，三天以内给您回话", "你们上回也是这么讲的，我家里头还淹着水", id="in words of no pattern"
        ),
        pytest.param("嗯", "嗯", id="nothing tells"),
    ],
)
def test_exchanged_the_lead_is_the_opposite(one: str, other: str) -> None:
    assert lead_of_first([one, other]) == pytest.approx(-lead_of_first([other, one]))
    assert (lead_of_first([one, other]) == 0) is (one == other)


def test_a_rude_agent_who_says_nothing_that_agents_say_is_told_apart() -> None:
    agent = (
        "放楼下了自己下来搬，我一天一千多件，谁给你扛六楼，丢了你自己认，你要是敢去平台上乱写，往后你家的件别想好好到手"
    )
    customer = (
        "我买的时候付了上楼的钱，你门铃都没按就放大门口，我腿脚不方便，麻烦你还是帮我搬上来，你这些话我都记下来了"
    )
    for direction in ("inbound", "outbound"):
        assert infer_roles([agent, customer], 1, direction) == AGENT_FIRST
        assert infer_roles([customer, agent], 0, direction) == CUSTOMER_FIRST


@pytest.mark.parametrize(
    ("agent", "customer", "contradicted"),
    [
        pytest.param("我的订单还没有到，你们怎么回事", "您好，请问有什么可以帮您", True, id="exchanged"),
        pytest.param("您好，请问有什么可以帮您", "我的订单还没有到", False, id="right"),
        pytest.param("嗯，好的", "嗯，好的", False, id="nothing tells"),
        pytest.param("你好，你的快递到了", "好，谢谢您", False, id="one polite customer is no contradiction"),
        pytest.param("", "您好，请问有什么可以帮您，本次通话将录音", True, id="only the agent, on the wrong side"),
    ],
)
def test_what_is_said_may_contradict_the_roles(agent: str, customer: str, contradicted: bool) -> None:
    assert contradicts(agent, customer) is contradicted


@pytest.mark.parametrize("call_id", [call_id for call_id, call in example_calls().items() if not call.is_mono])
def test_every_example_call_is_told_apart_by_its_words_alone(call_id: str) -> None:
    texts = ["".join(turn.text for turn in example_calls()[call_id].turns_of(who)) for who in AGENT_FIRST]

    assert infer_roles(texts, None, "inbound") == AGENT_FIRST
    assert infer_roles(texts[::-1], None, "inbound") == CUSTOMER_FIRST
    assert not contradicts(*texts)
    if call_id != "s08_misdial":  # which is too short to contradict anything
        assert contradicts(*texts[::-1])
