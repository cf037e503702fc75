"""Commands of an operator: check, pause, reconciliation, erasure."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from workers.cli.setting_up import (
    account_option,
    choose,
    chosen,
    json_option,
    the_ledger,
    the_settings,
    view_option,
    with_redis,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workers.reconcile import Gap
    from workers.runtime import Link

#: VTEX has no orders from before.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class _Since(click.ParamType[datetime]):
    """A moment: a date and time (with or without a zone), or how long ago: 90m, 6h, 3d."""

    name = "when"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        text, now = str(value).strip(), datetime.now(UTC)
        ago = re.fullmatch(r"([0-9]{1,6})([mhd])", text.lower())
        try:
            if ago:
                return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.astimezone()
        except (ValueError, OverflowError):
            moment = None
        if moment is None or not _EARLIEST <= moment <= now:
            self.fail(
                f"{value!r} is neither a past date such as 2026-11-24T08:00 nor a time such as 90m, 6h, 3d",
                param,
                ctx,
            )
        return moment


since_option = click.option(
    "--since", type=_Since(), metavar="WHEN", help="A date and time, or 90m, 6h, 3d ago."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@contextlib.contextmanager
def _link(account: str | None) -> Iterator[Link]:
    from workers.runtime import Runtime

    loaded = the_settings()
    name = choose(loaded, account).name
    runtime = Runtime(with_redis(loaded))
    try:
        yield runtime.link(name)
    finally:
        runtime.close()


def me(why: str | None) -> str:
    """Who does it, and why, for the record."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"
    return f"{name}: {why}" if why else name


@click.command()
@view_option
@json_option
def check(account: str | None, *, as_json: bool) -> None:
    """Look at settings, VTEX, feed, hook, HTTP API, Redis and ERP; say what to do. It changes nothing."""
    from workers import embedded
    from workers.check import examine

    loaded = the_settings()
    url = loaded.redis_url or embedded.find(loaded.data_dir)
    if url:
        loaded = with_redis(loaded, url)
    findings = []
    for finding in examine(loaded, chosen(loaded, account)):
        findings.append(finding)
        if not as_json:
            mark = {"good": "ok  ", "look": "look", "bad": "BAD "}[finding.level]
            store = f"{finding.account}: " if finding.account and len(loaded.accounts) > 1 else ""
            click.echo(f"{mark}  {store}{finding.about}: {finding.says}")
            if finding.do:
                click.echo(f"      -> {finding.do}")
    bad = [finding for finding in findings if finding.level == "bad"]
    if as_json:
        click.echo(json.dumps({"ok": not bad, "findings": [asdict(f) for f in findings]}, ensure_ascii=False))
    click.get_current_context().exit(1 if bad else 0)


@click.command()
@account_option
@click.option("--erp", is_flag=True, help="Stop only deliveries to the ERP; what it has already goes on.")
@click.option("--why", default="", help="For whoever finds it paused.")
@json_option
def pause(account: str | None, why: str, *, erp: bool, as_json: bool) -> None:
    """Stop a store's work, until somebody resumes it. Orders wait in VTEX's feed meanwhile."""
    from workers import documents

    with the_ledger(account) as ledger:
        ledger.pause("erp" if erp else "vtex", why or "no reason given", by=me(None))
        if as_json:
            document = {"account": ledger.account, "paused": documents.paused(ledger.paused())}
            click.echo(json.dumps(document, ensure_ascii=False))
            return
        which = f" --account {account}" if account else ""
        what = f"{'The ERP of ' if erp else ''}{ledger.account}"
        click.echo(f"{what} is paused. Go on with: vtexorders resume{which}")


@click.command()
@account_option
@click.option("--erp", "only", flag_value="erp", help="Only the deliveries to the ERP.")
@click.option("--vtex", "only", flag_value="vtex", help="Only the work at VTEX.")
@json_option
def resume(account: str | None, only: str | None, *, as_json: bool) -> None:
    """Go on with what is paused, everything or one of the two."""
    with the_ledger(account) as ledger:
        from workers import documents
        from workers.dispatch import go_on
        from workers.ledger import SCOPES

        resumed = [scope for scope in SCOPES if only in (None, scope) and go_on(ledger, scope, me(None))]
        if as_json:
            paused = documents.paused(ledger.paused())
            document = {"account": ledger.account, "resumed": resumed, "paused": paused}
            click.echo(json.dumps(document, ensure_ascii=False))
            return
        what = f"The ERP of {ledger.account}" if only == "erp" else ledger.account
        click.echo(f"{what} goes on." if resumed else f"{what} was not paused.")
        for scope in ledger.paused():
            click.echo(f"Still paused: {'VTEX' if scope == 'vtex' else 'the ERP'}.")


