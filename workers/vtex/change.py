"""The change of an order that an ERP asks for, and what VTEX gets of it.

Two spellings are understood: that of VTEX's ERP guide, which is of an API that VTEX has retired, and that of its
successor, order modifications. Either can be asked for in either spelling, as far as it can say it.
Source: VTEX's orders API reference, its order modifications guide and its known issues.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import ValidationError, post_load, validates_schema

from workers.errors import Invalid
from workers.vtex.forms import Form, fingerprint, given
from workers.vtex.values import Cents, Count, Many, One, Text, Thing

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_REASON = 1000
_GUIDE = ("discountValue", "incrementValue", "itemsAdded", "itemsRemoved")
_MODIFICATIONS = ("manualDiscountValue", "manualIncrementValue", "add", "remove", "replace", "settings")


@dataclass(frozen=True, slots=True, repr=False)
class ChangedItem:
    """An item of a change. ``unique_id`` tells apart lines of the same SKU; ``price`` is in cents."""

    id: str
    quantity: int
    price: int | None
    unique_id: str | None
    extra: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """The item as order modifications want it."""
        own = given(id=self.id, quantity=self.quantity, price=self.price, uniqueId=self.unique_id)
        return {**self.extra, **own}


@dataclass(frozen=True, slots=True, repr=False)
class Side:
    """One side of a replacement, ``extra`` its shippingData and whatever else."""

    items: tuple[ChangedItem, ...]
    extra: Mapping[str, Any]

    def body(self) -> dict[str, Any]:
        """The side as order modifications want it."""
        return {**self.extra, "items": [item.body() for item in self.items]}


@dataclass(frozen=True, slots=True, repr=False)
class Replacement:
    """Items that go, and items that come for them."""

    old: Side
    new: Side

    def body(self) -> dict[str, Any]:
        """The replacement as order modifications want it."""
        return {"from": self.old.body(), "to": self.new.body()}


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """A change of an order, ready to be asked for. ``discount`` and ``increment`` are in cents."""

    reason: str
    discount: int
    increment: int
    added: tuple[ChangedItem, ...]
    removed: tuple[ChangedItem, ...]
    replaced: tuple[Replacement, ...]
    settings: Mapping[str, Any] | None

    def __repr__(self) -> str:
        return f"<Change +{len(self.added)} -{len(self.removed)} ~{len(self.replaced)}>"

    def modifications(self) -> dict[str, Any]:
        """What ``Vtex.change`` sends; what has no effect is left out."""
        return given(
            reason=self.reason,
            add={"items": [item.body() for item in self.added]} if self.added else None,
            remove={"items": [item.body() for item in self.removed]} if self.removed else None,
            replace=[replacement.body() for replacement in self.replaced] or None,
            manualDiscountValue=self.discount or None,
            manualIncrementValue=self.increment or None,
            settings=dict(self.settings) if self.settings else None,
        )

    def body(self) -> dict[str, Any]:
        """The same as :meth:`modifications`."""
        return self.modifications()

    def legacy(self, request_id: str) -> dict[str, Any]:
        """What ``Vtex.legacy_change`` sends; the same ``request_id`` has its effect once on an order.

        Invalid if the retired API cannot say it.
        """
        if self.replaced or self.settings:
            raise Invalid("the retired changes API knows neither replace nor settings; use add and remove")
        for item in (*self.added, *self.removed):
            if item.price is None or item.unique_id is not None or item.extra:
                raise Invalid(
                    f"item {item.id}: the retired changes API wants exactly id, price and quantity of an item"
                )
        return {
            "requestId": request_id,
            "reason": self.reason,
            "discountValue": self.discount,
            "incrementValue": self.increment,
            "itemsRemoved": [item.body() for item in self.removed],
            "itemsAdded": [item.body() for item in self.added],
        }

    def fingerprint(self) -> str:
        """The same for the same change, in either spelling."""
        return fingerprint("change", self)


class ChangedItemSchema(Form):
    """An item of a change. Other fields of VTEX's reference (measurementUnit, …) are passed on as they are."""

    open_: ClassVar[bool] = True

    id = Text("The SKU's id at VTEX", longest=100, required=True)
    quantity = Count("How many of it", required=True)
    price = Cents("Price of one unit in cents", load_default=None)
    unique_id = Text(
        "The line's uniqueId in the order, where a SKU is on several lines",
        longest=100,
        data_key="uniqueId",
        load_default=None,
    )

    @post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Any, **_: Any) -> ChangedItem:
        return ChangedItem(**data, extra=self.strange(original))


