"""Commands of an operator: check, pause, dead orders, reconciliation, giving the ERP its orders again."""

from __future__ import annotations

import contextlib
import getpass
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from workers.cli.setting_up import account_option, choose, json_option, the_settings, with_redis

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.ledger import Ledger
    from workers.runtime import Link

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_WHY_NOT = {
    "unknown": "not known here",
    "newer": "written by a newer version of this program",
    "busy": "in progress already",
    "finished": "nothing went wrong with it",
    "never": "the ERP was never given it",
    "dead": "dead: replay it instead",
}


class _Since(click.ParamType[datetime]):
    """A moment: a date and time (with or without a zone), or how long ago: 90m, 6h, 3d."""

    name = "when"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        if text[-1:] in _UNITS and text[:-1].isdigit():
            return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(
                f"{value!r} is neither a date such as 2026-11-24T08:00 nor a time such as 90m, 6h, 3d",
                param,
                ctx,
            )
        return moment if moment.tzinfo else moment.astimezone()


since_option = click.option(
    "--since", type=_Since(), metavar="WHEN", help="A date and time, or 90m, 6h, 3d ago."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")


@contextlib.contextmanager
def _link(account: str | None) -> Iterator[Link]:
    from workers.runtime import Runtime

    loaded = with_redis(the_settings())
    runtime = Runtime(loaded)
    try:
        yield runtime.link(choose(loaded, account).name)
    finally:
        runtime.close()


@contextlib.contextmanager
def _ledger(account: str | None) -> Iterator[Ledger]:
    from workers.ledger import Ledger
    from workers.runtime import connect

    loaded = with_redis(the_settings())
    client = connect(str(loaded.redis_url))
    try:
        yield Ledger(client, choose(loaded, account).name, shadow=bool(loaded.shadow))
    finally:
        client.close()


def _me(why: str | None) -> str:
    """Who does it, and why, for the record."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"
    return f"{name}: {why}" if why else name


@click.command()
@account_option
@json_option
def check(account: str | None, *, as_json: bool) -> None:
    """Look at settings, VTEX, feed, Redis and ERP; say what to do. It changes nothing."""
    from workers import embedded
    from workers.check import examine
    from workers.runtime import open_erp

    loaded = the_settings()
    url = loaded.redis_url or embedded.find(loaded.data_dir)
    if url:
        loaded = with_redis(loaded, url)
    store = choose(loaded, account)
    sink = open_erp(loaded, pool=1)
    findings = []
    try:
        for finding in examine(store, loaded, sink):
            findings.append(finding)
            if not as_json:
                mark = {"good": "ok  ", "look": "look", "bad": "BAD "}[finding.level]
                click.echo(f"{mark}  {finding.about}: {finding.says}")
                if finding.do:
                    click.echo(f"      -> {finding.do}")
    finally:
        sink.close()
    bad = [finding for finding in findings if finding.level == "bad"]
    if as_json:
        click.echo(json.dumps({"ok": not bad, "findings": [asdict(f) for f in findings]}, ensure_ascii=False))
    click.get_current_context().exit(1 if bad else 0)


@click.command()
@account_option
@click.option("--erp", is_flag=True, help="Stop only deliveries to the ERP; what it has already goes on.")
@click.option("--why", default="", help="For whoever finds it paused.")
def pause(account: str | None, why: str, *, erp: bool) -> None:
    """Stop a store's work, until somebody resumes it. Orders wait in VTEX's feed meanwhile."""
    with _ledger(account) as ledger:
        ledger.pause("erp" if erp else "vtex", why or "no reason given", by=_me(None))
        click.echo(f"{'The ERP of ' if erp else ''}{ledger.account} is paused. Go on with: vtexorders resume")


@click.command()
@account_option
def resume(account: str | None) -> None:
    """Go on with everything that is paused."""
    with _ledger(account) as ledger:
        from workers.ledger import SCOPES

        resumed = [scope for scope in SCOPES if ledger.resume(scope)]
        click.echo(f"{ledger.account} goes on." if resumed else f"{ledger.account} was not paused.")


@click.command()
@account_option
@json_option
def dead(account: str | None, *, as_json: bool) -> None:
    """List the orders that were given up, and why."""
    with _ledger(account) as ledger:
        records = [record for order_id in ledger.dead() if (record := ledger.record(order_id))]
    if as_json:
        rows = [{"orderId": r.order_id, "why": r.error, "status": r.status, "erp": r.erp} for r in records]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for record in records:
        click.echo(f"{record.order_id}  {record.error or 'no reason was kept'}")
    click.echo(f"{len(records)} dead." + (" Try again: vtexorders replay ID" if records else ""))


@click.command()
@click.argument("order_ids", metavar="[ID]...", nargs=-1)
@account_option
@click.option("--all", "everything", is_flag=True, help="Every dead order.")
@click.option("--why", help="For the record.")
@dry_run_option
def replay(
    order_ids: Sequence[str], account: str | None, why: str | None, *, everything: bool, dry_run: bool
) -> None:
    """Try dead orders again (or parked ones now). VTEX is looked at first."""
    if bool(order_ids) == everything:
        raise click.UsageError("name orders, or --all")
    with _ledger(account) as ledger:
        _reopen(ledger, order_ids or ledger.dead(100_000), "replay", why, dry_run=dry_run)


@click.command()
@click.argument("order_ids", metavar="[ID]...", nargs=-1)
@account_option
@click.option("--all", "everything", is_flag=True, help="Every order that is remembered.")
@since_option
@click.option("--why", help="For the record.")
@dry_run_option
def redeliver(
    order_ids: Sequence[str],
    account: str | None,
    since: datetime | None,
    why: str | None,
    *,
    everything: bool,
    dry_run: bool,
) -> None:
    """Give the ERP orders once more, as after restoring it from a backup. VTEX is only read.

    They come under the same keys, with a mark that they are repeated.
    """
    if sum((bool(order_ids), everything, since is not None)) != 1:
        raise click.UsageError("name orders, or --since WHEN, or --all")
    with _ledger(account) as ledger:
        chosen = order_ids or ledger.delivered_since(since.timestamp() if since else 0)
        _reopen(ledger, chosen, "redeliver", why, dry_run=dry_run)


def _reopen(ledger: Ledger, order_ids: Sequence[str], how: Any, why: str | None, *, dry_run: bool) -> None:
    """Reopen each, enqueue it, say what was not done; exit 1 if that was the case for one that was named."""
    if dry_run:
        for order_id, state in zip(order_ids, ledger.states(order_ids), strict=True):
            click.echo(f"{order_id}  {state or 'not known here'}")
        click.echo(f"{len(order_ids)} orders. Nothing was done.")
        return
    from workers.app import app
    from workers.dispatch import enqueue

    done, refused = 0, 0
    for order_id in order_ids:
        answer = ledger.reopen(order_id, how, _me(why))
        if answer == "open":
            record = ledger.record(order_id)
            enqueue(ledger.account, order_id, (record and record.step) or "download")
            done += 1
        else:
            refused += 1
            click.echo(f"{order_id}: {_WHY_NOT[answer]}", err=True)
    click.echo(f"{done} orders are on their way. Watch: vtexorders status")
    app.close()
    if refused:
        click.get_current_context().exit(1)


@click.command()
@account_option
@since_option
@dry_run_option
@json_option
def reconcile(account: str | None, since: datetime | None, *, dry_run: bool, as_json: bool) -> None:
    """Take in orders that wait at VTEX and are not known here; beat does it by itself every ten minutes.

    On the first day: --since WHEN --dry-run shows which orders wait since before the link existed.
    """
    from workers.reconcile import LOOK_BACK, close_gap

    until = datetime.now(UTC)
    with (
        _link(account) as link,
        click.progressbar(length=0, label="reading VTEX's order list", hidden=as_json) as bar,
    ):
        gap = close_gap(link, since or until - LOOK_BACK, until, lambda: bar.update(1), dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(asdict(gap) | {"dry_run": dry_run}, ensure_ascii=False))
        return
    click.echo(
        f"{gap.waiting} orders wait at VTEX in ready-for-handling; {gap.in_progress} of them are in progress here."
    )
    verb = "would be taken in" if dry_run else "were taken in"
    click.echo(f"{len(gap.missing)} were not known here and {verb}." + _some(gap.missing))
    if gap.dead:
        click.echo(f"{len(gap.dead)} were given up here: vtexorders dead." + _some(gap.dead))
    if gap.listed_late:
        click.echo(
            f"{gap.listed_late} are finished here; VTEX's list has not caught up, or somebody set them back."
        )


@click.command()
@click.argument("order_id", metavar="ORDER")
@account_option
@click.confirmation_option(prompt="What is erased cannot be brought back. Erase this order here?")
def forget(order_id: str, account: str | None) -> None:
    """Erase one order everywhere we hold it: ledger, commands, and the ERP's inbox (SQL rows, spool files)."""
    from workers.command_ledger import CommandLedger
    from workers.erp.sink import Forgetful

    with _link(account) as link:
        commands = CommandLedger(link.ledger).forget(order_id)
        if commands is None or link.ledger.forget(order_id) is False:
            raise click.ClickException(f"order {order_id} is in progress: erase it when it has ended")
        click.echo(f"Erased here: its record, and {commands} command(s).")
        if isinstance(link.sink, Forgetful):
            click.echo(f"Erased at the sink: {link.sink.forget(link.account.name, order_id)}.")
        else:
            click.echo("The ERP was sent a copy that only the ERP can erase.")
        click.echo("VTEX's own copy, and what the ERP made of it, are not touched.")


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 20} more" if len(ids) > 20 else ""  # noqa: PLR2004
    return f" {', '.join(ids[:20])}{more}" if ids else ""
