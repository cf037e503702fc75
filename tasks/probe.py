"""Ends our own pauses: asks VTEX or the ERP now and then, seldom, whether it is there and lets us in again."""

from __future__ import annotations

from tasks.base import Tick
from workers import breaker, errors, moments, runtime, telemetry
from workers.app import app
from workers.dispatch import enqueue, go_on
from workers.runtime import Link

log = telemetry.get(__name__)

#: An open breaker is tried with so many orders in a row; then those may be at fault, and the others must not wait.
TRIALS = 3


@app.task(name="upkeep.probe", base=Tick)
def probe(link: Link) -> None:
    """Ask, one process at a time; what a person paused, a person resumes."""
    for scope, pause in link.ledger.paused().items():
        broken = pause.get("kind") == "breaker"
        every = breaker.PROBE_SECONDS if broken else runtime.PROBE_SECONDS
        if pause.get("by") or not link.ledger.once_every(f"probe:{scope}", every):
            continue
        try:
            link.vtex.feed_config() if scope == "vtex" else link.sink.check()
        except errors.RateLimited:
            continue
        except errors.OrderLinkError as error:
            level = log.warning if broken else log.error
            level("still_paused", scope=scope, why=str(error), since=moments.utc_if(pause["since"]))
            continue
        # that it answers to a question says less than that it takes an order
        if broken and link.ledger.trials(scope) <= TRIALS and (found := link.ledger.candidate(scope)):
            enqueue(link.account.name, *found, trial=scope)
        elif go_on(link.ledger, scope):
            log.warning("resumed", scope=scope)
