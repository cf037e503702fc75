"""What most commands do first: read the settings, find Redis."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING

import click

from workers import embedded, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.ledger import Ledger
    from workers.settings import Account, Settings

account_option = click.option(
    "--account", metavar="NAME", help="Which store; may be left out when there is one."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text.")


def the_settings() -> Settings:
    """The settings; what is wrong with them ends the command with exit 2."""
    return settings.load()


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
        raise click.UsageError(str(error.args[0])) from None


@contextlib.contextmanager
def opened(account: str | None) -> Iterator[tuple[Settings, Ledger]]:
    """The settings, and the store's ledger for as long as it is needed."""
    from workers.redis_address import connect
    from workers.runtime import ledger_of

    loaded = with_redis(the_settings())
    client = connect(loaded)
    try:
        yield loaded, ledger_of(client, loaded, choose(loaded, account).name)
    finally:
        client.close()


@contextlib.contextmanager
def the_ledger(account: str | None) -> Iterator[Ledger]:
    """The ledger alone."""
    with opened(account) as (_, ledger):
        yield ledger
