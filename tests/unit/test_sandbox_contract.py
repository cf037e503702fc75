"""The sandbox's answers against VTEX's published OpenAPI document of the Orders API.

The document is VTEX's and is not kept here. VTEX_OPENAPI names it, or it lies beside this repository.
"""

import asyncio
import json
import os
from pathlib import Path
from unittest import mock

import pytest
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from jsonschema.validators import extend
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from workers.sandbox.server import Sandbox, SandboxConfig
from workers.sandbox.world import World

PLACE = Path(
    os.environ.get("VTEX_OPENAPI") or Path(__file__).resolve().parents[3] / "shared" / "vtex" / "openapi.json"
)
HEADERS = {"X-VTEX-API-AppKey": "key", "X-VTEX-API-AppToken": "token"}
ORDER = "/api/oms/pvt/orders/{orderId}"

# Rules of the document that its own examples or VTEX's guides break, so that they cannot be asked of anyone:
#: "integer", where VTEX's JSON has 1.0: the document's example of get-order does so for unitMultiplier and
#: dimension, and the list rounds totalValue through a float.
INTEGRAL = OAS30Validator.TYPE_CHECKER.redefine(
    "integer",
    lambda _, value: (
        not isinstance(value, bool)
        and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
)
LOOSENED = {
    # Declared as texts and empty in the example; what VTEX sends are objects (name, value, rawValue, …).
    ("properties", "items", "items", "properties", "priceTags", "items"): {"type": "object"},
    # Null when no marketplace is behind the order.
    ("properties", "marketplaceServicesEndpoint", "nullable"): True,
    # Null unless the order is picked up.
    (
        *("properties", "shippingData", "properties", "logisticsInfo", "items", "properties"),
        *("slas", "items", "properties", "pickupPointId", "nullable"),
    ): True,
}
#: An incomplete order has no state: the guide to the feed says so, its schema does not.
STATELESS = {("items", "properties", name, "nullable"): True for name in ("state", "lastState")}


@pytest.fixture(scope="module")
def document():
    if not PLACE.is_file():
        reason = f"VTEX's OpenAPI document is not at {PLACE}; name its place in VTEX_OPENAPI"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return json.loads(PLACE.read_text(encoding="utf-8"))


@pytest.fixture
def valid(document):
    """Check an answer against what the document declares for a call and its status.

    With ``status`` of "request" it is the body of the call.
    """
    registry = Registry().with_resource(
        "urn:vtex", Resource.from_contents(document, default_specification=DRAFT4)
    )

    def inline(part):
        """Put a schema in the place of a reference to it, so that a rule inside can be loosened."""
        while "$ref" in part:
            name = part.pop("$ref").rpartition("/")[2]
            text = json.dumps(document["components"]["schemas"][name])
            part.update(json.loads(text.replace('"#/', '"urn:vtex#/')))
        return part

    def check(value, path, method="get", status="200", loosened=None):
        declared = document["paths"][path][method]
        part = declared["requestBody"] if status == "request" else declared["responses"][status]
        [content] = part["content"].values()
        schema = json.loads(json.dumps(content["schema"]).replace('"#/', '"urn:vtex#/'))
        for way, rule in (loosened or {}).items():
            part = inline(schema)
            for step in way[:-1]:
                part = inline(part[step])
            part[way[-1]] = rule
        validator = extend(OAS30Validator, type_checker=INTEGRAL)(schema, registry=registry)
        problems = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]
        assert not problems, problems[:10]

    return check


def ask(config, *calls, before=None):
    """Make calls of a sandbox without a socket, and return (status, JSON) of each."""

    async def main():
        sandbox = Sandbox(config)
        if before is not None:
            before(sandbox.world)
        app = sandbox.app()
        app.freeze()
        answers = []
        for method, path, *body in calls:
            payload = StreamReader(mock.Mock(_reading_paused=False), 2**16, loop=asyncio.get_running_loop())
            payload.feed_data(json.dumps(body[0]).encode() if body else b"")
            payload.feed_eof()
            request = make_mocked_request(method, path, headers=HEADERS, payload=payload)
            answer = await app._handle(request)
            answers.append((answer.status, json.loads(answer.body) if answer.body else None))
        return answers

    return asyncio.run(main())


def order_ids(config):
    return [order.order_id for order in World(config).store]


def test_the_feed(valid):
    config = SandboxConfig(orders=10, short_reads=False, marketplace_events=0.5)
    [(status, events), (_, more)] = ask(config, *[("GET", "/api/orders/feed?maxlot=10")] * 2)
    assert status == 200
    assert {event["domain"] for event in events + more} == {"Fulfillment", "Marketplace"}
    valid(events + more, "/api/orders/feed")


