"""How the processes of this machine are, for whatever starts them again: from their own files, without Redis."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from workers.cli.setting_up import json_option, the_settings


@click.command()
@click.argument("process", required=False)
@click.option("--ready", is_flag=True, help="Ask for more: that each can work now, with Redis there.")
@json_option
def health(process: str | None, *, ready: bool, as_json: bool) -> None:
    """Say how workers and beat of this machine are; exit 1 if one hangs or died, or none runs.

    PROCESS is worker, beat, or a worker's name such as orders; without it all count.
    For a container's health check. A process that waits for Redis is healthy: starting it again would not help.
    """
    from workers.heartbeat import here

    said = [
        one
        for one in here(the_settings().health_dir)
        if process in (None, one.kind, one.name, one.name.partition("@")[0])
    ]
    good = bool(said) and all(one.ready if ready else one.live for one in said)
    if as_json:
        click.echo(json.dumps({"ok": good, "processes": [asdict(one) for one in said]}, ensure_ascii=False))
    else:
        for one in said:
            click.echo(f"{one.kind} {one.name}, pid {one.pid}: {one.why or 'ok'}")
        if not said:
            click.echo(f"no {process or 'worker and no beat'} runs here", err=True)
    click.get_current_context().exit(0 if good else 1)
