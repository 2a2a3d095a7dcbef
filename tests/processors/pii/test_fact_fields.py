"""Personal numbers in fields that other systems tell are masked; what people count by stays."""

import pytest

from processors.pii.fact_fields import mask_field


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        pytest.param("13800138000", "[手机号]", id="a mobile number"),
        pytest.param("+86 138-0013-8000", "[手机号]", id="with prefix and hyphens"),
        pytest.param("１３８００１３８０００", "[手机号]", id="in wide digits"),
        pytest.param("联系13800138000。", "联系[手机号]。", id="in a text"),
        pytest.param("11010519491231002X", "[身份证]", id="an identity number"),
        pytest.param("6222 0212 3456 7895", "6222 0212 3456 7895", id="a card number that fails its check digit"),
        pytest.param("4111 1111 1111 1111", "[银行卡]", id="a card number"),
        pytest.param("a.b@example.com 13800138000", "[邮箱] [手机号]", id="two of them"),
        pytest.param("13800138000@qq.com", "[邮箱]", id="a mail address of digits is one thing"),
        pytest.param("010-62345678", "[固定电话]", id="a fixed line"),
        pytest.param("2026-03-01T10:00:00+08:00", "2026-03-01T10:00:00+08:00", id="a time"),
        pytest.param("20260301100000123", "20260301100000123", id="a time without marks"),
        pytest.param("1767225600000", "1767225600000", id="milliseconds since 1970"),
        pytest.param("13800138000.50", "13800138000.50", id="an amount"),
        pytest.param("SO13800138000", "SO13800138000", id="part of the number of an order"),
        pytest.param("退货中", "退货中", id="a status"),
    ],
)
def test_what_is_certain_is_masked_and_nothing_else(value: str, masked: str) -> None:
    assert mask_field(value) == masked
    assert mask_field(masked) == masked