def test_the_feed_with_an_incomplete_order(valid):
    config = SandboxConfig(short_reads=False)
    [(_, events)] = ask(
        config, ("GET", "/api/orders/feed?maxlot=10"), before=lambda world: world.store.create(None)
    )
    assert events[0]["state"] is None
    valid(events, "/api/orders/feed", loosened=STATELESS)


def test_the_configuration_of_the_feed(valid, document):
    example = {
        "filter": {"type": "FromWorkflow", "status": ["ready-for-handling", "handling", "cancel"]},
        "queue": {"visibilityTimeoutInSeconds": 250, "MessageRetentionPeriodInSeconds": 345600},
    }
    path = "/api/orders/feed/config"
    answers = ask(
        SandboxConfig(orders=3),
        ("GET", path),
        ("POST", path, example),
        ("GET", path),
        ("DELETE", path),
        ("GET", path),
    )
    assert [status for status, _ in answers] == [200, 200, 200, 200, 404]
    valid(answers[0][1], path)
    valid(answers[2][1], path)
    assert answers[2][1]["filter"] == example["filter"]
    declared = {
        method: set(document["paths"][path][method]["responses"]) for method in ("get", "post", "delete")
    }
    assert all("200" in statuses for statuses in declared.values())


def test_get_order(valid):
    config = SandboxConfig(orders=60)
    answers = ask(config, *[("GET", f"/api/oms/pvt/orders/{order_id}") for order_id in order_ids(config)])
    for status, order in answers:
        assert status == 200
        valid(order, ORDER, loosened=LOOSENED)


def test_get_order_knows_every_field_of_the_document(document):
    [content] = document["paths"][ORDER]["get"]["responses"]["200"]["content"].values()
    config = SandboxConfig(orders=1)
    [(_, order)] = ask(config, ("GET", f"/api/oms/pvt/orders/{order_ids(config)[0]}"))
    # Only for stores that let buyers' organisations approve orders.
    assert set(content["schema"]["properties"]) - set(order) <= {"authorizationPolicyData"}


def test_the_list(valid):
    path = "/api/oms/pvt/orders"
    [(status, listed)] = ask(SandboxConfig(orders=30), ("GET", f"{path}?per_page=30"))
    assert status == 200
    assert len(listed["list"]) == 30
    valid(listed, path)


def test_start_handling_and_its_refusals(valid, document):
    config = SandboxConfig(orders=1)
    [order_id] = order_ids(config)
    path = f"/api/oms/pvt/orders/{order_id}/start-handling"
    answers = ask(config, ("POST", path), ("POST", path), ("POST", path.replace("-01", "-09")))
    assert [status for status, _ in answers] == [204, 409, 404]
    assert answers[0][1] is None
    valid(answers[1][1], f"{ORDER}/start-handling", "post", "409")
    declared = document["paths"][f"{ORDER}/start-handling"]["post"]["responses"]
    assert answers[1][1] == declared["409"]["content"]["application/json"]["example"]
    [(status, refused)] = ask(SandboxConfig(app_key="other"), ("POST", path))
    assert status == 401
    valid(refused, f"{ORDER}/start-handling", "post", "401")
    assert refused == declared["401"]["content"]["application/json"]["example"]


INVOICE = {
    "type": "Output",
    "issuanceDate": "2026-01-31T18:25:43-03:00",
    "invoiceNumber": "NFe00001",
    "invoiceValue": "9508",
    "invoiceKey": "35",
    "invoiceUrl": None,
    "embeddedInvoice": "<xml/>",
    "courier": "",
    "trackingNumber": "",
    "trackingUrl": "",
    "dispatchedDate": None,
    "items": [{"id": "1001", "price": 9003, "quantity": 1, "description": "Cafeteira"}],
}
NUMBER = {"trackingNumber": "BR1", "trackingUrl": None, "courier": "Correios", "dispatchedDate": None}
EVENT = {"city": "Curitiba", "state": "PR", "description": "Entregue", "date": "2026-02-01"}
TRACKING = {"isDelivered": True, "deliveredDate": "2026-02-01 21:15", "events": [EVENT]}
CHANGES = "/api/order-system/orders/{changeOrderId}/changes"
SETTINGS = "/api/order-system/orders/changes/settings"
#: The schemas of one change and of the call that asks for one say "list of texts" for what the list of
#: changes declares as an object, as the request has it.
PARTS = {("properties", name): {"type": "object", "nullable": True} for name in ("add", "remove")}


