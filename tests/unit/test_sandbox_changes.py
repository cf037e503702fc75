"""Order changes in the sandbox: the asynchronous kind, and the old one that is switched off."""

import json

import pytest

from workers.sandbox.catalog import PRODUCTS
from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.refused import Refused
from workers.sandbox.world import World


@pytest.fixture
def clock():
    return ManualClock()


def world(clock, **options):
    return World(SandboxConfig(**options), clock)


def later(sandbox, clock, seconds=1.0):
    clock.now += seconds
    sandbox.advance()


def document(sandbox, order):
    return json.loads(sandbox.store.render(order))


def order_paid_by(sandbox, group, items=3):
    """Return an order in handling whose lines are of different goods."""
    while True:
        order = sandbox.store.create("handling", items=items)
        shown = document(sandbox, order)
        skus = {item["id"] for item in shown["items"]}
        if shown["paymentData"]["transactions"][0]["payments"][0]["group"] == group and len(skus) == items:
            return order


@pytest.fixture
def sandbox(clock):
    return world(clock)


@pytest.fixture
def order(sandbox):
    return order_paid_by(sandbox, "creditCard")


def adds_up(shown, manual=0):
    totals = {total["id"]: total["value"] for total in shown["totals"]}
    assert shown["value"] == sum(totals.values())
    goods = sum(item["price"] * item["quantity"] for item in shown["items"])
    discounts = sum(tag["value"] for item in shown["items"] for tag in item["priceTags"])
    assert totals["Items"] == goods + max(manual, 0)
    assert totals["Discounts"] == discounts + min(manual, 0)
    assert totals["Shipping"] == sum(info["sellingPrice"] for info in shown["shippingData"]["logisticsInfo"])
    assert len({item["uniqueId"] for item in shown["items"]}) == len(shown["items"])


def side(*items):
    return {"items": [{"id": sku, "quantity": quantity} for sku, quantity in items]}


def counted(sandbox):
    return {name: entry["count"] for name, entry in sandbox.audit.report()["never"].items() if entry["count"]}


def test_a_change_takes_its_time_and_then_has_its_effect(sandbox, order, clock):
    before = document(sandbox, order)
    line = before["items"][0]
    body = {"reason": "Ruptura", "remove": side((line["id"], line["quantity"]))}
    answer = sandbox.changes.ask(order.order_id, body)
    shown = sandbox.changes.show(order.order_id, answer["requestId"])
    assert (shown["status"], shown["inProgress"]) == ("waiting-acknowledgement", True)
    later(sandbox, clock, 0.02)
    shown = sandbox.changes.show(order.order_id, answer["requestId"])
    assert (shown["status"], shown["inProgress"]) == ("waiting-confirmation", True)
    assert document(sandbox, order)["value"] == before["value"]
    later(sandbox, clock, 0.03)
    shown = sandbox.changes.show(order.order_id, answer["requestId"])
    after = document(sandbox, order)
    assert (shown["status"], shown["inProgress"]) == ("done", False)
    assert shown["totalChangeValue"] == after["value"] - before["value"] < 0
    assert line["id"] not in {item["id"] for item in after["items"]}
    adds_up(after)
    [entry] = after["changesAttachment"]["changesData"]
    assert entry["reason"] == "Ruptura"
    assert [(gone["id"], gone["quantity"]) for gone in entry["itemsRemoved"]] == [
        (line["id"], line["quantity"])
    ]
    assert after["paymentData"]["transactions"][0]["payments"][0]["value"] == after["value"]
    assert counted(sandbox) == {}


def test_goods_can_be_added_and_replaced(sandbox, order, clock):
    line = document(sandbox, order)["items"][1]
    new = next(str(1001 + number) for number in range(len(PRODUCTS)) if str(1001 + number) != line["id"])
    body = {
        "reason": "Troca",
        "add": {"items": [{"id": "1001", "quantity": 2, "price": 500}]},
        "replace": [
            {
                "from": {"items": [{"id": line["id"], "quantity": 1, "uniqueId": line["uniqueId"]}]},
                "to": {
                    "items": [{"id": new, "quantity": 1, "price": 700, "manualDiscountValue": 100}],
                    "shippingData": {"logisticsInfo": [{"itemIndex": 0, "price": 250}]},
                },
            }
        ],
        "manualIncrementValue": 30,
    }
    expected = sandbox.changes.preview(order.order_id, body)["totalChangeValue"]
    before = document(sandbox, order)["value"]
    sandbox.changes.ask(order.order_id, body)
    later(sandbox, clock)
    later(sandbox, clock)
    after = document(sandbox, order)
    assert after["value"] - before == expected
    adds_up(after, manual=30)
    added = after["changesAttachment"]["changesData"][0]["itemsAdded"]
    assert [(entry["id"], entry["quantity"]) for entry in added] == [("1001", 2), (new, 1)]


