"""The console. Exit 0: done. 1: refused, or something that is needed cannot be reached. 2: usage or settings."""

from __future__ import annotations

import sys

import click

from workers.cli import again, ask, bench, feed, health, hook, look, operate, run, trial


class _Console(click.Group):
    """Shows commands in the order in which a newcomer needs them."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_Console, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vtex-order-workers", prog_name="vtexorders")
def console() -> None:
    """Carries orders from VTEX's feed into your ERP, and tells VTEX about it.

    Try it without any account: vtexorders demo. For a real store set VTEX_ACCOUNT, VTEX_APP_KEY,
    VTEX_APP_TOKEN and ERP_URL (in the environment or in a .env file here), then: vtexorders up
    """


for command in (
    trial.demo,
    run.up,
    look.status,
    look.order,
    ask.invoice,
    ask.tracking,
    ask.cancel,
    ask.change,
    ask.show,
    operate.check,
    feed.feed,
    hook.hook,
    again.dead,
    again.replay,
    operate.reconcile,
    again.redeliver,
    operate.forget,
    operate.pause,
    operate.resume,
    run.worker,
    run.beat,
    run.web,
    run.flower,
    health.health,
    trial.sandbox,
    bench.bench,
):
    console.add_command(command)


def _is_text(word: str) -> bool:
    """What is no UTF-8 comes as halves of characters, which nothing can keep or send."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def main() -> None:
    """The entry point: whatever goes wrong is one sentence and an exit code, never a traceback."""
    import redis

    from workers.embedded import EmbeddedError
    from workers.errors import OrderLinkError
    from workers.settings import SettingsError

    for place, word in enumerate(sys.argv[1:], 1):
        if not _is_text(word):
            click.echo(f"argument {place} is not text in UTF-8", err=True)
            sys.exit(2)
    try:
        console(prog_name="vtexorders", standalone_mode=True)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except EmbeddedError as error:
        click.echo(f"{error}", err=True)
        sys.exit(2)
    except redis.RedisError as error:
        click.echo(f"Redis cannot be used: {error}", err=True)
        sys.exit(1)
    except OrderLinkError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
