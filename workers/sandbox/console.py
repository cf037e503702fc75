"""The console's ``sandbox`` command."""

from __future__ import annotations

import dataclasses
import json

import click

from workers.sandbox.config import OPERATIONS, SandboxConfig
from workers.sandbox.faults import WORDS, FaultPlan


def _plan(_context: click.Context, _parameter: click.Parameter, value: str) -> FaultPlan:
    try:
        return FaultPlan.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _settings(
    _context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]
) -> dict[str, object]:
    """Read NAME=VALUE for any plain field of the configuration."""
    plain = {
        field.name: type(field.default)
        for field in dataclasses.fields(SandboxConfig)
        if isinstance(field.default, bool | int | float | str)
    }
    values: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if name not in plain or not equals:
            raise click.BadParameter(f"{word!r} is not NAME=VALUE with one of {', '.join(sorted(plain))}")
        try:
            value: object = text if plain[name] is str else json.loads(text)
        except ValueError:
            value = None
        wanted = int | float if plain[name] is float else plain[name]
        if not isinstance(value, wanted) or isinstance(value, bool) != (plain[name] is bool):
            raise click.BadParameter(f"{name} needs a value like {_example(name)}")
        values[name] = value
    return values


def _example(name: str) -> str:
    default = getattr(SandboxConfig(), name)
    return default if isinstance(default, str) else json.dumps(default)


@click.command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8090, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--account", default="teststore", show_default=True, help="Name of the store.")
@click.option("--app-key", default="key", show_default=True, help="Application key that is accepted.")
@click.option("--app-token", default="token", show_default=True, help="Application token that is accepted.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same orders and faults.")
@click.option("--orders", default=100, show_default=True, help="Orders to create.")
@click.option("--orders-per-second", default=0.0, help="Let them arrive over time instead of at once.")
@click.option("--latency", default=0.0, help="Seconds that a call takes.")
@click.option(
    "--faults", default="", callback=_plan, help=f"As 5xx=0.1,lost=0.05. Words: {', '.join(WORDS)}."
)
@click.option(
    "--visibility",
    "visibility_timeout",
    default=30.0,
    show_default=True,
    help="Seconds until an uncommitted event comes back.",
)
@click.option("--rate", "requests_per_minute", default=0, help="Calls a minute before 429; 0 means no limit.")
@click.option("--retry-after", type=float, help="Send Retry-After with a 429.")
@click.option("--lag", "index_lag", default=0.0, help="Seconds that the order list runs behind.")
@click.option(
    "--handling-delay", default=0.05, show_default=True, help="Seconds from start-handling to handling."
)
@click.option(
    "--short-reads/--full-reads", default=True, help="Whether the feed may hand out less than it has."
)
@click.option(
    "--feed/--no-feed", "feed_configured", default=True, help="Whether a feed is configured at first."
)
@click.option(
    "--deny",
    "denied",
    multiple=True,
    type=click.Choice(OPERATIONS),
    help="An operation that the key may not do; may be repeated.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    help="Any other setting of the sandbox as NAME=VALUE, such as invoice_delay=2; may be repeated.",
)
def command(host: str, port: int, settings: dict[str, object], **options: object) -> None:
    """Run a stand-in VTEX on this machine: its orders, its feed, and its bad days.

    Steer it and ask it under /_sandbox/ (audit, orders, state, calls, changes, faults, credentials, feed).
    """
    from workers.sandbox.server import run  # noqa: PLC0415 - the console starts without a web server

    try:
        config = SandboxConfig.from_dict({**options, **settings})
    except ValueError as error:
        raise click.UsageError(str(error)) from None

    def ready(bound: int) -> None:
        address = f"http://{host}:{bound}"
        click.echo(f"Sandbox of {config.account} at {address} with {config.orders} orders; Ctrl-C ends it.")
        click.echo(
            "To connect to it, put into .env:\n\n"
            f"VTEX_ACCOUNT={config.account}\nVTEX_APP_KEY={config.app_key}\nVTEX_APP_TOKEN={config.app_token}\n"
            f"VTEX_BASE_URL={address}\nERP_URL=sqlite:///erp.db"
        )

    try:
        run(config, host, port, ready)
    except OSError as error:
        raise click.ClickException(
            f"{host}:{port} cannot be listened on: {error.strerror or error}"
        ) from None
