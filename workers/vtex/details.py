"""What must be known of an order before anything is written to it.

Read from the order document on demand: invoices and their tracking, totals, cancellations, changes. As lenient
as the rest: a field of a wrong type is None, and names are understood in whatever case, since VTEX's documents
differ in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from marshmallow import post_load

from workers.vtex.lenient import OPTIONAL, AnyCase, Count, Flag, Part, Parts, Text, Words, lower_keys

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PackageItem:
    """What of a line is in a package: the line's place in the order, how many, and the unit's price in cents."""

    index: int | None
    quantity: int | None
    price: int | None


@dataclass(frozen=True, slots=True, repr=False)
class PackageEvent:
    """Something that happened to a parcel; ``date`` as VTEX shows it."""

    city: str
    state: str
    description: str
    date: str


@dataclass(frozen=True, slots=True, repr=False)
class Package:
    """An invoice as VTEX knows it, with its tracking. ``value`` is in cents, ``type`` Output or Input.

    What get-order shows is put together anew by VTEX: items and descriptions need not be those that were sent.
    """

    number: str | None
    type: str | None
    value: int | None
    issued: str | None
    key: str | None
    url: str | None
    courier: str | None
    tracking_number: str | None
    tracking_url: str | None
    finished: bool  # delivered, and ``delivered`` is when
    delivered: str | None
    events: tuple[PackageEvent, ...]
    items: tuple[PackageItem, ...]

    def __repr__(self) -> str:
        return f"<Package {self.type} {self.number} {self.value}>"

    @property
    def is_return(self) -> bool:
        """Whether it is an Input; a package that does not say is an Output."""
        return self.type == "Input"


@dataclass(frozen=True, slots=True, repr=False)
class CancellationRequest:
    """Somebody asked for a cancellation; ``denied`` if somebody refused it."""

    id: str | None
    reason: str | None
    requested_by_user: bool | None
    at: str | None
    denied: bool


@dataclass(frozen=True, slots=True, repr=False)
class Cancellation:
    """How the order was canceled. VTEX may fill it in later, or with somebody else's reason (known issues)."""

    reason: str | None
    requested_by_user: bool | None
    at: str | None


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A SKU of a change that was made."""

    id: str | None
    quantity: int | None
    price: int | None


@dataclass(frozen=True, slots=True, repr=False)
class MadeChange:
    """A change that is part of the order. Money is in cents."""

    reason: str | None
    discount: int
    increment: int
    added: tuple[ChangedLine, ...]
    removed: tuple[ChangedLine, ...]
    receipt: str | None
    at: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the order. Prices are of one unit, in cents; their sum need not be the order's value."""

    id: str | None
    unique_id: str | None
    quantity: int | None
    price: int | None
    selling_price: int | None


class OrderDetails:
    """An order with all that writing to it depends on. Money is in cents; dates are as VTEX wrote them.

    Each part is read when it is asked for first: what asks needs one or two of them.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = lower_keys(document)

    @cached_property
    def value(self) -> int | None:
        """What the order comes to."""
        return cast("int | None", _COUNT.deserialize(self._document.get("value")))

    @cached_property
    def totals(self) -> Mapping[str, int | None]:
        """Items, discounts, shipping and so on."""
        return {total["id"]: total["value"] for total in self._parts(_TOTALS, "totals") if total["id"]}

    @property
    def allow_cancellation(self) -> bool | None:
        return _FLAG.deserialize(self._document.get("allowcancellation"))

    @cached_property
    def packages(self) -> tuple[Package, ...]:
        """Its invoices."""
        attachment = _PACKAGES.deserialize(self._document.get("packageattachment"))
        return cast("tuple[Package, ...]", (attachment or {}).get("packages") or ())

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """What was sold."""
        return self._parts(_LINES, "items")

    @cached_property
    def cancellation_requests(self) -> tuple[CancellationRequest, ...]:
        """Who asked for a cancellation, the earliest first."""
        return self._parts(_REQUESTS, "cancellationrequests")

    @cached_property
    def cancellation(self) -> Cancellation | None:
        """How it was canceled."""
        return cast("Cancellation | None", _CANCELLATION.deserialize(self._document.get("cancellationdata")))

    @cached_property
    def changes(self) -> tuple[MadeChange, ...]:
        """What was changed."""
        attachment = _CHANGES.deserialize(self._document.get("changesattachment"))
        return cast("tuple[MadeChange, ...]", (attachment or {}).get("data") or ())

    def _parts(self, form: Parts, name: str) -> tuple[Any, ...]:
        return form.deserialize(self._document.get(name)) or ()

    def invoices(self, number: str, kind: str | None = None) -> tuple[Package, ...]:
        """The packages of that invoice number (and of that type)."""
        return tuple(
            package
            for package in self.packages
            if package.number == number and kind in (None, "Input" if package.is_return else "Output")
        )

    @property
    def outputs(self) -> tuple[Package, ...]:
        """The sale's invoices, without returns."""
        return tuple(package for package in self.packages if not package.is_return)

    @property
    def invoiced(self) -> int:
        """What the sale's invoices come to."""
        return sum(package.value or 0 for package in self.outputs)

    @property
    def denials(self) -> int:
        """How many requests to cancel were refused."""
        return sum(request.denied for request in self.cancellation_requests)

    @property
    def open_request(self) -> CancellationRequest | None:
        """The last request to cancel that nobody refused. Whether it still stands, the order's status says."""
        return next((request for request in reversed(self.cancellation_requests) if not request.denied), None)


