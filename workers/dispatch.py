"""Sends orders on their way: a canvas chain of the steps that are still to be done, by the names of the tasks."""

from __future__ import annotations

from celery import chain

from workers.app import app
from workers.ledger import DOWNLOAD, START_HANDLING

#: The steps that are tasks, in their order.
CHAIN = {DOWNLOAD: "orders.download", START_HANDLING: "orders.start_handling"}


def enqueue(account: str, order_id: str, step: str = DOWNLOAD) -> None:
    """``chain(download, start_handling)`` for one order, or its rest from ``step`` on.

    A message is only a hint, so one too many does no harm, and one that gets lost is sent again by the sweeper.
    """
    names = list(CHAIN.values())[list(CHAIN).index(step) :]
    kwargs = {"account": account, "order_id": order_id}
    chain(*(app.signature(name, kwargs=kwargs, immutable=True) for name in names), app=app).apply_async()
