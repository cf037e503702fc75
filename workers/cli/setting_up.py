"""What most commands do first: read the settings, find Redis."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, TypeVar

import click

from workers import child, embedded, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.errors import OrderLinkError
    from workers.ledger import Ledger
    from workers.settings import Account, Settings

T = TypeVar("T")

#: In the environment of a process whose parent has told the warnings.
_TOLD = "_VTEXORDERS_TOLD"

#: Of a command that does something: it must be clear to which store.
account_option = click.option(
    "--account", metavar="NAME", help="Which store; may be left out when there is one."
)
#: Of a command that only looks.
view_option = click.option("--account", metavar="NAME", help="Only this store; left out: all there are.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")


def the_settings() -> Settings:
    """The settings; what is wrong with them ends the command with exit 2."""
    return settings.load()


def settings_to_start_with(*, alone_with_redis: bool = False) -> Settings:
    """The settings of a process that stays; what should be known of them is said once, by the first that starts.

    ``alone_with_redis``: it speaks neither with VTEX nor with the ERP, and does not read what only they are told.
    """
    child.end_with_owner()
    if alone_with_redis:
        settings.spare_credentials()
    loaded = the_settings()
    if not os.environ.get(_TOLD):
        for warning in loaded.warnings:
            click.echo(f"Warning: {warning}", err=True)
        os.environ[_TOLD] = "1"
    return loaded


def with_redis(loaded: Settings, url: str | None = None, *, patience: float = 0.0) -> Settings:
    """The settings with a Redis address: the given one, the configured one, or the embedded server's here."""
    url = url or loaded.redis_url or embedded.wait_for(loaded.data_dir, patience)
    if url is None:
        raise click.ClickException(
            f"nothing is running in {loaded.data_dir}: start it with vtexorders up, or set REDIS_URL to your Redis"
        )
    os.environ.pop("REDIS_URL_FILE", None)  # both would be a problem
    os.environ["REDIS_URL"] = url  # for Celery's own reading of the settings, and for child processes
    return dataclasses.replace(loaded, redis_url=url)


def choose(loaded: Settings, name: str | None) -> Account:
    """The store that was named, or the only one."""
    try:
        return loaded.account(name)
    except KeyError as error:
        raise click.UsageError(f"{error.args[0]}" + (" (--account NAME)" if name is None else "")) from None


def chosen(loaded: Settings, name: str | None) -> list[str]:
    """The store that was named, or all."""
    return list(loaded.accounts) if name is None else [choose(loaded, name).name]


@contextlib.contextmanager
def opened(account: str | None) -> Iterator[tuple[Settings, Ledger]]:
    """One store's settings, and its ledger for as long as it is needed."""
    with opened_all(choose(the_settings(), account).name) as (loaded, [ledger]):
        yield loaded.of(ledger.account), ledger


@contextlib.contextmanager
def opened_all(account: str | None) -> Iterator[tuple[Settings, list[Ledger]]]:
    """The settings of the installation, and the ledgers of the store that was named, or of all."""
    from workers.redis_address import connect
    from workers.runtime import ledger_of

    loaded = the_settings()
    names = chosen(loaded, account)
    loaded = with_redis(loaded)
    client = connect(loaded)
    try:
        yield loaded, [ledger_of(client, loaded, name) for name in names]
    finally:
        client.close()


def of_each(names: list[str], ask: Callable[[str], T]) -> list[tuple[str, T | OrderLinkError]]:
    """What each store answers, or why it does not; all are asked at once, so that none waits for another."""
    from concurrent.futures import ThreadPoolExecutor

    from workers.errors import OrderLinkError

    def one(name: str) -> T | OrderLinkError:
        try:
            return ask(name)
        except OrderLinkError as error:
            return error

    with ThreadPoolExecutor(len(names)) as asking:
        return list(zip(names, asking.map(one, names), strict=True))


def the_one(ledgers: list[Ledger], known: Callable[[Ledger], bool], what: str) -> Ledger | None:
    """The store that knows it; an id that several know is a question."""
    found = [ledger for ledger in ledgers if known(ledger)]
    if len(found) > 1:
        names = ", ".join(ledger.account for ledger in found)
        raise click.UsageError(f"{what} is known in several stores: {names} (--account NAME)")
    return found[0] if found else None


@contextlib.contextmanager
def the_ledger(account: str | None) -> Iterator[Ledger]:
    """The ledger alone."""
    with opened(account) as (_, ledger):
        yield ledger