#: A price is a text here, and a number in the document's own example and everywhere else.
PRICES = {
    (
        *("properties", "requests", "items", "properties", "replace", "items", "properties", "from"),
        *("properties", "items", "items", "properties", "price"),
    ): {"type": "integer", "nullable": True}
}
NO_DELAYS = {
    "invoice_delay": 0.0,
    "invoicing_delay": 0.0,
    "cancel_delay": 0.0,
    "change_acknowledge_delay": 0.0,
    "change_confirm_delay": 0.0,
}


def prepared(world):
    world.store.create("handling", items=2)


def card_order(config):
    """Return the number and the id of an order that may become dearer, and one of its items."""
    world = World(config)
    while True:
        order = world.store.create("handling", items=2)
        shown = json.loads(world.store.render(order))
        payment = shown["paymentData"]["transactions"][0]["payments"][0]["group"]
        skus = {item["id"] for item in shown["items"]}
        if payment == "creditCard" and len(skus) == 2:
            return order.index + 1, order.order_id, shown["items"][0]


def test_invoice_and_tracking(valid):
    config = SandboxConfig(**NO_DELAYS)
    count, order_id, _ = card_order(config)
    path = f"/api/oms/pvt/orders/{order_id}"
    returned = {**INVOICE, "type": "Input", "invoiceNumber": "2", "invoiceValue": "100"}
    answers = ask(
        config,
        ("POST", f"{path}/invoice", INVOICE),
        ("PATCH", f"{path}/invoice/NFe00001", NUMBER),
        ("PUT", f"{path}/invoice/NFe00001/tracking", TRACKING),
        ("POST", f"{path}/invoice", {**INVOICE, "invoiceNumber": "3", "invoiceValue": "99999999"}),
        ("POST", f"{path}/invoice", returned),
        ("GET", path),
        ("GET", f"{path}/conversation-message"),
        ("POST", f"{path}/interactions", {"source": "ERP", "message": "Faturado"}),
        before=lambda world: [world.store.create("handling", items=2) for _ in range(count)],
    )
    assert [status for status, _ in answers] == [200] * 8
    for body, (_, value), call in zip(
        (INVOICE, NUMBER, TRACKING),
        answers,
        (
            (f"{ORDER}/invoice", "post"),
            (f"{ORDER}/invoice/{{invoiceNumber}}", "patch"),
            (f"{ORDER}/invoice/{{invoiceNumber}}/tracking", "put"),
        ),
        strict=False,
    ):
        valid(body, *call, "request")
        valid(value, *call)
    order = answers[5][1]
    assert order["status"] == "invoiced"
    packages = order["packageAttachment"]["packages"]
    assert [package["type"] for package in packages] == ["Output", "Output", "Input"]
    assert packages[0]["courierStatus"]["finished"] is True
    assert packages[2]["restitutions"]["Refund"]["value"] == 100
    valid(order, ORDER, loosened=LOOSENED)
    assert answers[6][1]
    valid(answers[6][1], f"{ORDER}/conversation-message", loosened=None)
    valid({"source": "ERP", "message": "Faturado"}, f"{ORDER}/interactions", "post", "request")


def test_the_orders_of_a_group(valid):
    config = SandboxConfig(orders=2)
    order_id = order_ids(config)[1]
    path = "/api/oms/pvt/orders/order-group"
    [(_, found), (_, none)] = ask(config, ("GET", f"{path}/{order_id[:-3]}"), ("GET", f"{path}/1"))
    assert [order["orderId"] for order in found] == [order_id]
    assert none == []
    valid(found, f"{path}/{{orderGroup}}", loosened={("items", *way): rule for way, rule in LOOSENED.items()})


def test_cancel(valid):
    config = SandboxConfig(**NO_DELAYS)
    order_id = card_order(config)[1]
    count = card_order(config)[0]
    path = f"/api/oms/pvt/orders/{order_id}"
    answers = ask(
        config,
        ("POST", f"{path}/cancel", {"reason": "Sem estoque"}),
        ("GET", path),
        ("POST", f"{path}/cancel"),
        ("GET", path),
        before=lambda world: [world.store.create("handling", items=2) for _ in range(count)],
    )
    assert [status for status, _ in answers] == [200] * 4
    valid({"reason": "Sem estoque"}, f"{ORDER}/cancel", "post", "request")
    for _, answer in (answers[0], answers[2]):
        valid(answer, f"{ORDER}/cancel", "post")
    assert [order["status"] for _, order in (answers[1], answers[3])] == [
        "cancellation-requested",
        "canceled",
    ]
    for _, order in (answers[1], answers[3]):
        valid(order, ORDER, loosened=LOOSENED)


