"""The invoice that an ERP sends, and what VTEX gets of it.

Source: "Order invoice notification" in VTEX's orders API reference, VTEX's ERP guide and its known issues.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from marshmallow import ValidationError, post_load, validates_schema

from workers.vtex import access_key
from workers.vtex.forms import Form, fingerprint, given
from workers.vtex.values import Cents, Choice, Count, Flag, InvoiceNumber, Many, Text, Url, When, Xml

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

LONGEST_DESCRIPTION = 5000


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """A line of an invoice. ``price`` is that of one unit, in cents: VTEX multiplies it by the quantity."""

    id: str
    price: int
    quantity: int
    description: str | None
    extra: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """The item as VTEX wants it."""
        own = given(id=self.id, price=self.price, quantity=self.quantity, description=self.description)
        return {**self.extra, **own}


@dataclass(frozen=True, slots=True, repr=False)
class Invoice:
    """An invoice, ready to be sent. ``value`` is in cents.

    ``issued`` and ``dispatched`` carry a time and an offset. An ``Input`` is a return: it moves money back.
    ``force`` is ours: send it although a cancellation of the order is requested, which then lapses.
    """

    type: Literal["Output", "Input"]
    number: str
    value: int
    issued: str
    items: tuple[Item, ...]
    key: str | None
    url: str | None
    embedded: str | None
    courier: str
    tracking_number: str
    tracking_url: str
    dispatched: str | None
    force: bool
    extra: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Invoice {self.type} {self.number}>"

    @property
    def moves_money_back(self) -> bool:
        """Whether VTEX refunds the customer when it gets this invoice."""
        return self.type == "Input"

    def body(self) -> dict[str, Any]:
        """The invoice as VTEX wants it: the value as text, tracking that is not known yet as empty texts."""
        optional = given(
            invoiceKey=self.key,
            invoiceUrl=self.url,
            embeddedInvoice=self.embedded,
            dispatchedDate=self.dispatched,
        )
        return {
            **self.extra,
            "type": self.type,
            "issuanceDate": self.issued,
            "invoiceNumber": self.number,
            "invoiceValue": str(self.value),
            **optional,
            "courier": self.courier,
            "trackingNumber": self.tracking_number,
            "trackingUrl": self.tracking_url,
            "items": [item.body() for item in self.items],
        }

    def fingerprint(self) -> str:
        """The same for the same invoice, however its numbers were spelt."""
        return fingerprint("invoice", self)


class ItemSchema(Form):
    """One line of an invoice."""

    open_: ClassVar[bool] = True

    id = Text("The SKU's id at VTEX", longest=100, required=True)
    price = Cents("Price of one unit in cents; VTEX multiplies it by the quantity", required=True)
    quantity = Count("How many of it are invoiced", required=True)
    description = Text("Free text", longest=LONGEST_DESCRIPTION, lines=True, load_default=None)

    @post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Any, **_: Any) -> Item:
        return Item(**data, extra=self.strange(original))


class InvoiceSchema(Form):
    """An invoice. Fields that are not listed are passed to VTEX as they are.

    A name that resembles a listed one is refused.
    """

    open_: ClassVar[bool] = True

    type = Choice(
        "Output: a sale's invoice. Input: a return's, and VTEX refunds its value to the customer",
        of=("Output", "Input"),
        required=True,
    )
    issued = When(
        "When it was issued; without an offset, in the store's time zone",
        data_key="issuanceDate",
        required=True,
    )
    number = InvoiceNumber(
        "Unique for the order; letters, digits and hyphens", data_key="invoiceNumber", required=True
    )
    value = Cents(
        "What is invoiced in cents, with shipping and taxes; more than 0",
        data_key="invoiceValue",
        least=1,
        required=True,
    )
    items = Many(ItemSchema, "What is invoiced", least=1, required=True)
    key = Text(
        "The tax authority's access key; of an Output, one of digits is an NF-e's, with its right check digit",
        longest=200,
        data_key="invoiceKey",
        load_default=None,
    )
    url = Url("Where the customer can see it", data_key="invoiceUrl", load_default=None)
    embedded = Xml(
        "The invoice's XML document (some marketplaces need it)",
        data_key="embeddedInvoice",
        load_default=None,
    )
    courier = Text("The carrier's name", longest=200, load_default=None)
    tracking_number = Text(
        "The carrier's number of the parcel", longest=200, data_key="trackingNumber", load_default=None
    )
    tracking_url = Url("Where to follow the parcel", data_key="trackingUrl", load_default=None)
    dispatched = When("When the parcel left", data_key="dispatchedDate", load_default=None)
    force = Flag(
        "Not sent to VTEX. True: invoice although a cancellation is requested (the request lapses by it)",
        load_default=None,
    )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _check_return(self, data: Any, original: Any, **_: Any) -> None:
        """VTEX does not refund a return in which a SKU stands twice, and does not say so (a known issue)."""
        items = original.get("items") if isinstance(original, dict) else None
        if data.get("type") != "Input" or not isinstance(items, list):
            return
        ids = [str(item["id"]).strip() for item in items if isinstance(item, dict) and "id" in item]
        if twice := [sku for sku, times in Counter(ids).items() if times > 1]:
            raise ValidationError(
                f"the same SKU stands twice in a return (items {_places(ids, twice[0])}), and VTEX would not refund "
                "it; write it once, with the whole quantity",
                "items",
            )

    @validates_schema(skip_on_field_errors=False)
    def _check_key(self, data: Any, **_: Any) -> None:
        try:
            _sent_key(data)
        except ValueError as error:
            raise ValidationError(str(error), "invoiceKey") from None

    @post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Any, **_: Any) -> dict[str, Any]:
        return {**data, "key": _sent_key(data), "extra": self.strange(original)}


def _sent_key(data: Mapping[str, Any]) -> str | None:
    """The access key as VTEX gets it. That of a return is perhaps the customer's, and passes as it is."""
    key: str | None = data.get("key")
    return access_key.read(key) if key and data.get("type") == "Output" else key


def _places(ids: list[str], sku: str) -> str:
    return " and ".join(f"[{place}]" for place, own in enumerate(ids) if own == sku)


def make_invoice(data: Mapping[str, Any], zone: tzinfo) -> Invoice:
    """The invoice of a loaded form; dates without an offset are of ``zone``."""
    dispatched = data["dispatched"]
    return Invoice(
        type=data["type"],
        number=data["number"],
        value=data["value"],
        issued=data["issued"].instant(zone),
        items=tuple(data["items"]),
        key=data["key"],
        url=data["url"],
        embedded=data["embedded"],
        courier=data["courier"] or "",
        tracking_number=data["tracking_number"] or "",
        tracking_url=data["tracking_url"] or "",
        dispatched=dispatched.instant(zone) if dispatched else None,
        force=bool(data["force"]),
        extra=data["extra"],
    )
