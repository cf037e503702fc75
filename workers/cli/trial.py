"""Commands to try it with: the demo, which needs nothing, and the sandbox on its own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from workers.cli.setting_up import json_option
from workers.sandbox.console import command as sandbox

__all__ = ["demo", "sandbox"]


@click.command()
@click.option(
    "--orders", default=300, show_default=True, type=click.IntRange(1, 100_000), help="How many orders."
)
@click.option("--seed", default=1, show_default=True, help="Another seed: other orders, other faults.")
@click.option("--keep", is_flag=True, help="Keep everything running at the end, to look at Flower.")
@click.option(
    "--dir",
    "folder",
    default=Path("var/demo"),
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it keeps its files; an earlier demo's are replaced.",
)
@json_option
def demo(orders: int, seed: int, folder: Path, *, keep: bool, as_json: bool) -> None:
    """See the whole thing work, against a stand-in VTEX that misbehaves; no account is needed.

    The exit code is 0 only if every order arrived exactly once.
    """
    from workers.demo import Demo

    sys.exit(Demo(orders=orders, seed=seed, folder=folder, keep=keep, as_json=as_json).run())