def test_changes(valid, document):
    config = SandboxConfig(**NO_DELAYS)
    count, order_id, item = card_order(config)
    path = f"/api/order-system/orders/{order_id}/changes"
    body = {
        "reason": "Troca",
        "replace": [
            {
                "from": {"items": [{"id": item["id"], "quantity": 1, "uniqueId": item["uniqueId"]}]},
                "to": {"items": [{"id": "1003", "quantity": 1, "measurementUnit": "un"}]},
            }
        ],
    }
    more = {"reason": "Brinde", "add": {"items": [{"id": "1002", "quantity": 1}]}}
    settings = document["paths"][SETTINGS]["put"]["requestBody"]["content"]["application/json"]["example"]
    answers = ask(
        config,
        ("POST", f"{path}/preview?an=teststore", body),
        ("PATCH", f"{path}?accountName=teststore", body),
        ("GET", f"{path}?an=teststore"),
        ("PATCH", f"{path}?accountName=teststore", more),
        ("GET", f"{path}?an=teststore"),
        ("GET", f"/api/oms/pvt/orders/{order_id}"),
        ("PUT", f"{SETTINGS}?an=teststore", settings),
        ("GET", f"{SETTINGS}?an=teststore"),
        before=lambda world: [world.store.create("handling", items=2) for _ in range(count)],
    )
    assert [status for status, _ in answers] == [200, 202, 200, 202, 200, 200, 200, 200]
    for call in ((CHANGES, "patch"), (f"{CHANGES}/preview", "post")):
        valid(body, *call, "request")
    valid(answers[0][1], f"{CHANGES}/preview", "post")
    valid(answers[1][1], CHANGES, "patch", "202")
    valid(answers[3][1], CHANGES, "patch", "202", loosened=PARTS)
    valid(answers[4][1], CHANGES, loosened=PRICES)
    assert len(answers[4][1]["requests"]) == 2
    order = answers[5][1]
    assert len(order["changesAttachment"]["changesData"]) == 2
    valid(order, ORDER, loosened=LOOSENED)
    valid(settings, SETTINGS, "put", "request")
    for (_, answer), method in zip(answers[6:], ("put", "get"), strict=True):
        valid(answer, SETTINGS, method)
        assert answer["rolloutConfiguration"]["enableApi"] is True


def test_one_change(valid):
    config = SandboxConfig()
    world = World(config)
    order = world.store.create("handling", items=3)
    answer = world.changes.ask(order.order_id, {"reason": "r", "manualDiscountValue": 1})
    valid(world.changes.show(order.order_id, answer["requestId"]), f"{CHANGES}/{{changeRequestId}}")
    world.changes.cancel(order.order_id, answer["requestId"], {"reason": "x"})
    valid({"reason": "x"}, f"{CHANGES}/{{changeRequestId}}/cancel", "post", "request")
    valid(world.changes.show(order.order_id, answer["requestId"]), f"{CHANGES}/{{changeRequestId}}")


def test_the_old_change(valid):
    config = SandboxConfig(change_v1=True)
    body = {"requestId": "1", "reason": "r", "discountValue": 100, "incrementValue": 0}
    path = f"/api/oms/pvt/orders/{order_ids(SandboxConfig(orders=1))[0]}"
    [(status, answer), (_, order)] = ask(
        config, ("POST", f"{path}/changes", body), ("GET", path), before=prepared
    )
    assert status == 200
    valid(body, f"{ORDER}/changes", "post", "request")
    valid(answer, f"{ORDER}/changes", "post")
    valid(order, ORDER, loosened=LOOSENED)


def test_the_configuration_of_the_hook(valid):
    from workers.sandbox.api_hook import HookApi

    body = {
        "filter": {"type": "FromWorkflow", "status": ["handling"]},
        "hook": {"url": "https://example.com/", "headers": {"key": "value"}},
    }
    valid(body, "/api/orders/hook/config", "post", "request")
    sample = HookApi(World(SandboxConfig()), mock.Mock())._sample()
    valid(sample, "/api/orders/hook/config", "post")
    world = World(SandboxConfig(feed_configured=False))
    from workers.sandbox.hook import Target

    world.hook.target = Target.from_request(body)
    world.store.create("handling")
    [delivery, *_] = world.hook.take_due()
    valid(world.hook.body(delivery.event), "/api/orders/hook/config", "post")