def test_a_preview_changes_nothing(sandbox, order, clock):
    before = document(sandbox, order)
    sandbox.changes.preview(order.order_id, {"reason": "r", "manualDiscountValue": 100})
    later(sandbox, clock)
    assert document(sandbox, order) == before
    assert sandbox.changes.history(order.order_id)["requests"] == []


def code_of(call):
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.code


def ask(sandbox, order, **body):
    return sandbox.changes.ask(order.order_id, {"reason": "r", **body})


def test_only_one_change_at_a_time(sandbox, order, clock):
    ask(sandbox, order, manualDiscountValue=10)
    assert code_of(lambda: ask(sandbox, order, manualDiscountValue=20)) == "SalesOrderSystem014"
    later(sandbox, clock)
    later(sandbox, clock)
    ask(sandbox, order, manualDiscountValue=20)
    assert len(sandbox.changes.history(order.order_id)["requests"]) == 2


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("canceled", "SalesOrderSystem008"),
        ("invoiced", "SalesOrderSystem046"),
        ("ready-for-handling", "CHK0124"),
        ("cancellation-requested", "CHK0124"),
        (None, "CHK0124"),
    ],
)
def test_a_change_has_its_time(sandbox, state, code):
    assert code_of(lambda: ask(sandbox, sandbox.store.create(state), manualDiscountValue=10)) == code


def test_an_unknown_order_and_a_chain_order_cannot_be_changed(sandbox, order):
    assert code_of(lambda: sandbox.changes.ask("9-01", {"reason": "r"})) == "CHK0201"
    sandbox.store.touch(order, origin="Chain")
    assert code_of(lambda: ask(sandbox, order, manualDiscountValue=10)) == "CHK0095"


def test_items_are_checked(sandbox, order):
    line = document(sandbox, order)["items"][0]
    too_many = line["quantity"] + 1
    assert code_of(lambda: ask(sandbox, order, remove=side(("9999", 1)))) == "SalesOrderSystem010"
    assert code_of(lambda: ask(sandbox, order, add=side(("9999", 1)))) == "SalesOrderSystem010"
    assert code_of(lambda: ask(sandbox, order, remove=side((line["id"], too_many)))) == "SalesOrderSystem011"
    assert code_of(lambda: ask(sandbox, order, remove=side((line["id"], 0)))) == "SalesOrderSystem011"
    everything = side(*[(item["id"], item["quantity"]) for item in document(sandbox, order)["items"]])
    assert code_of(lambda: ask(sandbox, order, remove=everything)) == "SalesOrderSystem011"
    assert code_of(lambda: ask(sandbox, order, manualDiscountValue=10**9)) == "CHK0034"
    for body in (
        {},
        {"remove": []},
        {"replace": {}},
        {"manualDiscountValue": "1"},
        {"replace": [{"from": {}}]},
    ):
        with pytest.raises(Refused):
            ask(sandbox, order, **body)
    with pytest.raises(Refused, match="reason"):
        sandbox.changes.ask(order.order_id, {"manualDiscountValue": 1})


def test_a_sku_on_two_lines_needs_the_unique_id(sandbox, order, clock):
    line = document(sandbox, order)["items"][0]
    ask(sandbox, order, add=side((line["id"], 1)))
    later(sandbox, clock)
    later(sandbox, clock)
    assert code_of(lambda: ask(sandbox, order, remove=side((line["id"], 1)))) == "SalesOrderSystem026"
    last = document(sandbox, order)["items"][-1]
    assert last["id"] == line["id"]
    ask(sandbox, order, remove={"items": [{"id": last["id"], "uniqueId": last["uniqueId"], "quantity": 1}]})


def test_not_every_payment_can_be_increased(sandbox):
    order = order_paid_by(sandbox, "instantPayment")
    assert code_of(lambda: ask(sandbox, order, add=side(("1001", 1)))) == "CHK00342"
    ask(sandbox, order, manualDiscountValue=10)


def test_a_change_may_be_canceled_by_vtex_and_then_did_nothing(sandbox, order, clock):
    sandbox.changes.script("Regra de negócio", order=order.order_id)
    before = document(sandbox, order)
    answer = ask(sandbox, order, manualDiscountValue=10)
    later(sandbox, clock)
    later(sandbox, clock)
    shown = sandbox.changes.show(order.order_id, answer["requestId"])
    assert (shown["status"], shown["cancellationData"]) == ("canceled", {"reason": "Regra de negócio"})
    after = document(sandbox, order)
    assert (after["value"], after["changesAttachment"]) == (before["value"], None)
    retry = lambda: sandbox.changes.retry(order.order_id, answer["requestId"])  # noqa: E731
    assert code_of(retry) == "SalesOrderSystem017"


