"""Commands for the hook's configuration at VTEX."""

from __future__ import annotations

import json

import click

from workers.cli.feed import client
from workers.cli.setting_up import account_option, choose, json_option, the_settings


@click.group()
def hook() -> None:
    """Show, make or remove the hook's configuration at VTEX (it belongs to the application key)."""


@hook.command()
@account_option
@json_option
def show(account: str | None, *, as_json: bool) -> None:
    """Show the configuration, and whether VTEX sends our secret."""
    from workers.web.hook import SECRET_HEADER

    loaded = the_settings()
    config = client(account).hook_config()
    if config is None:
        if as_json:
            click.echo("null")
        else:
            click.echo(
                "VTEX has no hook for this application key. Make one: vtexorders hook configure https://…"
            )
        return
    sent = {name.lower(): value for name, value in config.headers.items()}.get(SECRET_HEADER.lower())
    ours = bool(sent) and sent == loaded.hook_secret.reveal()
    if as_json:
        document = {
            "url": config.url,
            "filterType": config.filter_type,
            "states": config.states,
            "headers": sorted(config.headers),
            "secretIsOurs": ours,
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return
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
    secret = loaded.hook_secret.reveal()
    if not secret:
        raise click.UsageError(
            "set HOOK_SECRET first (openssl rand -hex 24 makes one), and start vtexorders web"
        )
    url = address.rstrip("/") + PATH.format(account=choose(loaded, account).name)
    client(account).configure_hook(url, states=loaded.feed_states, headers={SECRET_HEADER: secret})
    if as_json:
        click.echo(json.dumps({"url": url, "states": list(loaded.feed_states)}))
        return
    click.echo(f"VTEX calls {url} for {', '.join(loaded.feed_states)}.")
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
