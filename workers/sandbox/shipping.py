"""Where an order goes, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.catalog import CARRIERS, PLACES
from workers.sandbox.clock import stamp
from workers.sandbox.orders import identifier

if TYPE_CHECKING:
    from workers.sandbox.orders import Facts
    from workers.sandbox.store import Order

_DAY = 86_400


def shipping(seed: int, order: Order, known: Facts) -> dict[str, Any]:
    """Write shippingData."""
    address = _address(seed, order, known)
    carrier = CARRIERS[known.carrier]
    due = stamp(order.created + carrier.days * _DAY, "+00:00")
    store = {
        "additionalInfo": None,
        "address": None,
        "dockId": None,
        "friendlyName": None,
        "isPickupStore": False,
    }
    logistics = []
    for number, (line, price) in enumerate(zip(known.lines, known.shipping, strict=True)):
        sla = {
            "id": carrier.name,
            "name": carrier.name,
            "shippingEstimate": carrier.estimate,
            "deliveryWindow": None,
            "price": price,
            "deliveryChannel": "delivery",
            "pickupStoreInfo": store,
            "polygonName": None,
            "lockTTL": "10d",
            "pickupPointId": None,
            "transitTime": f"{carrier.days}d",
            "pickupDistance": 0.0,
        }
        logistics.append(
            {
                "itemIndex": number,
                "selectedSla": carrier.name,
                "lockTTL": "10d",
                "price": price,
                "listPrice": price,
                "sellingPrice": price,
                "deliveryWindow": None,
                "deliveryCompany": carrier.company,
                "shippingEstimate": carrier.estimate,
                "shippingEstimateDate": due,
                "slas": [sla],
                "shipsTo": ["BRA"],
                "deliveryIds": [
                    {
                        "courierId": f"courier-{known.carrier}",
                        "courierName": carrier.company,
                        "dockId": "1",
                        "quantity": line.quantity,
                        "warehouseId": "1_1",
                        "accountCarrierName": "teststore",
                        "kitItemDetails": [],
                    }
                ],
                "deliveryChannels": [{"id": "delivery", "stockBalance": 0}],
                "deliveryChannel": "delivery",
                "pickupStoreInfo": store,
                "addressId": address["addressId"],
                "versionId": None,
                "entityId": None,
                "polygonName": None,
                "pickupPointId": None,
                "transitTime": f"{carrier.days}d",
            }
        )
    return {
        "id": "shippingData",
        "address": address,
        "logisticsInfo": logistics,
        "trackingHints": None,
        "selectedAddresses": [address],
        "contactInformation": [],
    }


def _address(seed: int, order: Order, known: Facts) -> dict[str, Any]:
    place = PLACES[known.place]
    return {
        "addressType": "residential",
        "receiverName": f"{known.first_name} {known.last_name}",
        "addressId": identifier("address", seed, order.index)[:13].lower(),
        "versionId": None,
        "entityId": None,
        "postalCode": place.postal_code,
        "city": place.city,
        "state": place.state,
        "country": "BRA",
        "street": place.street,
        "number": str(1 + order.index * 37 % 2400),
        "neighborhood": place.neighborhood,
        "complement": f"Apto {order.index % 180 + 11}" if order.index % 3 else "",
        "reference": None,
        "geoCoordinates": [place.longitude, place.latitude],
    }