@click.command()
@account_option
@since_option
@dry_run_option
@json_option
def reconcile(account: str | None, since: datetime | None, *, dry_run: bool, as_json: bool) -> None:
    """Take in orders that wait at VTEX and are not known here; beat does it by itself every ten minutes.

    Also: cancellations that the ERP was not told of, and orders that stand still at VTEX.

    On the first day: --since WHEN --dry-run shows which orders wait since before the link existed.
    """
    from workers.reconcile import LOOK_BACK

    until = datetime.now(UTC)
    quiet = as_json or not sys.stdout.isatty()
    with click.progressbar(length=0, label="reading VTEX's order list", hidden=quiet) as bar:
        gap, stuck = _gap(account, since or until - LOOK_BACK, until, lambda: bar.update(1), dry_run=dry_run)
    if as_json:
        from workers import documents

        said = {id_: {"status": status, "since": since_} for id_, (status, since_) in stuck.items()}
        click.echo(json.dumps(documents.named(gap) | {"stuck": said, "dryRun": dry_run}, ensure_ascii=False))
        return
    click.echo(
        f"{gap.waiting} orders wait at VTEX in ready-for-handling; {gap.in_progress} of them are in progress here."
    )
    verb = "would be taken in" if dry_run else "were taken in"
    click.echo(f"{len(gap.missing)} were not known here and {verb}." + _some(gap.missing))
    if gap.not_ours:
        click.echo(f"{gap.not_ours} are not ours (ORDER_SCOPE).")
    if gap.dead:
        click.echo(f"{len(gap.dead)} were given up here: vtexorders dead." + _some(gap.dead))
    if gap.listed_late:
        click.echo(
            f"{gap.listed_late} are finished here; VTEX's list has not caught up, or somebody set them back."
        )
    if gap.canceled:
        verb = "would be looked at" if dry_run else "are looked at"
        click.echo(
            f"{len(gap.canceled)} are canceled at VTEX, the ERP may have them, and they {verb}."
            + _some(gap.canceled)
        )
    if gap.unwatched:
        verb = "would be watched" if dry_run else "are watched"
        click.echo(f"{gap.unwatched} are under way at VTEX and not known here; they {verb} until invoiced.")
    if gap.strangers:
        click.echo(
            f"The events of {len(gap.strangers)} should have come and did not: does another system use this key?"
            + _some(gap.strangers)
        )
    for order_id, (status, moment) in stuck.items():
        click.echo(f"{order_id} stands still at VTEX in {status} since {moment[:19]}Z.")


def _gap(
    account: str | None, since: datetime, until: datetime, step: Callable[[], object], *, dry_run: bool
) -> tuple[Gap, dict[str, tuple[str, str]]]:
    """Close the gap; only looking works without a Redis, too: then every order is unknown. And what stands still."""
    from workers import embedded
    from workers.reconcile import Gap, close_gap, close_other_gaps, listed, sort_out
    from workers.vtex.client import Vtex
    from workers.vtex.states import READY_FOR_HANDLING
    from workers.watchlist import Watchlist

    loaded = the_settings()
    if dry_run and not loaded.redis_url and not embedded.find(loaded.data_dir):
        store = loaded.of(choose(loaded, account).name)
        vtex = Vtex(store.account(), timeout=store.http_timeout, pool=1)
        gap = Gap()
        for rows in listed(vtex, READY_FOR_HANDLING, since, until):
            sort_out(gap, [row.order_id for row in rows], [None] * len(rows))
            step()
        vtex.close()
        return gap, {}
    with _link(account) as link:
        gap = close_gap(link, since, until, step, dry_run=dry_run)
        close_other_gaps(link, gap, since, until, step, dry_run=dry_run)
        return gap, Watchlist(link.ledger).stuck()


@click.command()
@click.argument("order_id", metavar="ORDER")
@account_option
@json_option
@click.confirmation_option(prompt="What is erased cannot be brought back. Erase this order here?")
def forget(order_id: str, account: str | None, *, as_json: bool) -> None:
    """Erase one order everywhere we hold it: ledger, commands, and the ERP's inbox (SQL rows, spool files)."""
    from workers.erp.sink import Forgetful

    with _link(account) as link:
        book = link.commands
        if book.in_progress(order_id) or (record := link.ledger.forget(order_id)) == "busy":
            raise click.ClickException(f"order {order_id} is in progress: erase it when it has ended")
        commands = book.forget(order_id)
        at_sink = link.sink.forget(link.account.name, order_id) if isinstance(link.sink, Forgetful) else None
    known = record == "erased"
    if as_json:
        erased = {"orderId": order_id, "record": known, "commands": commands, "atSink": at_sink}
        click.echo(json.dumps(erased, ensure_ascii=False))
    else:
        click.echo(f"Erased here: {'its record' if known else 'no record'}, {commands} command(s).")
        if at_sink is None:
            click.echo("The ERP was sent a copy that only the ERP can erase.")
        else:
            click.echo(f"Erased at the sink: {at_sink}.")
        click.echo("VTEX's own copy, and what the ERP made of it, are not touched.")
    if record == "unknown" and not commands:
        raise click.ClickException(f"order {order_id} is not known here: is the id right?")


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 20} more" if len(ids) > 20 else ""  # noqa: PLR2004
    return f" {', '.join(ids[:20])}{more}" if ids else ""
