"""Changes as VTEX's API writes them: an answer that lists nearly everything, and most of it is null."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from workers.sandbox.change_plan import items_of
from workers.sandbox.clock import stamp

if TYPE_CHECKING:
    from workers.sandbox.outbound import Change

_SETTINGS: dict[str, dict[str, Any]] = {
    "paymentConfiguration": {"customPaymentSystemsAllowed": []},
    "rolloutConfiguration": {
        "usingDefaultBehavior": True,
        "enableApi": True,
        "enableAdminOrders": {"enabledWorkspaces": ["*"]},
        "enableMyOrders": {"enabledWorkspaces": []},
    },
    "pipelineConfiguration": {
        "enableTaxHubRecalculation": False,
        "compensateShippingChanges": True,
        "enablePromotionRecalculation": False,
        "enableNativeTaxRecalculation": False,
    },
}

#: Texts of a new item that are unknown until the change is worked out.
_UNKNOWN = (
    "productId",
    "productRefId",
    "refId",
    "ean",
    "name",
    "skuName",
    "modalType",
    "parentItemIndex",
    "parentAssemblyBinding",
    "priceValidUntil",
    "listPrice",
    "manualPrice",
    "manualPriceAppliedBy",
    "preSaleDate",
    "productCategoryIds",
    "imageUrl",
    "detailUrl",
    "availability",
    "manufacturerCode",
    "priceDefinition",
)
_UNKNOWN_INFO = (
    "dimension",
    "brandName",
    "brandId",
    "offeringInfo",
    "offeringType",
    "offeringTypeId",
    "categoriesIds",
    "productClusterId",
    "commercialConditionId",
)
_LISTS = (
    "assemblies",
    "components",
    "bundleItems",
    "attachments",
    "attachmentOfferings",
    "offerings",
    "priceTags",
)


def default_settings(*, enabled: bool) -> dict[str, dict[str, Any]]:
    """Return the account's settings before anybody changed them."""
    settings = copy.deepcopy(_SETTINGS)
    settings["rolloutConfiguration"]["enableApi"] = enabled
    return settings


def accepted(account: str, order_id: str, change: Change, settings: dict[str, Any]) -> dict[str, Any]:
    """Write the answer to a change that was asked for: nothing is worked out yet."""
    return {
        "requestId": change.request_id,
        "workflowId": change.workflow_id,
        **_body(account, order_id, change.body, change.asked),
        "totalChangeValue": 0,
        "totals": [],
        "settings": settings,
    }


def preview(
    account: str, order_id: str, body: dict[str, Any], *, total: int, now: float, settings: dict[str, Any]
) -> dict[str, Any]:
    """Write what a change would do."""
    return {
        **_body(account, order_id, body, now),
        "totalChangeValue": total,
        "totals": _totals(body, total),
        "settings": settings,
    }


def single(account: str, order_id: str, change: Change, *, flag: str) -> dict[str, Any]:
    """Write one change with its state. ``flag`` names the field that tells whether it goes on."""
    # The sample of a canceled change on VTEX's help pages says that it is not finished.
    going = {"inProgress": change.running} if flag == "inProgress" else {"finished": change.status == "done"}
    written = {
        **_listed(account, order_id, change),
        "status": change.status,
        **going,
        "logs": change.logs,
    }
    if change.canceled_for is not None:
        written["cancellationData"] = {"reason": change.canceled_for}
    return written


def history(account: str, order_id: str, changes: list[Change]) -> dict[str, Any]:
    """Write every change of an order, the oldest first."""
    return {"requests": [_listed(account, order_id, change) for change in changes], "actions": []}


def _listed(account: str, order_id: str, change: Change) -> dict[str, Any]:
    return {
        "requestId": change.request_id,
        "workflowId": change.workflow_id,
        **_body(account, order_id, change.body, change.asked),
        "totalChangeValue": change.total,
        "totals": _totals(change.body, change.total),
        "settings": {"customPaymentSystemsAllowed": []},
    }


def _body(account: str, order_id: str, body: dict[str, Any], asked: float) -> dict[str, Any]:
    return {
        "reason": body["reason"],
        "manualDiscountValue": body.get("manualDiscountValue") or 0,
        "manualIncrementValue": body.get("manualIncrementValue") or 0,
        "add": _side(body.get("add")),
        "remove": _side(body.get("remove")),
        "replace": [
            {
                "from": {
                    "paymentData": {"transactions": []},
                    "items": [_old(item) for item in items_of(pair["from"])],
                    "shippingData": {"logisticsInfo": []},
                },
                "to": {
                    "items": [_new(item) for item in items_of(pair["to"])],
                    "paymentData": {"transactions": []},
                    "receiptData": None,
                    "shippingData": {"logisticsInfo": []},
                },
            }
            for pair in body.get("replace") or ()
        ],
        "date": stamp(asked),
        "origin": {"account": account, "orderId": order_id, "component": "FulfillmentComponent"},
    }


def _side(part: Any) -> dict[str, Any] | None:
    items = items_of(part)
    return {"items": [_old(item) for item in items]} if items else None


def _old(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": item["id"],
        "uniqueId": item.get("uniqueId") or "",
        "quantity": item["quantity"],
        "price": item.get("price"),
        "measurementUnit": None,
        "unitMultiplier": 1,
        "sellingPrice": item.get("price") or 0,
        "name": None,
        "detailUrl": None,
        "imageUrl": None,
    }


def _new(item: dict[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(_UNKNOWN),
        **{name: [] for name in _LISTS},
        "uniqueId": item.get("uniqueId") or "",
        "id": item["id"],
        "tax": 0,
        "price": item.get("price"),
        "sellingPrice": item.get("price"),
        "rewardValue": 0,
        "isGift": False,
        "additionalInfo": dict.fromkeys(_UNKNOWN_INFO),
        "productCategories": {},
        "quantity": item["quantity"],
        "seller": None,
        "sellerChain": [None],
        "measurementUnit": item.get("measurementUnit") or "un",
        "unitMultiplier": 1,
    }


def _totals(body: dict[str, Any], total: int) -> list[dict[str, Any]]:
    manual = (body.get("manualIncrementValue") or 0) - (body.get("manualDiscountValue") or 0)
    return [
        {"id": "Items", "name": "Items Total", "value": total - manual},
        {"id": "ManualValues", "name": "Manual Values Total", "value": manual},
    ]
