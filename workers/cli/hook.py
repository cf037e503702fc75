"""Commands for the hook's configuration at VTEX."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from workers.cli.feed import client, show_each
from workers.cli.setting_up import (
    account_option,
    choose,
    chosen,
    json_option,
    the_settings,
    view_option,
)

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.vtex.receipts import HookConfig


@click.group()
def hook() -> None:
    """Show, make or remove the hook's configuration at VTEX (it belongs to the application key)."""


@hook.command()
@view_option
@json_option
def show(account: str | None, *, as_json: bool) -> None:
    """Show the configuration, and whether VTEX sends our secret."""
    loaded = the_settings()
    show_each(
        chosen(loaded, account),
        lambda name: client(name).hook_config(),
        lambda name, config: _document(config, loaded.of(name)),
        lambda name, config: _tell(config, loaded.of(name)),
        as_json=as_json,
    )


def _is_ours(config: HookConfig, store: Settings) -> bool:
    from workers.web.hook import SECRET_HEADER

    sent = {name.lower(): value for name, value in config.headers.items()}.get(SECRET_HEADER.lower())
    return bool(sent) and sent == store.hook_secret.reveal()


def _document(config: HookConfig | None, store: Settings) -> dict[str, Any] | None:
    if config is None:
        return None
    return {
        "url": config.url,
        "filterType": config.filter_type,
        "states": config.states,
        "headers": sorted(config.headers),
        "secretIsOurs": _is_ours(config, store),
    }


def _tell(config: HookConfig | None, store: Settings) -> None:
    if config is None:
        click.echo("VTEX has no hook for this application key. Make one: vtexorders hook configure https://…")
        return
    ours = _is_ours(config, store)
    click.echo(f"url     {config.url}")
    click.echo(f"filter  {config.filter_type or 'FromWorkflow'}")
    click.echo(f"states  {', '.join(config.states) or '(all)'}")
    click.echo(
        "secret  "
        + (
            "VTEX sends the one of HOOK_SECRET"
            if ours
            else "NOT the one of HOOK_SECRET: run vtexorders hook configure"
        )
    )


@hook.command()
@click.argument("address", metavar="URL")
@account_option
@json_option
def configure(address: str, account: str | None, *, as_json: bool) -> None:
    """Make or replace it, with the states of FEED_STATES.

    URL is where VTEX reaches the front door, such as https://orders.example.com. VTEX calls it at once, so
    vtexorders web (or up) must be running.
    """
    from workers.web.hook import PATH, SECRET_HEADER

    loaded = the_settings()
    store = loaded.of(choose(loaded, account).name)
    secret = store.hook_secret.reveal()
    if not secret:
        raise click.UsageError(
            "set HOOK_SECRET first (openssl rand -hex 24 makes one), and start vtexorders web"
        )
    url = address.rstrip("/") + PATH.format(account=store.account().name)
    client(account).configure_hook(url, states=store.feed_states, headers={SECRET_HEADER: secret})
    if as_json:
        click.echo(json.dumps({"url": url, "states": list(store.feed_states)}))
        return
    click.echo(f"VTEX calls {url} for {', '.join(store.feed_states)}.")
    click.echo("Keep the feed: it brings what a hook has lost.")


@hook.command()
@account_option
@json_option
@click.confirmation_option(prompt="Orders come by the feed alone then. Delete the hook?")
def delete(account: str | None, *, as_json: bool) -> None:
    """Remove it; the feed goes on."""
    client(account).delete_hook()
    if as_json:
        click.echo(json.dumps({"url": None}))
        return
    click.echo("The hook's configuration is deleted.")
