"""Order documents as VTEX's get-order answers them: Brazilian, plausible, and the same for the same seed.

Nothing is stored: a document is computed from the seed, the number of the order and the few facts that change
(status, dates). All money is in cents.
"""

from __future__ import annotations

import random
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from workers.sandbox.catalog import CARRIERS, FIRST_NAMES, LAST_NAMES, PAYMENTS, PLACES, PRODUCTS
from workers.sandbox.clock import stamp
from workers.sandbox.machine import ALLOWS_CANCELLATION, ALLOWS_CHANGES, DESCRIPTIONS

if TYPE_CHECKING:
    from workers.sandbox.store import Order

_DAY = 86_400
_CORPORATE = 0.08  # of the buyers are companies
_AFFILIATED = 0.1  # of the orders come from a marketplace
_DISCOUNTED = 0.3
_CUSTOM = 0.2


def order_id(seed: int, index: int) -> str:
    """Return the id of order number ``index``: thirteen digits and the number of the split, ``-01``."""
    return f"{1_000_000_000_000 + seed % 900 * 10**9 + index * 13 + seed % 13}-01"


def sequence(index: int) -> str:
    """Return the number that people call the order by; get-order takes it as ``seq500001``."""
    return str(500_001 + index)


class Line(NamedTuple):
    """One line of an order."""

    product: int
    quantity: int
    price: int
    discount: int  # of the whole line

    @property
    def selling_price(self) -> int:
        """Return the unit price after the discount, rounded: so lines need not add up to the total, as at VTEX."""
        return self.price - round(self.discount / self.quantity)


class Facts(NamedTuple):
    """What the dice said about an order, before it becomes a document."""

    first_name: str
    last_name: str
    cpf: str
    place: int
    lines: list[Line]
    carrier: int
    payment: int
    shipping: list[int]
    affiliate: str
    corporate: bool
    custom: bool
    value: int


