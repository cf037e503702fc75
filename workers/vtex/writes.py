"""VTEX's endpoints for what an ERP answers: invoice, tracking, cancel, change; and the hook's configuration.

A write without a readable answer raises OutcomeUnknown: look at the order before doing it again. None of these
calls has a key that would make repeating it harmless. Rules are from VTEX's orders API reference and its order
modifications guide; the bodies come from :mod:`workers.vtex.payloads`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from workers.errors import Invalid, NotFound, NotYet, OrderLinkError
from workers.settings import is_here
from workers.vtex.answers import Endpoint
from workers.vtex.calls import Calls, part
from workers.vtex.receipts import (
    ChangeSettings,
    ChangeStatus,
    HookConfig,
    Receipt,
    load_change_settings,
    load_change_status,
    load_changes,
    load_hook_config,
    load_receipt,
)
from workers.vtex.states import FEED_FILTER_STATES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: VTEX's code for "another change of this order is in progress"; every other refusal is for good.
CHANGE_IN_PROGRESS = "SalesOrderSystem014"

_INVOICE = Endpoint("send_invoice", "send an invoice of", "POST", "Notify invoice", writes=True)
_RETURN = Endpoint("send_invoice", "send a return's invoice of", "POST", "Notify refund", writes=True)
_NUMBER = Endpoint("update_invoice", "send the tracking number of", "PATCH", "Notify invoice", writes=True)
_EVENTS = Endpoint("update_tracking", "send the tracking events of", "PUT", "Notify invoice", writes=True)
_CANCEL = Endpoint("cancel", "cancel", "POST", "Cancel order", writes=True)
_CHANGE = Endpoint("change", "change", "PATCH", "Change order", writes=True)
_GET_CHANGE = Endpoint("get_change", "read a change of", "GET", "Change order")
#: An order that never had a change may be unknown here; in which words is not documented.
_CHANGES = Endpoint("list_changes", "read the changes of", "GET", "Change order", wordless=True)
_SETTINGS = Endpoint("change_settings", "read the settings of order changes", "GET", "Change order")
_LEGACY = Endpoint("legacy_change", "change", "POST", "Change order", writes=True)
_HOOK_ADMIN = "Feed v3 and Hook Admin"
_HOOK = Endpoint("hook_config", "read the hook configuration", "GET", _HOOK_ADMIN, feed=True)
_SET_HOOK = Endpoint("configure_hook", "configure the hook", "POST", _HOOK_ADMIN, writes=True, feed=True)
_NO_HOOK = Endpoint("delete_hook", "delete the hook", "DELETE", _HOOK_ADMIN, writes=True, feed=True)
_HOOK_PATH = "/api/orders/hook/config"


class Writes(Calls):
    """The calls that carry an ERP's answers to VTEX."""

    def send_invoice(self, order_id: str, body: Mapping[str, Any]) -> Receipt:
        """Send an invoice (``Invoice.body()``). An Input makes VTEX pay money back.

        The number of an earlier invoice changes nothing of that invoice, and VTEX does not say so.
        """
        endpoint = _RETURN if body.get("type") == "Input" else _INVOICE
        return self._write(endpoint, f"{_order(order_id)}/invoice", body, order_id)

    def update_invoice(self, order_id: str, number: str, body: Mapping[str, Any]) -> Receipt:
        """Give an invoice its tracking number (``Tracking.number_body()``). Sending it again does no harm.

        NotFound for some seconds after the invoice: it has to arrive everywhere at VTEX first.
        """
        return self._write(_NUMBER, f"{_order(order_id)}/invoice/{part(number)}", body, order_id)

    def update_tracking(self, order_id: str, number: str, body: Mapping[str, Any]) -> Receipt:
        """Send all that happened to the parcel (``Tracking.events_body()``), after its tracking number."""
        return self._write(_EVENTS, f"{_order(order_id)}/invoice/{part(number)}/tracking", body, order_id)

    def cancel(self, order_id: str, *, reason: str | None, requested_by_user: bool) -> Receipt:
        """Ask for a cancellation.

        A success does not mean canceled: in handling it is a request, and *a second call confirms it*. So never
        repeat it without looking. An order with an invoice cannot be canceled (Rejected).
        """
        body: dict[str, Any] = {"requestedByUser": requested_by_user}
        if reason is not None:
            body["reason"] = reason
        return self._write(_CANCEL, f"{_order(order_id)}/cancel", body, order_id)

    def change(self, order_id: str, body: Mapping[str, Any]) -> ChangeStatus:
        """Ask for a change (``Change.modifications()``). It is made later, or not: follow it with ``get_change``.

        NotYet while another change of the order is in progress; that one may be ours, if its answer got lost.
        """
        try:
            return self._ask(
                _CHANGE,
                f"{_changes(order_id)}?accountName={self._name}",  # the other calls spell it ``an``
                load_change_status,
                body=body,
                about=order_id,
            )
        except OrderLinkError as error:
            if (error.code or "").casefold() != CHANGE_IN_PROGRESS.casefold():
                raise
            busy = NotYet(str(error), status=error.status, code=error.code)
        raise busy

    def get_change(self, order_id: str, request_id: str) -> ChangeStatus:
        """One change as it stands now."""
        target = f"{_changes(order_id)}/{part(request_id)}?an={self._name}"
        return self._ask(_GET_CHANGE, target, load_change_status, about=order_id)

    def list_changes(self, order_id: str) -> list[ChangeStatus]:
        """Every change that was asked for, without their status: VTEX's history does not tell it."""
        return self._ask(_CHANGES, f"{_changes(order_id)}?an={self._name}", load_changes, about=order_id)

    def change_settings(self) -> ChangeSettings:
        """Whether the account allows changes through the API."""
        target = f"/api/order-system/orders/changes/settings?an={self._name}"
        return self._ask(_SETTINGS, target, load_change_settings)

    def legacy_change(self, order_id: str, body: Mapping[str, Any]) -> Receipt:
        """Make a change by the API that VTEX has retired (``Change.legacy(request_id)``).

        The same ``requestId`` has its effect once on an order. Never on an order that has a change of the
        other API.
        """
        return self._write(_LEGACY, f"{_order(order_id)}/changes", body, order_id)

    def hook_config(self) -> HookConfig | None:
        """The hook of our application key, None if there is none."""
        try:
            return self._ask(_HOOK, _HOOK_PATH, load_hook_config)
        except NotFound:
            return None

    def configure_hook(self, url: str, *, states: Sequence[str], headers: Mapping[str, str]) -> None:
        """Create or replace the hook: VTEX calls ``url`` with ``headers`` when an order enters one of ``states``.

        VTEX calls it at once with a ping and saves nothing unless that is answered with 200 (Rejected).
        It removes a hook that had nothing to report for three days.
        """
        wanted = list(dict.fromkeys(states))
        unknown = [state for state in wanted if state not in FEED_FILTER_STATES]
        if unknown or not wanted:
            raise Invalid(
                f"a hook needs states that VTEX lists; not among them: {', '.join(unknown) or '(none given)'}"
            )
        if not _may_be_called(url):
            raise Invalid("VTEX calls a hook at an https:// address only")
        if not all(_fits_header(text) for item in headers.items() for text in item):
            raise Invalid("the hook's headers have a name or a value that no header can hold")
        self._call(
            _SET_HOOK,
            _HOOK_PATH,
            body={
                "filter": {"type": "FromWorkflow", "status": wanted},
                "hook": {"url": url, "headers": dict(headers)},
            },
        )

    def delete_hook(self) -> None:
        """Remove the hook."""
        self._call(_NO_HOOK, _HOOK_PATH)

    def _write(self, endpoint: Endpoint, target: str, body: Mapping[str, Any], order_id: str) -> Receipt:
        read = partial(load_receipt, order_id=order_id)
        return self._ask(endpoint, target, read, body=body, about=order_id, empty={})

    @property
    def _name(self) -> str:
        return quote(self._account.name, safe="")


def _order(order_id: str) -> str:
    return f"/api/oms/pvt/orders/{part(order_id)}"


def _changes(order_id: str) -> str:
    return f"/api/order-system/orders/{part(order_id)}/changes"


def _may_be_called(url: str) -> bool:
    """Https, as VTEX wants it; plain http is left to a stand-in on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    here = parts.scheme == "http" and is_here(parts.hostname)
    return here or (parts.scheme == "https" and bool(parts.hostname))


def _fits_header(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()
