"""Commands that ask VTEX for something, as an ERP does: invoice, tracking, cancel, change; and how they ended."""

from __future__ import annotations

import json
import time
from typing import IO, TYPE_CHECKING, Any

import click

from workers.cli.setting_up import account_option, json_option, opened, opened_all, the_one, view_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.command_ledger import CommandLedger, CommandRecord

_ENDS = {"done": 0, "refused": 1, "dead": 1}
_STILL_PENDING = 3


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        json_option,
        click.option(
            "--wait", "seconds", type=click.FloatRange(0, 86400), help="Wait so many seconds for its end."
        ),
        click.option("--key", help="Its id; the same key again is the same command. Left out: a new one."),
        account_option,
    ):
        command = option(command)
    return command


_file = click.argument("file", type=click.File("rb"))


@click.command()
@click.argument("order_id", metavar="ORDER")
@_file
@_asking
def invoice(
    order_id: str,
    file: IO[bytes],
    account: str | None,
    key: str | None,
    seconds: float | None,
    *,
    as_json: bool,
) -> None:
    """Send the invoice in FILE (JSON, VTEX's own field names; - reads standard input)."""
    _ask("invoice", order_id, _json(file), account, key, seconds=seconds, as_json=as_json)


@click.command()
@click.argument("order_id", metavar="ORDER")
@_file
@_asking
def tracking(
    order_id: str,
    file: IO[bytes],
    account: str | None,
    key: str | None,
    seconds: float | None,
    *,
    as_json: bool,
) -> None:
    """Send a tracking number, tracking events, or both, from FILE."""
    _ask("tracking", order_id, _json(file), account, key, seconds=seconds, as_json=as_json)


@click.command()
@click.argument("order_id", metavar="ORDER")
@click.option("--reason", help="The shopper may see it.")
@click.option("--confirm", is_flag=True, help="Confirm a cancellation that is requested already.")
@_asking
def cancel(
    order_id: str,
    reason: str | None,
    account: str | None,
    key: str | None,
    seconds: float | None,
    *,
    confirm: bool,
    as_json: bool,
) -> None:
    """Ask for an order's cancellation."""
    payload = {"reason": reason, "confirm": confirm}
    _ask("cancel", order_id, payload, account, key, seconds=seconds, as_json=as_json)


@click.command()
@click.argument("order_id", metavar="ORDER")
@_file
@_asking
def change(
    order_id: str,
    file: IO[bytes],
    account: str | None,
    key: str | None,
    seconds: float | None,
    *,
    as_json: bool,
) -> None:
    """Change an order's items or value, as FILE says."""
    _ask("change", order_id, _json(file), account, key, seconds=seconds, as_json=as_json)


@click.command("command")
@click.argument("id_", metavar="ID")
@view_option
@json_option
def show(id_: str, account: str | None, *, as_json: bool) -> None:
    """Tell how a command ended, or what it waits for."""
    from workers import documents
    from workers.command_ledger import CommandLedger

    with opened_all(account) as (_, ledgers):
        ledger = the_one(ledgers, lambda one: bool(CommandLedger(one).record(id_)), f"command {id_}")
        record = CommandLedger(ledger).record(id_) if ledger else None
        if ledger is None or record is None:
            raise click.ClickException(f"command {id_} is not known here")
        now = ledger.now()
    if as_json:
        document = {"account": ledger.account} | documents.command(record)
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(_sentence(record, now))


def _sentence(record: CommandRecord, now: float) -> str:
    what = f"{record.kind} of order {record.order_id}"
    said = record.outcome.get("says") or record.outcome.get("why") or record.error or ""
    if record.state in _ENDS:
        return f"{record.state}: {what}: {said}"
    when = f"; looked at again in {max(0.0, record.due - now):.0f} s at the latest" if record.due else ""
    return f"{record.state}: {what}" + (f": {said}" if said else "") + when


def _json(file: IO[bytes]) -> Any:
    from workers import strict_json

    try:
        return strict_json.read(file.read(strict_json.LARGEST + 1))
    except strict_json.Unreadable as error:
        what = str(error)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    raise click.UsageError(f"{getattr(file, 'name', 'FILE')} {what}")


def _ask(
    kind: str,
    order_id: str,
    payload: Any,
    account: str | None,
    key: str | None,
    *,
    seconds: float | None,
    as_json: bool,
) -> None:
    from workers import documents, intake
    from workers.app import app
    from workers.command_ledger import CommandLedger

    with opened(account) as (loaded, ledger):
        book = CommandLedger(ledger)
        accepted = intake.accept(book, kind, order_id, payload, zone=loaded.timezone, key=key)
        if accepted.state not in _ENDS:
            intake.enqueue(book.account, accepted.id, kind, order_id)
        if not as_json:
            click.echo(accepted.id)
        app.close()
        code, record = 0, book.record(accepted.id)
        if seconds is not None:
            code, record = _wait(book, accepted.id, seconds)
            if record and not as_json:
                click.echo(_sentence(record, ledger.now()), err=True)
        if as_json:
            document = documents.command(record) if record else {"id": accepted.id, "state": accepted.state}
            click.echo(json.dumps(document, ensure_ascii=False))
        click.get_current_context().exit(code)


def _wait(book: CommandLedger, id_: str, seconds: float) -> tuple[int, CommandRecord | None]:
    """Until it ended, or the time is over: the exit code that says which, and what is known of it then."""
    deadline = time.monotonic() + seconds
    while True:
        record = book.record(id_)
        if record and record.state in _ENDS:
            return _ENDS[record.state], record
        if time.monotonic() >= deadline:
            return _STILL_PENDING, record
        time.sleep(0.2)