def facts(seed: int, index: int, items: int | None = None) -> Facts:
    """Throw the dice for an order; ``items`` fixes the number of its lines."""
    dice = random.Random(f"order:{seed}:{index}")
    count = items or dice.choices((1, 2, 3, 4, 5), (45, 25, 15, 10, 5))[0]
    lines = []
    for _ in range(count):
        product = dice.randrange(len(PRODUCTS))
        price = PRODUCTS[product].price
        quantity = dice.choices((1, 2, 3, 5), (75, 15, 7, 3))[0]
        discount = price * quantity * 5 // 100 if dice.random() < _DISCOUNTED else 0
        lines.append(Line(product, quantity, price, discount))
    carrier = dice.randrange(len(CARRIERS))
    freight = CARRIERS[carrier].price
    shipping = [freight // count] * count
    shipping[0] += freight - sum(shipping)
    return Facts(
        first_name=dice.choice(FIRST_NAMES),
        last_name=dice.choice(LAST_NAMES),
        cpf=cpf(dice),
        place=dice.randrange(len(PLACES)),
        lines=lines,
        carrier=carrier,
        payment=dice.randrange(len(PAYMENTS)),
        shipping=shipping,
        affiliate="MLB" if dice.random() < _AFFILIATED else "",
        corporate=dice.random() < _CORPORATE,
        custom=dice.random() < _CUSTOM,
        value=sum(line.price * line.quantity - line.discount for line in lines) + freight,
    )


def cpf(dice: random.Random) -> str:
    """Make a CPF whose check digits are right."""
    digits = [dice.randrange(10) for _ in range(9)]
    for length in (9, 10):
        rest = (
            sum(digit * weight for digit, weight in zip(digits, range(length + 1, 1, -1), strict=True))
            * 10
            % 11
        )
        digits.append(rest % 10)
    return "".join(map(str, digits))


def identifier(*parts: object) -> str:
    """Return 32 upper-case hexadecimal digits that belong to these parts, as VTEX's ids look."""
    return blake2b("|".join(map(str, parts)).encode(), digest_size=16).hexdigest().upper()


def guid(*parts: object) -> str:
    """Return an identifier in the form of a GUID."""
    text = identifier(*parts).lower()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def document(account: str, seed: int, order: Order) -> dict[str, Any]:
    """Write the whole order as get-order answers it."""
    known = facts(seed, order.index, order.items)
    group = order.order_id[:-3]
    affiliated = bool(known.affiliate)
    created = stamp(order.created, "+00:00")
    items = [_item(seed, order, number, line) for number, line in enumerate(known.lines)]
    written: dict[str, Any] = {
        "orderId": order.order_id,
        "sequence": sequence(order.index),
        "marketplaceOrderId": f"20000{order.index:08d}" if affiliated else "",
        "marketplaceServicesEndpoint": None,
        "sellerOrderId": f"00-{order.order_id}",
        "origin": "Fulfillment" if affiliated else "Marketplace",
        "affiliateId": known.affiliate,
        "salesChannel": "2" if affiliated else "1",
        "merchantName": None,
        "status": order.status,
        "workflowIsInError": False,
        "statusDescription": DESCRIPTIONS.get(order.status or "", ""),
        "value": known.value,
        "creationDate": created,
        "lastChange": stamp(order.changed, "+00:00"),
        "orderGroup": None if affiliated else group,
        "followUpEmail": _email(seed, order),
        "lastMessage": None,
        "hostname": account,
        "isCompleted": order.status is not None,
        "roundingError": 0,
        "orderFormId": identifier("form", seed, order.index).lower(),
        "allowCancellation": order.status in ALLOWS_CANCELLATION,
        "allowEdition": order.status in ALLOWS_CHANGES,
        "isCheckedIn": False,
        "authorizedDate": None if order.authorized is None else stamp(order.authorized, "+00:00"),
        "invoicedDate": None,
        "cancelReason": None,
        "checkedInPickupPointId": None,
        "totals": _totals(known),
        "sellers": [{"id": "1", "name": account, "logo": "", "fulfillmentEndpoint": None}],
        "clientPreferencesData": {"locale": "pt-BR", "optinNewsLetter": order.index % 2 == 0},
        "cancellationData": None,
        "cancellationRequests": None,
        "taxData": None,
        "subscriptionData": None,
        "itemMetadata": {"Items": [_metadata(item) for item in items]},
        "marketplace": {
            "baseURL": f"http://oms.vtexinternal.com.br/api/oms?an={account}",
            "isCertified": None,
            "name": account,
        },
        "storePreferencesData": _STORE,
        "customData": _custom(order) if known.custom else None,
        "commercialConditionData": None,
        "openTextField": None,
        "invoiceData": None,
        "changesAttachment": None,
        "callCenterOperatorData": None,
        "packageAttachment": {"packages": []},
        "paymentData": _payment(account, seed, order, known),
        "shippingData": _shipping(seed, order, known),
        "ratesAndBenefitsData": {"id": "ratesAndBenefitsData", "rateAndBenefitsIdentifiers": []},
        "marketingData": None,
        "giftRegistryData": None,
        "clientProfileData": _client(seed, order, known),
        "items": items,
        "marketplaceItems": [],
    }
    if order.extra:
        written.update(order.extra)
    return written


_STORE = {
    "countryCode": "BRA",
    "currencyCode": "BRL",
    "currencyFormatInfo": {
        "CurrencyDecimalDigits": 2,
        "CurrencyDecimalSeparator": ",",
        "CurrencyGroupSeparator": ".",
        "CurrencyGroupSize": 3,
        "StartsWithCurrencySymbol": True,
    },
    "currencyLocale": 1046,
    "currencySymbol": "R$",
    "timeZone": "E. South America Standard Time",
}


def _totals(known: Facts) -> list[dict[str, Any]]:
    goods = sum(line.price * line.quantity for line in known.lines)
    discounts = -sum(line.discount for line in known.lines)
    return [
        {"id": "Items", "name": "Total dos Itens", "value": goods},
        {"id": "Discounts", "name": "Total dos Descontos", "value": discounts},
        {"id": "Shipping", "name": "Total do Frete", "value": sum(known.shipping)},
        {"id": "Tax", "name": "Total da Taxa", "value": 0},
    ]


def _email(seed: int, order: Order) -> str:
    # VTEX masks the address of the buyer for the store.
    return f"{identifier('mail', seed, order.index).lower()}-{order.index % 100_000:05d}b.b@ct.vtex.com.br"


def _phone(order: Order, known: Facts) -> str:
    return f"+55{PLACES[known.place].area_code}9{order.index * 7919 % 10**8:08d}"


def _client(seed: int, order: Order, known: Facts) -> dict[str, Any]:
    company = f"{known.last_name} Comércio Ltda." if known.corporate else None
    return {
        "id": "clientProfileData",
        "email": _email(seed, order),
        "firstName": known.first_name,
        "lastName": known.last_name,
        "documentType": "cpf",
        "document": known.cpf,
        "phone": _phone(order, known),
        "corporateName": company,
        "tradeName": company,
        "corporateDocument": f"{known.cpf[:8]}000191" if known.corporate else None,
        "stateInscription": "ISENTO" if known.corporate else None,
        "corporatePhone": _phone(order, known) if known.corporate else None,
        "isCorporate": known.corporate,
        "userProfileId": guid("profile", seed, order.index),
        "userProfileVersion": None,
        "customerClass": None,
        "customerCode": None,
    }


def _item(seed: int, order: Order, number: int, line: Line) -> dict[str, Any]:
    product = PRODUCTS[line.product]
    sku = str(1001 + line.product)
    tags = []
    if line.discount:
        name = f"discount@price-{guid('promotion', 1)}#{guid('rule', number)}"
        tags.append(
            {
                "name": name,
                "value": -line.discount,
                "isPercentual": False,
                "identifier": guid("promotion", 1),
                "rawValue": -line.discount / 100,
            }
        )
    total = line.price * line.quantity - line.discount
    return {
        "uniqueId": identifier("line", seed, order.index, number),
        "id": sku,
        "productId": str(501 + line.product),
        "ean": f"789{line.product:04d}{1001 + line.product:06d}",
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
            "total": total,
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


def _metadata(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "Id": item["id"],
        "Seller": item["seller"],
        "Name": item["name"],
        "SkuName": item["name"],
        "ProductId": item["productId"],
        "RefId": item["refId"],
        "Ean": item["ean"],
        "ImageUrl": item["imageUrl"],
        "DetailUrl": item["detailUrl"],
        "AssemblyOptions": [],
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


def _shipping(seed: int, order: Order, known: Facts) -> dict[str, Any]:
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


def _payment(account: str, seed: int, order: Order, known: Facts) -> dict[str, Any]:
    payment = PAYMENTS[known.payment]
    tid = str(60_000_000 + order.index)
    card = payment.group == "creditCard"
    return {
        "giftCards": [],
        "transactions": [
            {
                "isActive": True,
                "transactionId": identifier("transaction", seed, order.index),
                "merchantName": account.upper(),
                "payments": [
                    {
                        "id": identifier("payment", seed, order.index),
                        "paymentSystem": payment.system,
                        "paymentSystemName": payment.name,
                        "value": known.value,
                        "installments": 1 + order.index % 6 if card else 1,
                        "referenceValue": known.value,
                        "cardHolder": None,
                        "cardNumber": None,
                        "firstDigits": "444433" if card else None,
                        "lastDigits": f"{order.index % 10_000:04d}" if card else None,
                        "cvv2": None,
                        "expireMonth": None,
                        "expireYear": None,
                        "url": None,
                        "giftCardId": None,
                        "redemptionCode": None,
                        "group": payment.group,
                        "tid": tid,
                        "dueDate": None,
                        "connectorResponses": {
                            "Tid": tid,
                            "ReturnCode": "200",
                            "Message": "Aprovada",
                            "authId": tid[2:],
                        },
                        "giftCardProvider": None,
                        "koinUrl": None,
                        "accountId": None,
                        "parentAccountId": None,
                        "bankIssuedInvoiceIdentificationNumber": None,
                        "billingAddress": None,
                        "paymentOrigin": None,
                    }
                ],
            }
        ],
    }


def _custom(order: Order) -> dict[str, Any]:
    return {
        "customApps": [{"id": "nota-fiscal", "major": 1, "fields": {"cpfNaNota": "sim"}}],
        "customFields": [
            {
                "linkedEntity": {"type": "order", "id": order.order_id},
                "fields": [{"name": "Centro de custo", "value": f"CC{order.index % 9 + 1}"}],
            }
        ],
    }
