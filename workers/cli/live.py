"""``status --watch``: the same facts as status, at a glance and again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.style import StyleType

#: Seconds between two looks at Redis, and between two at VTEX's feed, which costs a call.
EVERY, FEED_EVERY = 2.0, 15.0
#: A bar is so wide.
_WIDE = 30

Document = dict[str, Any]


def watch(facts: Callable[[bool], Document]) -> None:
    """Show until Ctrl-C. ``facts`` gives status' document; with True it asks VTEX for the feed, too."""
    before, feed, asked = None, None, 0.0
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            now = time.monotonic()
            fresh = feed is None or now - asked >= FEED_EVERY
            document = facts(fresh)
            if fresh:
                feed, asked = document["feed"], now
            document["feed"] = feed
            live.update(picture(document, before and (before[1], now - before[0])), refresh=True)
            before = (now, document)
            time.sleep(EVERY)


def picture(document: Document, before: tuple[Document, float] | None = None) -> RenderableType:
    """One look. ``before``: the look before, and how many seconds ago; it tells the pace."""
    orders, commands, feed = document["orders"], document["commands"], document["feed"]
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column(justify="right")
    rows.add_column()
    ended = orders["done"] + orders["ignored"]
    pace = ""
    if before:
        earlier = before[0]["orders"]
        pace = f"{max(0, ended - earlier['done'] - earlier['ignored']) / before[1]:.1f} a second"
    waiting = feed["quantity"] or 0
    note = feed.get("error") or ("" if feed["configured"] else "no feed: vtexorders feed configure")
    if feed["oldest_seconds"]:
        note = f"the oldest for {feed['oldest_seconds']:.0f} s"
    rows.add_row("feed at VTEX", str(waiting), _bar(waiting, "blue", note))
    rows.add_row("open", str(orders["open"]), _bar(orders["open"], "green"))
    rows.add_row("parked", str(orders["parked"]), _bar(orders["parked"], "yellow"))
    rows.add_row("dead", str(orders["dead"]), _bar(orders["dead"], "red"))
    rows.add_row("done", str(ended), Text(pace, "bold"))
    rows.add_row("", "", "")
    for queue, length in document["queues"].items():
        rows.add_row(queue.replace("_", " "), str(length), _bar(length, "cyan"))
    rows.add_row("", "", "")
    asked = ", ".join(f"{commands[state]} {state}" for state in ("open", "parked", "done", "refused", "dead"))
    rows.add_row("commands", "", asked)
    rows.add_row("workers", str(document["workers"]), "")
    return Group(_head(document), Padding(rows, (1, 0)), *_troubles(document))


def _head(document: Document) -> Text:
    worst = {alarm["severity"] for alarm in document["alarms"]}
    style: StyleType = "black on green"
    said = "all is well"
    if worst:
        style = "bold white on red" if "critical" in worst else "black on yellow"
        said = f"{len(document['alarms'])} alarms" if len(document["alarms"]) > 1 else "1 alarm"
    shadow = "  SHADOW: nothing is changed at VTEX" if document["shadow"] else ""
    return Text.assemble(
        (f" {document['account']} ", "bold reverse"), " ", (f" {said} ", style), (shadow, "magenta")
    )


def _troubles(document: Document) -> list[Text]:
    lines = []
    for alarm in document["alarms"]:
        style = "bold red" if alarm["severity"] == "critical" else "yellow"
        lines.append(Text.assemble((f"{alarm['name'].replace('_', ' ')}: ", style), alarm["says"]))
        lines.append(Text(f"  -> {alarm['do']}"))
    for scope, pause in document["paused"].items():
        who = f"by {pause['by']}" if pause.get("by") else "it is tried again by itself"
        lines.append(Text(f"paused: {'VTEX' if scope == 'vtex' else 'ERP'} ({who})", "yellow"))
    return lines


def _bar(number: int, colour: str, note: str = "") -> Text:
    """Longer with each doubling, so that 3 and 3000 can both be seen."""
    length = min(_WIDE, 2 * number.bit_length())
    return Text.assemble(("█" * length, colour), (" " if length and note else "") + note)
