"""Whether the feed at VTEX is as it must be: there, ours, spelt right, and read.

VTEX removes a feed that got no event for its retention time, lets anybody with the key replace it, and accepts a state
that it does not know without a word (VTEX's feed guide).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from workers import errors, telemetry
from workers.conditions import FEED_BACKLOG, FEED_FILTER, FEED_GONE, FEED_SHARED, Fault
from workers.runtime import Link
from workers.vtex.schemas import FeedConfig
from workers.vtex.states import FEED_FILTER_STATES

log = telemetry.get(__name__)

#: A feed whose oldest event waits for longer, in seconds, or in which more wait, is not being read well.
OLD_EVENT = 3600.0
MANY_EVENTS = 10_000
#: What is looked at here.
LOOKED_AT = (FEED_GONE, FEED_FILTER, FEED_BACKLOG)

#: What makes events get lost.
_GAPS = frozenset({FEED_GONE, FEED_FILTER})
#: What is remembered: since when the feed is good; that there was a gap, as long as VTEX's list may not show all of it;
#: and that the list was searched for what the feed cannot have told.
_GOOD, GAP, LISTED = "feed-good", "feed-gap", "listed"
_LONG = 400 * 86400.0

_CONFIGURE = "run: vtexorders feed configure"


def faults_of(
    config: FeedConfig | None, states: Sequence[str], lasting: Collection[str] = ()
) -> Iterator[Fault]:
    """What is wrong with a feed that should ask for these states; ``lasting``: what was wrong before."""
    if config is None:
        yield Fault(FEED_GONE, "there is no feed for this application key, so no order will come", _CONFIGURE)
        return
    if fault := _filter_fault(config, states):
        yield fault
    # what lasts is over only when it is well over
    share = 0.5 if FEED_BACKLOG in lasting else 1.0
    oldest, quantity = config.oldest_seconds or 0.0, config.quantity or 0
    if oldest > OLD_EVENT * share or quantity > MANY_EVENTS * share:
        yield Fault(
            FEED_BACKLOG,
            f"{quantity} events wait, the oldest for {oldest / 3600:.1f} h",
            "are enough workers running? vtexorders status",
            "look",
        )


def _filter_fault(config: FeedConfig, states: Sequence[str]) -> Fault | None:
    if config.filter_type == "FromOrders":
        says = "filters by order fields, which is known to miss events"
        return Fault(FEED_FILTER, says, f"{_CONFIGURE} (by workflow)", "look")
    missing = [state for state in states if config.states and state not in config.states]
    if missing:
        return Fault(FEED_FILTER, f"does not ask for {', '.join(missing)}", _CONFIGURE)
    unknown = [state for state in config.states if state not in FEED_FILTER_STATES]
    if unknown:
        says = f"asks for {', '.join(unknown)}, which VTEX does not know and never fires"
        return Fault(FEED_FILTER, says, _CONFIGURE)
    return None


def watch(link: Link) -> bool:
    """Look at the feed, with FEED_MANAGED put it right. True when it is good and was not, or was not known to be."""
    states = link.settings.feed_states
    lasting = {condition.name for condition in link.conditions.all()}
    config = link.vtex.feed_config()
    faults = list(faults_of(config, states, lasting))
    if link.settings.feed_managed and not link.settings.shadow and _mend(link, config, faults):
        config = link.vtex.feed_config()
        faults = list(faults_of(config, states, lasting))
    link.conditions.settle(LOOKED_AT, faults)
    remember(link, config)
    if any(fault.name in _GAPS for fault in faults):
        _note_gap(link)
        return False
    fresh = good_since(link) is None
    if fresh:
        link.ledger.remember(_GOOD, link.ledger.now(), _LONG)
    return fresh


def remember(link: Link, config: FeedConfig | None) -> None:
    """For those who watch: is there a feed, and what waits in it."""
    link.ledger.remember("feed_configured", int(config is not None))
    link.ledger.remember("feed_quantity", (config and config.quantity) or 0)
    link.ledger.remember("feed_oldest", (config and config.oldest_seconds) or 0)


def good_since(link: Link) -> float | None:
    """Since when every event of ours must have been in the feed (seconds since 1970); None if it is not good."""
    return link.ledger.recall(_GOOD)


def gone(link: Link) -> None:
    """Somebody met a 404: there is no feed."""
    link.conditions.settle((FEED_GONE,), faults_of(None, ()))
    remember(link, None)
    _note_gap(link)


def _note_gap(link: Link) -> None:
    """What is not in the feed is looked for in VTEX's list, at once and again when the list has caught up."""
    settings = link.settings
    link.ledger.unremember(_GOOD, LISTED)
    link.ledger.remember(GAP, 1, settings.reconcile_min_age + 2 * settings.reconcile)


def _mend(link: Link, config: FeedConfig | None, faults: list[Fault]) -> bool:
    wrong = [fault for fault in faults if fault.name in _GAPS]
    if not wrong:
        return False
    link.conditions.settle(LOOKED_AT, faults)  # said, although it will be over soon
    _note_gap(link)
    queue = {}
    if config and config.visibility_timeout and config.visibility_timeout >= 1:
        queue["visibility_timeout"] = int(config.visibility_timeout)
    try:
        link.vtex.configure_feed(link.settings.feed_states, **queue)
    except errors.OrderLinkError as error:
        log.error("feed_not_mended", why=str(error))
        return False
    log.warning("feed_configured", states=list(link.settings.feed_states), why=wrong[0].says)
    return True


def shared(link: Link, strangers: Sequence[str]) -> None:
    """Orders whose events never came although the feed was good: somebody else may read it with our key."""
    if strangers and (link.ledger.recall("feed_oldest") or 0.0) <= link.settings.reconcile_min_age:
        link.ledger.remember("strangers", link.ledger.now())
        says = f"the events of {len(strangers)} recent orders never came by here (such as {strangers[0]})"
        do = "does another system use this application key? Give each its own: they take each other's events"
        link.conditions.begin(Fault(FEED_SHARED, says, do))
    elif link.ledger.recall("strangers") is None:  # for an hour
        link.conditions.end(FEED_SHARED)
