"""Acts: which conditions are words alone, whose pack counts, and which words are needed."""

import pytest

from processors.rules.acts import Act, ActError, act_named, acts_of
from schemas.config.condition import Condition
from schemas.config.rule_pack import RulePack


def pack(name: str, tenant: str | None = None, **conditions: object) -> RulePack:
    made = {key: Condition.model_validate(value) for key, value in conditions.items()}
    told = {"pack": name, "version": 1, "industry": "general", "language": "zh", "tenant": tenant, "owner": "tests"}
    return RulePack.model_validate({**told, "conditions": made})


GENERAL = pack(
    "general",
    apologizes={"by": "agent", "say": ("非常抱歉", "抱歉", "对不起", "抱歉")},
    greets={"by": "agent", "say": ("您好",), "first_s": 30},
    offers={"say": ("推荐…产品",)},
    either={"any_of": ({"say": ("甲",)}, {"say": ("乙",)})},
    except_for={"say": ("保本",), "unless": ("担保本人",)},
)


def test_words_in_which_another_stands_are_left_out_and_conditions_that_are_more_than_words_are_no_acts() -> None:
    act = Act("agent", ("抱歉", "对不起"))
    assert acts_of([GENERAL], None) == {"apologizes": act, "general.apologizes": act}


def test_the_pack_of_a_tenant_counts_for_this_tenant_whichever_comes_first() -> None:
    own = pack("general", "acme", apologizes={"by": "agent", "say": ("失礼",)})
    other = pack("bank", pays={"say": ("付款",)})
    for packs in ([GENERAL, own, other], [own, other, GENERAL]):
        assert act_named("apologizes", packs, "acme") == Act("agent", ("失礼",))
        assert act_named("apologizes", packs, None) == Act("agent", ("抱歉", "对不起"))
        assert act_named("bank.pays", packs, "acme") == Act("anyone", ("付款",))


def test_what_is_no_act_says_which_there_are() -> None:
    with pytest.raises(ActError, match=r"@greets is no act .* there are apologizes\."):
        act_named("greets", [GENERAL], None)
