"""Commands that look: status and order. They change nothing."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from workers.cli.setting_up import json_option, opened_all, the_one, view_option
from workers.story import sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.ledger import Ledger, Record
    from workers.settings import Settings


@click.command()
@view_option
@json_option
@click.option("--watch", "watched", is_flag=True, help="Show it again and again, until Ctrl-C.")
def status(account: str | None, *, as_json: bool, watched: bool) -> None:
    """How many orders are where, what waits in queues and feed, and who works."""
    from workers import overview

    if watched and (as_json or not sys.stdout.isatty()):
        raise click.UsageError("--watch is for a terminal; a program asks for --json again and again")
    with opened_all(account) as (loaded, ledgers):
        if watched:
            from workers.cli import live

            with contextlib.suppress(KeyboardInterrupt):
                live.watch(lambda feed: overview.of(loaded, ledgers, ask_vtex=feed))
            return
        document = overview.of(loaded, ledgers)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    for line in _lines(document, loaded):
        click.echo(line)


def _lines(document: dict[str, Any], loaded: Settings) -> Iterator[str]:
    """One store's, or each one's and then what they come to together."""
    stores = document.get("accounts", {})
    for name, store in stores.items():
        yield f"{name}:"
        for line in (*_numbers(store), *_stopped(store, loaded.of(name).timezone, name)):
            yield f"  {line}"
    if stores:
        yield "together:"
    yield from _numbers(document)
    yield f"workers  {document['workers']}" + (
        "" if document["workers"] else ": nobody works (vtexorders up)"
    )
    for alarm in document["alarms"]:
        about = f"{alarm['account']}: " if alarm["account"] and stores else ""
        yield f"ALARM    {about}{alarm['name'].replace('_', ' ')}: {alarm['says']}\n         -> {alarm['do']}"
    if not stores:
        yield from _stopped(document, loaded.of(document["account"]).timezone)


def _numbers(document: dict[str, Any]) -> Iterator[str]:
    orders, feed = document["orders"], document["feed"]
    yield "orders   " + ", ".join(
        f"{orders[name]} {name}" for name in ("open", "parked", "done", "ignored", "dead")
    )
    yield "queues   " + (", ".join(f"{name} {n}" for name, n in document["queues"].items()))
    if feed.get("error"):
        yield f"feed     {feed['error']}"
    elif feed["configured"] is False and "accounts" not in document:
        yield "feed     not configured: no order will come (vtexorders feed configure)"
    else:
        oldest = f", the oldest for {feed['oldest_seconds']:.0f} s" if feed["oldest_seconds"] else ""
        known = "" if feed["configured"] else " in the feeds that can be read"
        yield f"feed     {feed['quantity'] or 0} events wait{known}{oldest}"


def _stopped(document: dict[str, Any], zone: str, store: str = "") -> Iterator[str]:
    """What does not run as usual in one store; ``store``: how it is told from others."""
    which = f" --account {store}" if store else ""
    for scope, pause in document["paused"].items():
        who = (
            f"by {pause['by']}; vtexorders resume{which}"
            if pause.get("by")
            else "it is tried again by itself"
        )
        yield f"PAUSED   {'VTEX' if scope == 'vtex' else 'ERP'}: {pause['why']} ({who})"
    for last in document["resumed"][:1]:
        pause = last["paused"]
        when = datetime.fromisoformat(last["at"]).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")
        by = pause.get("by") or "the system"
        yield (
            f"resumed  {'VTEX' if last['scope'] == 'vtex' else 'ERP'} by {last['by']} at {when}"
            f" (was paused by {by}: {pause['why']})"
        )
    if document["shadow"]:
        totals = document["totals"]
        yield "SHADOW   nothing is changed at VTEX; without it, so far:"
        given, would = totals.get("delivered", 0), totals.get("would_deliver", 0)
        yield f"         {given + would} orders given to the ERP" + (
            f" ({given} really were)" if given else ""
        )
        yield f"         {totals.get('would_handle', 0)} orders would have been put into handling"
        yield f"         {totals.get('not_ours', 0)} orders are not ours and would only be acknowledged"


@click.command()
@click.argument("order_id", metavar="ID")
@view_option
@json_option
def order(order_id: str, account: str | None, *, as_json: bool) -> None:
    """Tell the story of one order, what the ERP asked for, and what happens next."""
    from workers import command_story, documents
    from workers.command_ledger import CommandLedger

    def known(ledger: Ledger) -> bool:
        return bool(ledger.record(order_id.strip()) or CommandLedger(ledger).of_order(order_id.strip()))

    with opened_all(account) as (loaded, ledgers):
        ledger = the_one(ledgers, known, f"order {order_id}")
        if ledger is None:
            raise click.ClickException(
                f"order {order_id} is not known here: its event has not been read yet, or it ended long ago"
            )
        record, now, paused = ledger.record(order_id.strip()), ledger.now(), ledger.paused()
        asked = CommandLedger(ledger).of_order(order_id.strip())
    if as_json:
        document = documents.order(order_id, record, asked, now=now, paused=paused)
        click.echo(json.dumps({"account": ledger.account} | document, ensure_ascii=False))
        return
    zone = loaded.of(ledger.account).timezone
    _tell(order_id, record, zone, ledger.account if len(loaded.accounts) > 1 else "")
    for line in command_story.sentences(asked, zone):
        click.echo(f"  {line}")
    click.echo(f"\nNext: {documents.upcoming(record, now, paused)}")


def _tell(order_id: str, record: Record | None, zone: str, store: str) -> None:
    of = f" of {store}" if store else ""
    if record is None:
        click.echo(f"Order {order_id}{of}: only asked for\n")
        return
    where = f"at {record.step}" if record.step and record.state in ("open", "parked") else ""
    click.echo(f"Order {record.order_id}{of}: {record.state} {where}".rstrip())
    if record.status:
        click.echo(f"VTEX's status when we last knew: {record.status}")
    click.echo("")
    for line in sentences(record, zone):
        click.echo(f"  {line}")
