"""The order as get-order answers it, put together from its facts. All money is in cents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.sandbox.catalog import PAYMENTS, PLACES
from workers.sandbox.clock import stamp
from workers.sandbox.lines import item, metadata
from workers.sandbox.machine import ALLOWS_CANCELLATION, ALLOWS_CHANGES, DESCRIPTIONS
from workers.sandbox.orders import cnpj, guid, identifier, sequence
from workers.sandbox.shipping import shipping

if TYPE_CHECKING:
    from workers.sandbox.orders import Facts
    from workers.sandbox.store import Order

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


def document(account: str, seed: int, order: Order, known: Facts) -> dict[str, Any]:
    """Write the whole order as get-order answers it."""
    group = order.order_id[:-3]
    affiliated = bool(known.affiliate)
    created = stamp(order.created, "+00:00")
    items = [item(seed, order, line) for line in known.lines]
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
        "orderGroup": group,
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
        "invoicedDate": None if order.invoiced is None else stamp(order.invoiced, "+00:00"),
        "cancelReason": None,
        "checkedInPickupPointId": None,
        "totals": _totals(known),
        "sellers": [
            {
                "id": "1",
                "name": account,
                "logo": "",
                "fulfillmentEndpoint": f"http://fulfillment.vtexcommerce.com.br/api/fulfillment?an={account}",
            }
        ],
        "clientPreferencesData": {"locale": "pt-BR", "optinNewsLetter": order.index % 2 == 0},
        "cancellationData": None,
        "cancellationRequests": None,
        "taxData": None,
        "subscriptionData": None,
        "itemMetadata": {"Items": [metadata(line) for line in items]},
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
        "shippingData": shipping(seed, order, known),
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


def _totals(known: Facts) -> list[dict[str, Any]]:
    """Write the four totals that get-order knows; what a change adds or takes by hand has none of its own."""
    goods = sum(line.price * line.quantity for line in known.lines)
    discounts = -sum(line.discount for line in known.lines)
    return [
        {"id": "Items", "name": "Total dos Itens", "value": goods + max(known.manual, 0)},
        {"id": "Discounts", "name": "Total dos Descontos", "value": discounts + min(known.manual, 0)},
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
        "corporateDocument": cnpj(known.cpf[:8]) if known.corporate else None,
        "stateInscription": "ISENTO" if known.corporate else None,
        "corporatePhone": _phone(order, known) if known.corporate else None,
        "isCorporate": known.corporate,
        "userProfileId": guid("profile", seed, order.index),
        "userProfileVersion": None,
        "customerClass": None,
        "customerCode": None,
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
