from __future__ import annotations

from dataclasses import replace

import pytest

from workers.scope import is_handled_elsewhere, parse
from workers.vtex.schemas import Order

ORDER = Order(
    order_id="1-01",
    status="ready-for-handling",
    last_change="",
    creation_date="",
    origin="Marketplace",
    sales_channel="1",
    affiliate_id=None,
    seller_ids=("1",),
    text="{}",
)
CHAIN = replace(ORDER, origin="Chain")
FROM_MERCADO_LIVRE = replace(ORDER, origin="Fulfillment", affiliate_id="MLB", sales_channel="3")
SOLD_BY_ANOTHER = replace(ORDER, seller_ids=("seller9",))
SPLIT = replace(ORDER, seller_ids=("1", "seller9"))


@pytest.mark.parametrize(
    ("text", "ours", "not_ours"),
    [
        ("", [ORDER, CHAIN, FROM_MERCADO_LIVRE], []),
        ("channels=1,2", [ORDER], [FROM_MERCADO_LIVRE]),
        ("channels=!3", [ORDER], [FROM_MERCADO_LIVRE]),
        ("affiliates=none", [ORDER], [FROM_MERCADO_LIVRE]),
        ("affiliates=!MLB", [ORDER], [FROM_MERCADO_LIVRE]),
        ("affiliates=MLB,none ; channels = 3", [FROM_MERCADO_LIVRE], [ORDER]),
        ("sellers=1", [ORDER, SPLIT], [SOLD_BY_ANOTHER]),
        ("origins=Fulfillment", [FROM_MERCADO_LIVRE], [ORDER, CHAIN]),
    ],
)
def test_which_orders_are_ours(text: str, ours: list[Order], not_ours: list[Order]) -> None:
    scope = parse(text)
    assert [scope.outside(order) for order in ours] == [None] * len(ours)
    assert all(scope.outside(order) for order in not_ours)


def test_the_reason_names_rule_and_value() -> None:
    assert parse("channels=1").outside(FROM_MERCADO_LIVRE) == "channels 3"


@pytest.mark.parametrize(
    "text",
    ["channel=1", "channels", "channels=", "channels=!", "origins=Mars", "channels=1;channels=2", "1,2"],
)
def test_a_wrong_rule_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"channel|origin|1,2"):
        parse(text)


def test_start_handling_is_the_sellers() -> None:
    assert [is_handled_elsewhere(order) for order in (ORDER, FROM_MERCADO_LIVRE, SPLIT)] == [False] * 3
    assert is_handled_elsewhere(CHAIN)
    assert is_handled_elsewhere(SOLD_BY_ANOTHER)
