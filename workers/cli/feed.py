"""Commands for the feed's configuration at VTEX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workers.cli.setting_up import (
    account_option,
    choose,
    chosen,
    json_option,
    of_each,
    opened_all,
    the_settings,
    view_option,
)
from workers.errors import OrderLinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.vtex.client import Vtex
    from workers.vtex.schemas import FeedConfig

T = TypeVar("T")


def client(name: str | None) -> Vtex:
    """A client of the store, for one call or two."""
    from workers.vtex.client import Vtex

    loaded = the_settings()
    store = loaded.of(choose(loaded, name).name)
    return Vtex(store.account(), timeout=store.http_timeout, pool=1)


@click.group()
def feed() -> None:
    """Show, make or remove the feed's configuration at VTEX (it belongs to the application key)."""


@feed.command()
@view_option
@json_option
def show(account: str | None, *, as_json: bool) -> None:
    """Show the configuration, and how many events wait."""
    from workers import documents

    names = chosen(the_settings(), account)
    show_each(
        names,
        lambda name: client(name).feed_config(),
        lambda _name, config: documents.named(config) if config else None,
        lambda _name, config: _tell(config),
        as_json=as_json,
    )


def show_each(
    names: list[str],
    ask: Callable[[str], T],
    document: Callable[[str, T], Any],
    tell: Callable[[str, T], None],
    *,
    as_json: bool,
) -> None:
    """What VTEX says of each store; of several, one that cannot be asked does not hide the others."""
    if len(names) == 1:
        [name] = names
        answer = ask(name)
        if as_json:
            click.echo(json.dumps(document(name, answer), ensure_ascii=False))
        else:
            tell(name, answer)
        return
    answers = of_each(names, ask)
    if as_json:
        found = {
            name: {"error": str(answer)} if isinstance(answer, OrderLinkError) else document(name, answer)
            for name, answer in answers
        }
        click.echo(json.dumps({"accounts": found}, ensure_ascii=False))
        return
    for name, said in answers:
        click.echo(f"{name}:")
        if isinstance(said, OrderLinkError):
            click.echo(str(said))
        else:
            tell(name, said)


def _tell(config: FeedConfig | None) -> None:
    if config is None:
        click.echo("VTEX has no feed for this application key. Make one: vtexorders feed configure")
        return
    click.echo(f"filter      {config.filter_type or 'FromWorkflow'}")
    click.echo(f"states      {', '.join(config.states) or '(all)'}")
    if config.expression:
        click.echo(f"expression  {config.expression}")
    click.echo(
        f"visibility  {_seconds(config.visibility_timeout)} (an event that is read and not committed comes back)"
    )
    click.echo(f"retention   {_seconds(config.retention)}")
    click.echo(f"waiting     {config.quantity if config.quantity is not None else 'unknown'} events")
    click.echo(f"oldest      {_seconds(config.oldest_seconds)}")


@feed.command()
@account_option
@click.option(
    "--visibility", type=click.IntRange(30, 43200), help="Seconds until an uncommitted event comes back."
)
@json_option
def configure(account: str | None, visibility: int | None, *, as_json: bool) -> None:
    """Make or replace it, with the states of FEED_STATES. Only changes from now on will be in the feed."""
    loaded = the_settings()
    states = loaded.of(choose(loaded, account).name).feed_states
    options = {"visibility_timeout": visibility} if visibility else {}
    client(account).configure_feed(states, **options)
    if as_json:
        click.echo(json.dumps({"configured": True, "states": list(states)}))
        return
    click.echo(f"The feed is configured for {', '.join(states)}.")
    click.echo("It brings changes from now on; orders that wait already are not in it.")


@feed.command()
@view_option
@json_option
def oddities(account: str | None, *, as_json: bool) -> None:
    """Show feed items that named no order and were set aside, a line of JSON each."""
    with opened_all(account) as (loaded, ledgers):
        items = [(ledger.account, item) for ledger in ledgers for item in ledger.oddities()]
    if as_json:
        rows = [{"account": name, "item": _item(item)} for name, item in items]
        click.echo(json.dumps({"items": rows}, ensure_ascii=False))
        return
    for name, item in items:
        click.echo(f"{name}  {item}" if len(loaded.accounts) > 1 else item)


@feed.command()
@account_option
@json_option
@click.confirmation_option(prompt="Without a configuration no order comes any more. Delete it?")
def delete(account: str | None, *, as_json: bool) -> None:
    """Remove it; events that wait in it are lost."""
    client(account).delete_feed()
    if as_json:
        click.echo(json.dumps({"configured": False}))
        return
    click.echo("The feed's configuration is deleted.")


def _item(text: str) -> object:
    """What was kept of an item: a long one is cut, and is a text then."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _seconds(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value / 86400:g} days" if value >= 2 * 86400 else f"{value:.0f} s"
