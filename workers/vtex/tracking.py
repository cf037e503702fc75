"""The tracking that an ERP sends, and the two calls that VTEX gets of it.

The parcel's number belongs to the invoice (PATCH); what happened to the parcel is a list of its own (PUT), and
VTEX takes it only once it knows the number. Source: VTEX's orders API reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import ValidationError, validates_schema

from workers.vtex import tracking_names
from workers.vtex.forms import Form, fingerprint
from workers.vtex.values import Flag, InvoiceNumber, Many, Text, Url, When

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

LONGEST_DESCRIPTION = 5000


@dataclass(frozen=True, slots=True, repr=False)
class Tracking:
    """Tracking, ready to be sent.

    ``invoice_number`` is None if the ERP left it out: then the order must have one invoice.
    ``number`` is what PATCH gets and ``progress`` what PUT gets; one of them may be None, not both. What the ERP left
    out is "" or None in them: it stays at VTEX as it is.
    """

    invoice_number: str | None
    number: Mapping[str, Any] | None
    progress: Mapping[str, Any] | None

    def __repr__(self) -> str:
        return f"<Tracking of {self.invoice_number or 'the only invoice'}>"

    def number_body(self) -> dict[str, Any] | None:
        """What ``Vtex.update_invoice`` sends: the parcel's number and carrier."""
        return dict(self.number) if self.number is not None else None

    def events_body(self) -> dict[str, Any] | None:
        """What ``Vtex.update_tracking`` sends: all that happened to the parcel. It needs the number first."""
        return dict(self.progress) if self.progress is not None else None

    def body(self) -> dict[str, Any]:
        """Both of them as one."""
        return {"invoiceNumber": self.invoice_number, **(self.number or {}), **(self.progress or {})}

    def fingerprint(self) -> str:
        """The same for the same tracking."""
        return fingerprint("tracking", self)


class TrackingEventSchema(Form):
    """One thing that happened to a parcel."""

    hints: ClassVar[Mapping[str, str]] = tracking_names.EVENT

    city = Text("Where", longest=200, load_default=None)
    state = Text("Where, for example RJ", longest=100, load_default=None)
    description = Text("What happened", longest=LONGEST_DESCRIPTION, lines=True, load_default=None)
    date = When("The day", required=True, metadata={"example": "2026-01-31"})

    @validates_schema(skip_on_field_errors=False)
    def _check_words(self, data: Any, **_: Any) -> None:
        if all(key in data and data[key] is None for key in ("city", "description")):
            raise ValidationError("is missing; say what happened, or at least where (city)", "description")


class TrackingSchema(Form):
    """Tracking of an invoice: the parcel's number, what happened to it, or both."""

    hints: ClassVar[Mapping[str, str]] = tracking_names.TRACKING

    invoice_number = InvoiceNumber(
        "Which invoice; may be left out when the order has one", data_key="invoiceNumber", load_default=None
    )
    tracking_number = Text(
        "The carrier's number of the parcel", longest=200, data_key="trackingNumber", load_default=None
    )
    tracking_url = Url("Where to follow the parcel", data_key="trackingUrl", load_default=None)
    courier = Text("The carrier's name", longest=200, load_default=None)
    dispatched = When("When the parcel left", data_key="dispatchedDate", load_default=None)
    is_delivered = Flag(
        "Whether it has arrived; left out, it stays as it is: only false takes a delivery back",
        data_key="isDelivered",
        load_default=None,
    )
    delivered = When("When it arrived", data_key="deliveredDate", load_default=None)
    events = Many(
        TrackingEventSchema, "All that happened so far: the whole list each time", load_default=None
    )

    @validates_schema(skip_on_field_errors=False)
    def _check_parts(self, data: Any, **_: Any) -> None:
        # A field that is wrong is not in ``data``, and was given all the same.
        number, progress = (
            [name for name in part if data.get(name, "wrong")] for part in (_NUMBER, _PROGRESS)
        )
        if data.get("is_delivered", "wrong") is False:
            progress.append("is_delivered")
        if not number and not progress:
            raise ValidationError(
                "nothing to send: give trackingNumber (with trackingUrl, courier, dispatchedDate), "
                "or isDelivered and events, or both"
            )
        problems = {}
        if number and "tracking_number" not in number:
            others = ", ".join(self.fields[name].data_key or name for name in number)
            problems["trackingNumber"] = [f"is missing; VTEX takes {others} only with it"]
        if "delivered" in progress and data.get("is_delivered", True) is not True:
            problems["deliveredDate"] = ["is given, so write isDelivered: true"]
        if problems:
            raise ValidationError(problems)


_NUMBER = ("tracking_number", "tracking_url", "courier", "dispatched")
_PROGRESS = ("is_delivered", "delivered", "events")


def make_tracking(data: Mapping[str, Any], zone: tzinfo) -> Tracking:
    """The tracking of a loaded form; dates without an offset are of ``zone``."""
    number = progress = None
    dispatched, delivered = data["dispatched"], data["delivered"]
    if data["tracking_number"]:
        number = {
            "trackingNumber": data["tracking_number"],
            "trackingUrl": data["tracking_url"] or "",
            "courier": data["courier"] or "",
            "dispatchedDate": dispatched.instant(zone) if dispatched else None,
        }
    if data["is_delivered"] is not None or data["events"]:
        progress = {
            "isDelivered": data["is_delivered"],
            # Not made up from the last event: VTEX takes null, a wrong day would stand in the customer's account.
            "deliveredDate": delivered.minute(zone) if delivered else None,
            "events": [
                {
                    "city": event["city"] or "",
                    "state": event["state"] or "",
                    "description": event["description"] or "",
                    "date": event["date"].day(zone),
                }
                for event in data["events"] or ()
            ],
        }
    return Tracking(data["invoice_number"], number, progress)
