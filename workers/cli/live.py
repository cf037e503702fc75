"""``status --watch``: the same facts as status, at a glance and again and again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
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
#: A bar is so wide, and so many looks back goes the picture of the pace.
_WIDE = 30
_LEVELS = "▁▂▃▄▅▆▇█"

Document = dict[str, Any]


def watch(facts: Callable[[bool], Document]) -> None:
    """Show until Ctrl-C. ``facts`` gives status' document; with True it asks VTEX for the feed, too."""
    before, feeds, asked = None, None, 0.0
    paces: deque[float] = deque(maxlen=_WIDE)
    with Live(console=Console(), screen=True, auto_refresh=False) as live:
        while True:
            now = time.monotonic()
            fresh = feeds is None or now - asked >= FEED_EVERY
            document = facts(fresh)
            if feeds is None or fresh:
                feeds, asked = _feeds(document), now
            _keep_feeds(document, feeds)
            if before:
                paces.append(max(0.0, _ended(document) - _ended(before[1])) / (now - before[0]))
            live.update(picture(document, paces, time.strftime("%H:%M:%S")), refresh=True)
            before = (now, document)
            time.sleep(EVERY)


def _feeds(document: Document) -> dict[str, Any]:
    """What VTEX said of each feed; "" is the whole."""
    stores = document.get("accounts", {})
    return {"": document["feed"]} | {name: store["feed"] for name, store in stores.items()}


def _keep_feeds(document: Document, feeds: dict[str, Any]) -> None:
    document["feed"] = feeds[""]
    for name, store in document.get("accounts", {}).items():
        store["feed"] = feeds[name]


def picture(document: Document, paces: Sequence[float] = (), at: str = "") -> RenderableType:
    """One look. ``paces``: orders that ended, a second, between the looks before, the newest last."""
    orders, commands, feed = document["orders"], document["commands"], document["feed"]
    rows = Table.grid(padding=(0, 2))
    for options in ({"style": "bold"}, {"style": "dim"}, {"justify": "right"}, {}):
        rows.add_column(**options)  # type: ignore[arg-type]
    waiting = feed["quantity"] or 0
    note = feed.get("error") or ("" if feed["configured"] else "no feed: vtexorders feed configure")
    if feed["oldest_seconds"]:
        note = f"the oldest for {feed['oldest_seconds']:.0f} s"
    known = "?" if feed["quantity"] is None else str(waiting)
    rows.add_row("VTEX", "in the feed", known, _bar(waiting, "blue", note))
    rows.add_row()
    for title, name, colour in (("orders", "open", "green"), ("", "parked", "yellow"), ("", "dead", "red")):
        rows.add_row(title, name, str(orders[name]), _bar(orders[name], colour))
    rows.add_row("", "done", str(_ended(document)), _pace(paces))
    rows.add_row()
    for title, (queue, length) in zip(["queues"] + [""] * 9, document["queues"].items(), strict=False):
        rows.add_row(title, queue.replace("_", " "), str(length), _bar(length, "cyan"))
    rows.add_row()
    asked = [
        f"{commands[state]} {state}" for state in ("parked", "done", "refused", "dead") if commands[state]
    ]
    rows.add_row(
        "commands", "open", str(commands["open"]), _bar(commands["open"], "magenta", ", ".join(asked))
    )
    nobody = Text("" if document["workers"] else "nobody works: vtexorders up", "bold red")
    rows.add_row("workers", "", str(document["workers"]), nobody)
    foot = Text(f"{at}  a bar grows with each doubling; Ctrl-C ends".strip(), "dim")
    stores = [Padding(_stores(document["accounts"]), (1, 0, 0, 0))] if "accounts" in document else []
    return Group(_head(document), *stores, Padding(rows, (1, 0)), *_troubles(document), foot)


def _stores(accounts: dict[str, Document]) -> Table:
    """A line for each store."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "in the feed", "open", "parked", "dead", "done", ""):
        table.add_column(name, justify="right" if name else "left")
    for name, store in accounts.items():
        orders, waiting = store["orders"], store["feed"]["quantity"]
        paused = ", ".join("VTEX" if scope == "vtex" else "ERP" for scope in store["paused"])
        note = Text(f"paused: {paused}" if paused else "", "yellow")
        if store["shadow"]:
            note.append(" SHADOW", "magenta")
        dead = Text(str(orders["dead"]), "red" if orders["dead"] else "")
        numbers = "?" if waiting is None else str(waiting), str(orders["open"]), str(orders["parked"])
        table.add_row(Text(name, "bold"), *numbers, dead, str(_ended(store)), note)
    return table


def _ended(document: Document) -> int:
    return int(document["orders"]["done"] + document["orders"]["ignored"])


def _pace(paces: Sequence[float]) -> Text:
    """What it is now, and how it went: the highest is a whole block."""
    if not paces:
        return Text()
    most = max(*paces, 0.1)
    line = "".join(_LEVELS[min(len(_LEVELS) - 1, int(pace / most * len(_LEVELS)))] for pace in paces)
    return Text.assemble((f"{paces[-1]:.1f} a second  ", "bold"), (line, "green"))


def _head(document: Document) -> Text:
    worst = {alarm["severity"] for alarm in document["alarms"]}
    style: StyleType = "black on green"
    said = "all is well"
    stores = document.get("accounts", {})
    if document.get("paused") or any(store["paused"] for store in stores.values()):
        style, said = "black on yellow", "paused"
    if not document["workers"]:
        style, said = "bold white on red", "nobody works"
    if worst:
        style = "bold white on red" if "critical" in worst else "black on yellow"
        said = f"{len(document['alarms'])} alarms" if len(document["alarms"]) > 1 else "1 alarm"
    shadow = "  SHADOW: nothing is changed at VTEX" if document.get("shadow") else ""
    return Text.assemble(
        (f" {document.get('account') or f'{len(stores)} stores'} ", "bold reverse"),
        " ",
        (f" {said} ", style),
        (shadow, "magenta"),
    )


def _troubles(document: Document) -> list[Text]:
    lines = []
    for alarm in document["alarms"]:
        style = "bold red" if alarm["severity"] == "critical" else "yellow"
        store = f"{alarm['account']}: " if "accounts" in document and alarm["account"] else ""
        lines.append(Text.assemble((f"{store}{alarm['name'].replace('_', ' ')}: ", style), alarm["says"]))
        lines.append(Text(f"  -> {alarm['do']}"))
    for scope, pause in document.get("paused", {}).items():
        who = f"by {pause['by']}" if pause.get("by") else "it is tried again by itself"
        lines.append(Text(f"paused: {'VTEX' if scope == 'vtex' else 'ERP'} ({who})", "yellow"))
    return lines


def _bar(number: int, colour: str, note: str = "") -> Text:
    """Longer with each doubling, so that 3 and 3000 can both be seen."""
    length = min(_WIDE, 2 * number.bit_length())
    return Text.assemble(("█" * length, colour), (" " if length and note else "") + note)