class _EventSchema(AnyCase):
    city = Words(**OPTIONAL)
    state = Words(**OPTIONAL)
    description = Words(**OPTIONAL)
    createdate = Text(**OPTIONAL)
    lastchange = Text(**OPTIONAL)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> PackageEvent:
        return PackageEvent(
            city=data["city"] or "",
            state=data["state"] or "",
            description=data["description"] or "",
            date=data["createdate"] or data["lastchange"] or "",
        )


class _CourierStatusSchema(AnyCase):
    finished = Flag(**OPTIONAL)
    delivereddate = Text(**OPTIONAL)
    data = Parts(_EventSchema())


class _PackageItemSchema(AnyCase):
    index = Count(data_key="itemindex", **OPTIONAL)
    quantity = Count(**OPTIONAL)
    price = Count(**OPTIONAL)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> PackageItem:
        return PackageItem(**data)


class _PackageSchema(AnyCase):
    number = Text(data_key="invoicenumber", **OPTIONAL)
    type = Text(**OPTIONAL)
    value = Count(data_key="invoicevalue", **OPTIONAL)
    issued = Text(data_key="issuancedate", **OPTIONAL)
    key = Text(data_key="invoicekey", **OPTIONAL)
    url = Text(data_key="invoiceurl", **OPTIONAL)
    courier = Words(**OPTIONAL)
    tracking_number = Text(data_key="trackingnumber", **OPTIONAL)
    tracking_url = Text(data_key="trackingurl", **OPTIONAL)
    status = Part(_CourierStatusSchema(), data_key="courierstatus")
    items = Parts(_PackageItemSchema())

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Package:
        status = data.pop("status") or {}
        data["type"] = data["type"].capitalize() if data["type"] else None
        return Package(
            **{**data, "items": data["items"] or ()},
            finished=status.get("finished") is True,
            delivered=status.get("delivereddate"),
            events=status.get("data") or (),
        )


class _PackagesSchema(AnyCase):
    packages = Parts(_PackageSchema())


class _RequestSchema(AnyCase):
    id = Text(**OPTIONAL)
    reason = Words(**OPTIONAL)
    requested_by_user = Flag(data_key="requestedbyuser", **OPTIONAL)
    at = Text(data_key="cancellationrequestdate", **OPTIONAL)
    denied = Flag(data_key="deniedbyseller", **OPTIONAL)
    denied_at = Text(data_key="cancellationrequestdenydate", **OPTIONAL)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> CancellationRequest:
        said, at = data.pop("denied"), data.pop("denied_at")
        return CancellationRequest(**data, denied=said is True or at is not None)


class _CancellationSchema(AnyCase):
    reason = Text(**OPTIONAL)
    requested_by_user = Flag(data_key="requestedbyuser", **OPTIONAL)
    at = Text(data_key="cancellationdate", **OPTIONAL)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Cancellation:
        return Cancellation(**data)


class _ChangedLineSchema(AnyCase):
    id = Text(**OPTIONAL)
    quantity = Count(**OPTIONAL)
    price = Count(**OPTIONAL)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> ChangedLine:
        return ChangedLine(**data)


class _ChangeReceiptSchema(AnyCase):
    receipt = Text(**OPTIONAL)
    date = Text(**OPTIONAL)


class _MadeChangeSchema(AnyCase):
    reason = Text(**OPTIONAL)
    discount = Count(data_key="discountvalue", **OPTIONAL)
    increment = Count(data_key="incrementvalue", **OPTIONAL)
    added = Parts(_ChangedLineSchema(), data_key="itemsadded")
    removed = Parts(_ChangedLineSchema(), data_key="itemsremoved")
    receipt = Part(_ChangeReceiptSchema())

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> MadeChange:
        receipt = data["receipt"] or {}
        return MadeChange(
            reason=data["reason"],
            discount=data["discount"] or 0,
            increment=data["increment"] or 0,
            added=data["added"] or (),
            removed=data["removed"] or (),
            receipt=receipt.get("receipt"),
            at=receipt.get("date"),
        )


class _ChangesSchema(AnyCase):
    data = Parts(_MadeChangeSchema(), data_key="changesdata")


class _LineSchema(AnyCase):
    id = Text(**OPTIONAL)
    unique_id = Text(data_key="uniqueid", **OPTIONAL)
    quantity = Count(**OPTIONAL)
    price = Count(**OPTIONAL)
    selling_price = Count(data_key="sellingprice", **OPTIONAL)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Line:
        return Line(**data)


class _TotalSchema(AnyCase):
    id = Text(**OPTIONAL)
    value = Count(**OPTIONAL)


# Building a form costs more than using it: each is built once. Loading is safe from many threads.
_COUNT, _FLAG = Count(**OPTIONAL), Flag(**OPTIONAL)
_TOTALS, _LINES, _REQUESTS = Parts(_TotalSchema()), Parts(_LineSchema()), Parts(_RequestSchema())
_PACKAGES, _CANCELLATION = Part(_PackagesSchema()), Part(_CancellationSchema())
_CHANGES = Part(_ChangesSchema())
