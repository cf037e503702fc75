"""Commands that do again what has ended: dead orders and commands, and deliveries to an ERP that lost them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from workers.cli.operate import dry_run_option, me, since_option
from workers.cli.setting_up import account_option, json_option, opened_all, the_ledger, view_option

if TYPE_CHECKING:
    from workers.books import Books
    from workers.command_ledger import CommandRecord
    from workers.ledger import Record


@click.command()
@view_option
@json_option
def dead(account: str | None, *, as_json: bool) -> None:
    """List the orders and commands that were given up, and why."""
    from workers import documents
    from workers.books import Books

    orders: list[tuple[str, Record]] = []
    commands: list[tuple[str, CommandRecord]] = []
    with opened_all(account) as (loaded, ledgers):
        for ledger in ledgers:
            name, book = ledger.account, Books.of(ledger).commands
            orders += [(name, order) for id_ in ledger.dead(100_000) if (order := ledger.record(id_))]
            commands += [(name, command) for id_ in book.dead(100_000) if (command := book.record(id_))]
    if as_json:
        rows = [{"account": name} | documents.order_row(order) for name, order in orders]
        asked = [{"account": name} | documents.command_row(command) for name, command in commands]
        click.echo(json.dumps({"orders": rows, "commands": asked}, ensure_ascii=False))
        return
    several = len(loaded.accounts) > 1
    for name, order in orders:
        store = f"{name}  " if several else ""
        click.echo(f"{store}{order.order_id}  {order.error or 'no reason was kept'}")
    for name, command in commands:
        store = f"{name}  " if several else ""
        why = command.outcome.get("why", "")
        click.echo(f"{store}{command.id}  {command.kind} of {command.order_id}: {why}")
    count = len(orders) + len(commands)
    click.echo(f"{count} dead." + (" Try again: vtexorders replay ID" if count else ""))


def _choosing(all_of_what: str) -> Callable[[Callable[..., None]], click.Command]:
    """Options of a command that does something to ids, to all of something, or to what came since a moment."""

    def decorate(command: Callable[..., None]) -> click.Command:
        for option in (
            json_option,
            dry_run_option,
            click.option("--why", help="For the record."),
            since_option,
            click.option("--all", "everything", is_flag=True, help=all_of_what),
            account_option,
            click.argument("ids", metavar="[ID]...", nargs=-1),
        ):
            command = option(command)
        return click.command()(command)

    return decorate


@_choosing("All that are dead.")
def replay(account: str | None, ids: tuple[str, ...], since: datetime | None, **how: Any) -> None:
    """Try dead orders and commands again (or parked ones now). VTEX is looked at first."""
    _one_choice(ids, how["everything"], since)
    from workers.books import Books

    with the_ledger(account) as ledger:
        both = Books.of(ledger)
        after = since.timestamp() if since else 0.0
        chosen = ids or (*ledger.dead_since(after), *both.commands.dead_since(after))
        _each(both, chosen, "replay", me(how["why"]), dry_run=how["dry_run"], as_json=how["as_json"])


@_choosing("Every order that is remembered.")
def redeliver(account: str | None, ids: tuple[str, ...], since: datetime | None, **how: Any) -> None:
    """Give the ERP orders once more, as after restoring it from a backup. VTEX is only read.

    They come under the same keys, with a mark that they are repeated.
    """
    _one_choice(ids, how["everything"], since)
    from workers.books import Books

    with the_ledger(account) as ledger:
        chosen = ids or ledger.delivered_since(since.timestamp() if since else 0)
        _each(
            Books.of(ledger),
            chosen,
            "redeliver",
            me(how["why"]),
            dry_run=how["dry_run"],
            as_json=how["as_json"],
        )


def _one_choice(ids: tuple[str, ...], everything: bool, since: datetime | None) -> None:
    if sum((bool(ids), everything, since is not None)) != 1:
        raise click.UsageError("name some, or --since WHEN, or --all")


def _each(
    both: Books, ids: Iterable[str], how: Literal["replay", "redeliver"], who: str, **options: bool
) -> None:
    """Do it to each (or only say so), and say what was not done, and why; exit 1 if that was the case for one."""
    from workers.app import app
    from workers.books import WHY_NOT

    dry_run, as_json = options["dry_run"], options["as_json"]
    answers: dict[str, str] = {}
    refused: dict[str, str] = {}
    try:
        for id_ in dict.fromkeys(ids):
            state = both.state(id_) or WHY_NOT["unknown"]
            if dry_run:
                answer = both.would(how, id_)
            else:
                answer = both.replay(id_, who) if how == "replay" else both.redeliver(id_, who)
            answers[id_] = state
            if answer != "open":
                refused[id_] = WHY_NOT[answer]
            if not as_json and dry_run:
                click.echo(f"{id_}  {state}" + (f"; refused: {refused[id_]}" if id_ in refused else ""))
            elif not as_json and id_ in refused:
                click.echo(f"{id_}: {refused[id_]}", err=True)
    finally:
        app.close()
    accepted = [id_ for id_ in answers if id_ not in refused]
    if as_json:
        document = {"dryRun": dry_run, "accepted": accepted, "refused": refused}
        click.echo(json.dumps(document, ensure_ascii=False))
    elif dry_run:
        click.echo(f"{len(accepted)} of {len(answers)} would be done again. Nothing was done.")
    else:
        click.echo(f"{len(accepted)} on their way. Watch: vtexorders status")
    if refused:
        click.get_current_context().exit(1)
