"""The seam between VTEX and an ERP: what is handed over, and what every ERP adapter promises.

A sink answers only once the ERP holds the delivery durably. Everything is delivered at least once and out of
order, so a sink is idempotent (:attr:`Delivery.key` stays the same over every repeat) and knows that
``order.canceled`` is final and may come first. :mod:`workers.erp.contract` checks all of this for any sink.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast, runtime_checkable

from workers import errors
from workers.settings import InClear, Secret

#: The order may be prepared: it is ready for handling, or was moved on by hand.
ORDER_READY = "order.ready"
#: Somebody asked for a cancellation, and somebody else may still refuse it.
CANCELLATION_REQUESTED = "order.cancellation_requested"
#: The order is canceled. There is no way back.
CANCELED = "order.canceled"

#: A command of the ERP's has had its effect at VTEX, or never will: its document says which, and why.
COMMAND_DONE, COMMAND_REFUSED = "command.done", "command.refused"
COMMANDS = frozenset({COMMAND_DONE, COMMAND_REFUSED})
#: What may happen to an order more than once; each time has a ``last_change`` of its own.
OCCURRENCES = COMMANDS | {CANCELLATION_REQUESTED}

#: What a request for cancellation makes happen once more.
RECURRING = frozenset({ORDER_READY, CANCELLATION_REQUESTED})

#: Which module opens a sink of which scheme; it is imported only when it is asked for.
_OPENERS = {
    "sqlite": "workers.erp.sql",
    "postgresql+psycopg": "workers.erp.sql",
    "http": "workers.erp.http",
    "https": "workers.erp.http",
    "file": "workers.erp.spool",
    "python": "workers.erp.python",
}


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """What a sink may need beside its address.

    ``token`` is ERP_TOKEN and ``signing_secret`` is ERP_SIGNING_SECRET; both are empty when they are not set, and
    ``reveal()`` gives the text. ``timeout`` is how many seconds the ERP may stay silent
    (HTTP_TIMEOUT_SECONDS), ``threads`` how many deliveries may go on at once. ``in_clear`` says to whom
    anything may be sent without TLS (ALLOW_INSECURE_HTTP).
    """

    token: Secret = field(default_factory=lambda: Secret(""))
    signing_secret: Secret = field(default_factory=lambda: Secret(""))
    timeout: float = 10.0
    threads: int = 64
    in_clear: InClear = field(default_factory=InClear)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that the ERP is told about one order.

    ``status`` is VTEX's status in this document, ``last_change`` its last change as
    ``YYYY-MM-DDTHH:MM:SS.fffffffZ`` (UTC, so it sorts as text), empty when VTEX did not say.
    ``document`` is the order's JSON exactly as VTEX sent it; it holds personal data and shows in no ``repr``.
    Of a command it is how it ended, and ``last_change`` is when.
    ``redelivered``: a person asked to give it once more, as to an ERP that was restored from a backup.
    ``occurrence`` names the request for cancellation that the document makes or answers; empty when there was none.
    """

    type: str
    account: str
    order_id: str
    status: str | None
    last_change: str
    document: str = field(repr=False)
    redelivered: bool = False
    occurrence: str = ""

    @property
    def key(self) -> str:
        """The same over every repeat of this delivery, and different for any other one.

        A cancellation can be asked for, denied, and asked for again: each request is one of its own, and so is
        each ``order.ready`` that says, after a request, that the order goes on.
        """
        key = f"{self.account}:{self.order_id}:{self.type}"
        which = self.occurrence if self.type in RECURRING else ""
        if not which and self.type in OCCURRENCES:
            which = self.last_change
        return f"{key}:{which}" if which else key


class Sink(Protocol):
    """An ERP, as the workers see it. One object serves all threads of a process.

    ``ERP_URL=python:module:factory`` opens one of your own: ``factory(options)`` gets :class:`SinkOptions` and
    returns an object with these three methods.
    """

    def deliver(self, delivery: Delivery) -> None:
        """Return when the ERP holds it durably; a repeat changes nothing.

        Raise :class:`~workers.errors.Permanent` for what is wrong with this order alone,
        :class:`~workers.errors.AccessDenied` for what is wrong with the connection, whichever the order,
        and another :class:`~workers.errors.Retryable` for what will pass.
        """

    def check(self) -> None:
        """Raise, with one sentence, unless the ERP can be reached and would take an order now."""

    def close(self) -> None:
        """Let go of connections; the sink opens them again when it is used again."""


@runtime_checkable
class Forgetful(Protocol):
    """What a sink can do besides, when it keeps personal data where we can reach it (SQL and spool folder do)."""

    def forget(self, account: str, order_id: str) -> str:
        """Erase all that is held of one order; returns in words what that was."""

    def expire(self, before: float) -> int:
        """Erase the documents that came before then (seconds since 1970), and keep that they came; how many."""


@runtime_checkable
class TakesMany(Protocol):
    """What a sink can do besides, where one delivery costs nearly as much as many do (SQL does)."""

    def deliver_ends(self, deliveries: Sequence[Delivery]) -> None:
        """As :meth:`Sink.deliver` for several ends of commands: all of them are held, or it raises."""


class _Opener(Protocol):
    def open_sink(self, url: str, options: SinkOptions) -> Sink: ...


def open_sink(url: str, *, pool: int = 64, options: SinkOptions | None = None) -> Sink:
    """The sink that ``url`` names, for up to ``pool`` threads at a time; nothing is connected yet.

    Raise :class:`~workers.errors.Invalid` when there is no such sink.
    """
    scheme = url.partition(":")[0]
    if scheme not in _OPENERS:
        known = ", ".join(f"{known}:" for known in _OPENERS)
        raise errors.Invalid(f"no ERP sink starts with {scheme[:20]!r}; there is {known}")
    opener = cast("_Opener", importlib.import_module(_OPENERS[scheme]))
    return opener.open_sink(url, replace(options or SinkOptions(), threads=pool))