def test_a_failure_of_vtex_takes_longer(sandbox, order, clock):
    sandbox.changes.script("Falha", system=True)
    answer = ask(sandbox, order, manualDiscountValue=10)
    later(sandbox, clock, 0.02)
    later(sandbox, clock, 0.1)
    assert sandbox.changes.show(order.order_id, answer["requestId"])["status"] == "waiting-confirmation"
    later(sandbox, clock, 0.06)
    shown = sandbox.changes.show(order.order_id, answer["requestId"])
    assert shown["status"] == "canceled"
    assert [entry["status"] for entry in shown["logs"]].count("retry") == 5


def test_a_stuck_change_can_be_begun_anew_without_a_second_effect(sandbox, order, clock):
    before = document(sandbox, order)["value"]
    sandbox.changes.script(hang=True)
    answer = ask(sandbox, order, manualDiscountValue=10)
    later(sandbox, clock, 60)
    later(sandbox, clock, 3600)
    assert sandbox.changes.show(order.order_id, answer["requestId"])["inProgress"] is True
    sandbox.changes.retry(order.order_id, answer["requestId"])
    later(sandbox, clock)
    later(sandbox, clock)
    assert document(sandbox, order)["value"] == before - 10
    retry = lambda: sandbox.changes.retry(order.order_id, answer["requestId"])  # noqa: E731
    assert code_of(retry) == "SalesOrderSystem016"
    assert counted(sandbox) == {}


def test_a_retry_does_not_run_beside_the_first_try(sandbox, order, clock):
    before = document(sandbox, order)["value"]
    answer = ask(sandbox, order, manualDiscountValue=10)
    sandbox.changes.retry(order.order_id, answer["requestId"])
    later(sandbox, clock)
    later(sandbox, clock)
    assert document(sandbox, order)["value"] == before - 10


def test_a_change_can_be_called_back_until_it_is_made(sandbox, order, clock):
    first = ask(sandbox, order, manualDiscountValue=10)["requestId"]
    with pytest.raises(Refused):
        sandbox.changes.cancel(order.order_id, first, {})
    sandbox.changes.cancel(order.order_id, first, {"reason": "Engano"})
    later(sandbox, clock)
    assert sandbox.changes.show(order.order_id, first)["status"] == "canceled"
    second = ask(sandbox, order, manualDiscountValue=10)["requestId"]
    later(sandbox, clock)
    later(sandbox, clock)
    with pytest.raises(Refused, match="done already"):
        sandbox.changes.cancel(order.order_id, second, {"reason": "Tarde"})
    with pytest.raises(Refused, match="not found"):
        sandbox.changes.show(order.order_id, "nothing")


def test_the_same_change_again_is_counted(sandbox, order, clock):
    for reason in ("first", "second"):
        sandbox.changes.ask(order.order_id, {"reason": reason, "manualDiscountValue": 10})
        later(sandbox, clock)
        later(sandbox, clock)
    assert counted(sandbox) == {"change_applied_twice": 1}


def test_an_invoice_that_overtakes_a_change_is_over_the_new_value(sandbox, order, clock):
    value = sandbox.store.facts(order).value
    ask(sandbox, order, manualDiscountValue=10)
    line = document(sandbox, order)["items"][0]
    sandbox.invoices.send(
        order.order_id,
        {
            "type": "Output",
            "issuanceDate": "2026-01-31T10:00:00Z",
            "invoiceNumber": "1",
            "invoiceValue": value - 5,
            "items": [{"id": line["id"], "price": 1, "quantity": 1}],
        },
    )
    for _ in range(3):
        later(sandbox, clock)
    assert order.status == "invoiced"
    assert counted(sandbox) == {"invoice_during_change": 1, "over_invoicing": 1}


def test_a_change_can_complete_what_was_invoiced(sandbox, order, clock):
    value = sandbox.store.facts(order).value
    body = {
        "type": "Output",
        "issuanceDate": "2026-01-31T10:00:00Z",
        "invoiceNumber": "1",
        "invoiceValue": value - 10,
        "items": [{"id": "1001", "price": 1, "quantity": 1}],
    }
    sandbox.invoices.send(order.order_id, body)
    later(sandbox, clock)
    assert order.status == "handling"
    ask(sandbox, order, manualDiscountValue=10)
    for _ in range(3):
        later(sandbox, clock)
    assert order.status == "invoiced"


