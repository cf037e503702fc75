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
    """Check an answer against what the document declares for a call and its status."""
    registry = Registry().with_resource(
        "urn:vtex", Resource.from_contents(document, default_specification=DRAFT4)
    )

    def check(value, path, method="get", status="200", loosened=None):
        [content] = document["paths"][path][method]["responses"][status]["content"].values()
        text = json.dumps(content["schema"])
        if "$ref" in content["schema"].get("items", {}):
            # Inlined, so that a rule inside can be loosened.
            name = content["schema"]["items"]["$ref"].rpartition("/")[2]
            text = json.dumps({**content["schema"], "items": document["components"]["schemas"][name]})
        schema = json.loads(text.replace('"#/', '"urn:vtex#/'))
        for way, rule in (loosened or {}).items():
            part = schema
            for step in way[:-1]:
                part = part[step]
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