class _WithItems(Form):
    items = Many(ChangedItemSchema, "The items", least=1, required=True)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _check_lines(self, _data: Any, original: Any, **_: Any) -> None:
        _check_twice(original.get("items") if isinstance(original, dict) else None, "items")


class ItemsSchema(_WithItems):
    """Items that come or go."""

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> tuple[ChangedItem, ...]:
        return tuple(data["items"])


class SideSchema(_WithItems):
    """One side of a replacement. shippingData, customData and other fields are passed on as they are."""

    open_: ClassVar[bool] = True

    @post_load(pass_original=True)
    def _make(self, data: dict[str, Any], original: Any, **_: Any) -> Side:
        return Side(tuple(data["items"]), self.strange(original))


class ReplacementSchema(Form):
    """Items that go, and items that come for them."""

    old = One(SideSchema, "What goes", data_key="from", required=True)
    new = One(SideSchema, "What comes", data_key="to", required=True)

    @post_load
    def _make(self, data: dict[str, Any], **_: Any) -> Replacement:
        return Replacement(**data)


class ChangeSchema(Form):
    """A change of an order, in the spelling of order modifications or in that of VTEX's ERP guide."""

    hints: ClassVar[dict[str, str]] = {
        "requestid": "is not taken from here; give it as the command's key",
    }

    reason = Text("Why; the customer can see it", longest=LONGEST_REASON, lines=True, required=True)
    add = One(ItemsSchema, "What comes", load_default=None)
    remove = One(ItemsSchema, "What goes", load_default=None)
    replace = Many(ReplacementSchema, "What is exchanged for what", load_default=None)
    discount = Cents("A discount in cents", data_key="manualDiscountValue", load_default=None)
    increment = Cents("A surcharge in cents", data_key="manualIncrementValue", load_default=None)
    settings = Thing("Settings for this change alone", load_default=None)
    guide_discount = Cents(
        "A discount in cents (as VTEX's ERP guide spells it)", data_key="discountValue", load_default=None
    )
    guide_increment = Cents(
        "A surcharge in cents (as VTEX's ERP guide spells it)", data_key="incrementValue", load_default=None
    )
    guide_added = Many(
        ChangedItemSchema,
        "What comes (as VTEX's ERP guide spells it)",
        data_key="itemsAdded",
        load_default=None,
    )
    guide_removed = Many(
        ChangedItemSchema,
        "What goes (as VTEX's ERP guide spells it)",
        data_key="itemsRemoved",
        load_default=None,
    )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _check_spelling(self, data: Any, original: Any, **_: Any) -> None:
        if not isinstance(original, dict):
            return
        for name in ("itemsAdded", "itemsRemoved"):
            _check_twice(original.get(name), name)
        guide, current = (
            [name for name in names if original.get(name) is not None] for names in (_GUIDE, _MODIFICATIONS)
        )
        if guide and current:
            raise ValidationError(
                f"{' and '.join(guide)} as in VTEX's ERP guide, {' and '.join(current)} as in its order "
                "modifications; write all of it in one of these spellings"
            )
        if not any(data.get(name, "wrong") for name in self.fields if name not in {"reason", "settings"}):
            raise ValidationError(
                "changes nothing; add, remove or replace an item, or give a discount or a surcharge"
            )


def _check_twice(items: Any, where: str) -> None:
    """VTEX stops at a change that names a SKU twice, for good (a known issue), unless uniqueId tells which line."""
    items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    times = Counter(str(item.get("id")) for item in items)
    if any(times[str(item.get("id"))] > 1 and not item.get("uniqueId") for item in items):
        raise ValidationError(
            "the same SKU stands twice, and VTEX could not end such a change; write it once with the whole quantity, "
            "or give each line's uniqueId",
            where,
        )


def make_change(data: Mapping[str, Any]) -> Change:
    """The change of a loaded form."""
    return Change(
        reason=data["reason"],
        discount=data["discount"] or data["guide_discount"] or 0,
        increment=data["increment"] or data["guide_increment"] or 0,
        added=tuple(data["add"] or data["guide_added"] or ()),
        removed=tuple(data["remove"] or data["guide_removed"] or ()),
        replaced=tuple(data["replace"] or ()),
        settings=data["settings"],
    )
