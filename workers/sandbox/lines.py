"""The lines of an order's document, and what is said about their goods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.catalog import PRODUCTS
from workers.sandbox.orders import ean, guid, unique_id

if TYPE_CHECKING:
    from workers.sandbox.orders import Line
    from workers.sandbox.store import Order

_PROMOTION = guid("promotion", 1)


def item(seed: int, order: Order, line: Line) -> dict[str, Any]:
    """Write one line."""
    product = PRODUCTS[line.product]
    sku = line.sku
    tags = []
    if line.discount:
        name = f"discount@price-{_PROMOTION}#{guid('rule', line.key)}"
        tags.append(
            {
                "name": name,
                "value": -line.discount,
                "isPercentual": False,
                "identifier": _PROMOTION,
                "rawValue": -line.discount / 100,
            }
        )
    return {
        "uniqueId": unique_id(seed, order.index, line),
        "id": sku,
        "productId": str(501 + line.product),
        "ean": ean(f"789{line.product:04d}{1001 + line.product:05d}"),
        "lockId": order.order_id,
        "itemAttachment": {"content": {}, "name": None},
        "attachments": [],
        "quantity": line.quantity,
        "seller": "1",
        "name": product.name,
        "refId": f"REF-{sku}",
        "price": line.price,
        "listPrice": line.price,
        "manualPrice": None,
        "priceTags": tags,
        "imageUrl": f"https://teststore.vteximg.com.br/arquivos/ids/{sku}-55-55",
        "detailUrl": f"/produto-{sku}/p",
        "components": [],
        "bundleItems": [],
        "params": [],
        "offerings": [],
        "attachmentOfferings": [],
        "sellerSku": sku,
        "priceValidUntil": None,
        "commission": 0,
        "tax": 0,
        "preSaleDate": None,
        "additionalInfo": {
            "brandName": product.brand,
            "brandId": str(2000 + line.product),
            "categoriesIds": f"/{10 + line.product}/",
            "categories": [{"id": 10 + line.product, "name": product.category}],
            "productClusterId": "",
            "commercialConditionId": "1",
            "dimension": {"cubicweight": 0.6, "height": 10.0, "length": 20.0, "weight": 750.0, "width": 15.0},
            "offeringInfo": None,
            "offeringType": None,
            "offeringTypeId": None,
        },
        "measurementUnit": product.unit,
        "unitMultiplier": 1.0,
        "sellingPrice": line.selling_price,
        "isGift": False,
        "shippingPrice": None,
        "rewardValue": 0,
        "freightCommission": 0,
        "priceDefinition": {
            "sellingPrices": [{"value": line.selling_price, "quantity": line.quantity}],
            "calculatedSellingPrice": line.selling_price,
            "total": line.total,
            "reason": None,
        },
        "taxCode": None,
        "parentItemIndex": None,
        "parentAssemblyBinding": None,
        "callCenterOperator": None,
        "serialNumbers": None,
        "assemblies": [],
        "costPrice": line.price * 6 // 10,
    }


def metadata(line: dict[str, Any]) -> dict[str, Any]:
    """Repeat a line in the form of itemMetadata."""
    return {
        "Id": line["id"],
        "Seller": line["seller"],
        "Name": line["name"],
        "SkuName": line["name"],
        "ProductId": line["productId"],
        "RefId": line["refId"],
        "Ean": line["ean"],
        "ImageUrl": line["imageUrl"],
        "DetailUrl": line["detailUrl"],
        "AssemblyOptions": [],
    }
