"""Commands that look: status and order. They change nothing."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from workers.cli.setting_up import account_option, json_option, opened
from workers.story import sentences

if TYPE_CHECKING:
    from workers.ledger import Ledger, Record
    from workers.settings import Account, Settings


_UNKNOWN: dict[str, Any] = {"configured": None, "quantity": None, "oldest_seconds": None}


@click.command()
@account_option
@json_option
@click.option("--watch", "watched", is_flag=True, help="Show it again and again, until Ctrl-C.")
def status(account: str | None, *, as_json: bool, watched: bool) -> None:
    """How many orders are where, what waits in queues and feed, and who works."""
    if watched and (as_json or not sys.stdout.isatty()):
        raise click.UsageError("--watch is for a terminal; a program asks for --json again and again")
    with opened(account) as (loaded, ledger):
        if watched:
            from workers.cli import live

            with contextlib.suppress(KeyboardInterrupt):
                live.watch(lambda feed: _status(loaded, ledger, ask_vtex=feed))
            return
        document = _status(loaded, ledger)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    orders, feed = document["orders"], document["feed"]
    click.echo(
        "orders   "
        + ", ".join(f"{orders[name]} {name}" for name in ("open", "parked", "done", "ignored", "dead"))
    )
    click.echo("queues   " + (", ".join(f"{name} {n}" for name, n in document["queues"].items())))
    if feed.get("error"):
        click.echo(f"feed     {feed['error']}")
    elif feed["configured"]:
        oldest = f", the oldest for {feed['oldest_seconds']:g} s" if feed["oldest_seconds"] else ""
        click.echo(f"feed     {feed['quantity'] or 0} events wait{oldest}")
    else:
        click.echo("feed     not configured: no order will come (vtexorders feed configure)")
    click.echo(
        f"workers  {document['workers']}" + ("" if document["workers"] else ": nobody works (vtexorders up)")
    )
    for alarm in document["alarms"]:
        click.echo(f"ALARM    {alarm['name'].replace('_', ' ')}: {alarm['says']}\n         -> {alarm['do']}")
    for scope, pause in document["paused"].items():
        who = f"by {pause['by']}; vtexorders resume" if pause.get("by") else "it is tried again by itself"
        click.echo(f"PAUSED   {'VTEX' if scope == 'vtex' else 'ERP'}: {pause['why']} ({who})")
    for last in document["resumed"][:1]:
        pause, zone = last["paused"], ZoneInfo(loaded.timezone)
        when = datetime.fromtimestamp(last["at"], zone).strftime("%Y-%m-%d %H:%M")
        by = pause.get("by") or "the system"
        click.echo(
            f"resumed  {'VTEX' if last['scope'] == 'vtex' else 'ERP'} by {last['by']} at {when}"
            f" (was paused by {by}: {pause['why']})"
        )
    if document["shadow"]:
        totals = document["totals"]
        click.echo("SHADOW   nothing is changed at VTEX; without it, so far:")
        given, would = totals.get("delivered", 0), totals.get("would_deliver", 0)
        click.echo(
            f"         {given + would} orders given to the ERP" + (f" ({given} really were)" if given else "")
        )
        click.echo(f"         {totals.get('would_handle', 0)} orders would have been put into handling")
        click.echo(f"         {totals.get('not_ours', 0)} orders are not ours and would only be acknowledged")


def _status(loaded: Settings, ledger: Ledger, *, ask_vtex: bool = True) -> dict[str, Any]:
    from workers import heartbeat
    from workers.app import QUEUES
    from workers.command_ledger import CommandLedger
    from workers.monitor.readings import read
    from workers.monitor.watch import alarms
    from workers.watchlist import Watchlist

    stuck = Watchlist(ledger).stuck()
    with ledger.redis.pipeline(transaction=False) as pipe:
        for name in QUEUES:
            pipe.llen(name)
        pipe.hlen("unacked")
        *lengths, in_flight = pipe.execute()
    return {
        "account": ledger.account,
        "orders": asdict(ledger.counts()),
        "commands": asdict(CommandLedger(ledger).counts()),
        "queues": dict(zip(QUEUES, lengths, strict=True)) | {"in_flight": in_flight},
        "feed": _feed(loaded, loaded.account(ledger.account)) if ask_vtex else _UNKNOWN,
        "uncommitted": ledger.waiting_acks(),
        "paused": ledger.paused(),
        "resumed": ledger.resumed(),
        "alarms": [asdict(one) for one in alarms(ledger.redis, loaded, read(ledger.redis, [ledger], loaded))],
        "watched": len(Watchlist(ledger)),
        "stuck": [
            {"orderId": id_, "status": status, "since": since} for id_, (status, since) in stuck.items()
        ],
        "shadow": loaded.shadow,
        "workers": len(heartbeat.living(ledger.redis)),
        "totals": ledger.stats(),
    }


def _feed(loaded: Settings, account: Account) -> dict[str, Any]:
    from workers.errors import OrderLinkError
    from workers.vtex.client import Vtex

    client = Vtex(account, timeout=min(5.0, loaded.http_timeout), pool=1)
    try:
        config = client.feed_config()
    except OrderLinkError as error:
        return _UNKNOWN | {"error": str(error)}
    finally:
        client.close()
    if config is None:
        return _UNKNOWN | {"configured": False}
    return {"configured": True, "quantity": config.quantity, "oldest_seconds": config.oldest_seconds}


@click.command()
@click.argument("order_id", metavar="ID")
@account_option
@json_option
def order(order_id: str, account: str | None, *, as_json: bool) -> None:
    """Tell the story of one order, what the ERP asked for, and what happens next."""
    from workers import command_story, documents
    from workers.command_ledger import CommandLedger

    with opened(account) as (loaded, ledger):
        record, now, paused = ledger.record(order_id.strip()), ledger.now(), ledger.paused()
        asked = CommandLedger(ledger).of_order(order_id.strip())
    if record is None and not asked:
        raise click.ClickException(
            f"order {order_id} is not known here: its event has not been read yet, or it ended long ago"
        )
    if as_json:
        document = documents.order(order_id, record, asked, now=now, paused=paused)
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    _tell(order_id, record, loaded.timezone)
    for line in command_story.sentences(asked, loaded.timezone):
        click.echo(f"  {line}")
    click.echo(f"\nNext: {documents.upcoming(record, now, paused)}")


def _tell(order_id: str, record: Record | None, zone: str) -> None:
    if record is None:
        click.echo(f"Order {order_id}: only asked for\n")
        return
    where = f"at {record.step}" if record.step and record.state in ("open", "parked") else ""
    click.echo(f"Order {record.order_id}: {record.state} {where}".rstrip())
    if record.status:
        click.echo(f"VTEX's status when we last knew: {record.status}")
    click.echo("")
    for line in sentences(record, zone):
        click.echo(f"  {line}")