def test_the_flag_and_the_states_may_be_those_of_the_help_pages(clock):
    sandbox = world(clock, change_flag="finished", change_more_states=True)
    order = order_paid_by(sandbox, "creditCard")
    sandbox.changes.script("x")
    answer = ask(sandbox, order, manualDiscountValue=10)
    seen = []
    for _ in range(12):
        shown = sandbox.changes.show(order.order_id, answer["requestId"])
        seen.append((shown["status"], shown["finished"]))
        later(sandbox, clock, 0.011)
    assert list(dict.fromkeys(seen)) == [
        ("preparing", False),
        ("waiting-acknowledgement", False),
        ("waiting-confirmation", False),
        ("canceling", False),
        ("canceled", False),
    ]


def test_the_account_must_allow_changes(clock):
    sandbox = world(clock, change_api=False)
    order = order_paid_by(sandbox, "creditCard")
    with pytest.raises(Refused) as refused:
        ask(sandbox, order, manualDiscountValue=10)
    assert refused.value.status == 403
    shown = sandbox.changes.configure({"rolloutConfiguration": {"enableApi": True}, "unknown": {}})
    assert shown["rolloutConfiguration"]["enableApi"] is True
    assert shown["pipelineConfiguration"]["compensateShippingChanges"] is True
    ask(sandbox, order, manualDiscountValue=10)


#: As VTEX's older guide has it, with goods that the sandbox knows.
GUIDE = {
    "reason": "Promotion by phone.",
    "discountValue": 1000,
    "incrementValue": 0,
    "itemsAdded": [{"id": "1001", "price": 200, "quantity": 1}],
}


@pytest.mark.parametrize("status", [410, 404])
def test_the_old_call_is_gone(clock, status):
    sandbox = world(clock, change_v1_gone=status)
    with pytest.raises(Refused, match="deactivated") as refused:
        sandbox.legacy_changes.ask(sandbox.store.create("handling").order_id, GUIDE)
    assert refused.value.status == status


@pytest.fixture
def old(clock):
    return world(clock, change_v1=True)


def test_the_old_call_works_at_once_where_it_is_kept_alive(old):
    order = order_paid_by(old, "creditCard")
    before = document(old, order)
    line = before["items"][0]
    gone = [{"id": line["id"], "price": line["price"], "quantity": 1}]
    answer = old.legacy_changes.ask(order.order_id, {**GUIDE, "itemsRemoved": gone})
    assert set(answer) == {"date", "orderId", "receipt"}
    after = document(old, order)
    assert after["value"] == before["value"] - 1000
    assert after["value"] == sum(total["value"] for total in after["totals"])
    [entry] = after["changesAttachment"]["changesData"]
    assert (entry["discountValue"], entry["receipt"]) == (1000, answer)


def test_the_old_call_takes_a_request_id_once(old):
    order = order_paid_by(old, "creditCard")
    value = document(old, order)["value"]
    first = old.legacy_changes.ask(order.order_id, {**GUIDE, "requestId": "a"})
    assert old.legacy_changes.ask(order.order_id, {**GUIDE, "requestId": "a"}) == first
    assert document(old, order)["value"] == value - 1000
    assert counted(old) == {}
    old.legacy_changes.ask(order.order_id, {**GUIDE, "requestId": "b"})
    assert counted(old) == {"change_applied_twice": 1}


def test_the_old_call_has_its_refusals(old, clock):
    order = order_paid_by(old, "creditCard")
    for part in (
        {"itemsRemoved": [{"id": "9", "price": 1, "quantity": 1}]},
        {"itemsAdded": [{"id": "9", "price": 1, "quantity": 1}]},
    ):
        with pytest.raises(Refused) as refused:
            old.legacy_changes.ask(order.order_id, {**GUIDE, **part})
        assert refused.value.status == 404
    for body in (
        None,
        {**GUIDE, "discountValue": "1"},
        {**GUIDE, "reason": ""},
        {**GUIDE, "itemsAdded": [{"id": 1}]},
    ):
        with pytest.raises(Refused):
            old.legacy_changes.ask(order.order_id, body)
    with pytest.raises(Refused, match="cannot be changed"):
        old.legacy_changes.ask(old.store.create("ready-for-handling").order_id, GUIDE)
    small = {"reason": "r", "discountValue": 1, "incrementValue": 0}
    for _ in range(50):
        old.legacy_changes.ask(order.order_id, small)
    with pytest.raises(Refused, match="50 changes"):
        old.legacy_changes.ask(order.order_id, small)


def test_the_two_kinds_do_not_mix(old, clock):
    order = order_paid_by(old, "creditCard")
    old.legacy_changes.ask(order.order_id, GUIDE)
    assert code_of(lambda: ask(old, order, manualDiscountValue=10)) == "SalesOrderSystem015"
    other = order_paid_by(old, "creditCard")
    ask(old, other, manualDiscountValue=10)
    assert code_of(lambda: old.legacy_changes.ask(other.order_id, GUIDE)) == "SalesOrderSystem015"
