"""Sends orders on their way: a canvas chain of the steps that are still to be done, by the names of the tasks."""

from __future__ import annotations

from celery import chain

from workers.app import app
from workers.ledger import DOWNLOAD, START_HANDLING, Ledger

#: The steps that are tasks, in their order.
CHAIN = {DOWNLOAD: "orders.download", START_HANDLING: "orders.start_handling"}


def enqueue(account: str, order_id: str, step: str = DOWNLOAD, *, trial: str = "") -> None:
    """``chain(download, start_handling)`` for one order, or its rest from ``step`` on.

    A message is only a hint, so one too many does no harm, and one that gets lost is sent again by the sweeper.
    ``trial``: the first step is done although that scope (``vtex`` or ``erp``) is paused, to see whether it works.
    """
    names = list(CHAIN.values())[list(CHAIN).index(step) :]
    kwargs = {"account": account, "order_id": order_id}
    steps = [app.signature(name, kwargs=dict(kwargs), immutable=True) for name in names]
    if trial:
        steps[0].kwargs["trial"] = trial
    chain(*steps, app=app).apply_async()


def go_on(ledger: Ledger, scope: str, by: str = "") -> bool:
    """End a pause (a person's only with ``by``), and send what waited on its way at once; False if there was none."""
    if not ledger.resume(scope, by):
        return False
    kwargs = {"account": ledger.account}
    # a second later: until then the sweeper may have put something off by one
    app.send_task("upkeep.sweep", kwargs=kwargs, countdown=1)
    app.send_task("feed.poll", kwargs=kwargs)
    return True
