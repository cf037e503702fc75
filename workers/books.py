"""The two ledgers of a store together, for what is done again: an id may be an order's or a command's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workers import dispatch, intake
from workers.command_ledger import CommandLedger
from workers.ledger import DOWNLOAD, Ledger

#: Why something is not done again.
WHY_NOT = {
    "unknown": "not known here",
    "newer": "written by a newer version of this program",
    "busy": "in progress already",
    "finished": "nothing went wrong with it",
    "never": "the ERP was never given it",
    "dead": "dead: replay it instead",
    "void": "it cannot be carried as it is: send a better one",
}


@dataclass(frozen=True, slots=True)
class Books:
    """A store's orders and commands."""

    orders: Ledger
    commands: CommandLedger

    @classmethod
    def of(cls, ledger: Ledger) -> Books:
        """The books that belong to a ledger of orders."""
        return cls(ledger, CommandLedger(ledger))

    def state(self, id_: str) -> str | None:
        """open, parked, done, ignored, refused, dead; None for neither an order nor a command."""
        record = self.orders.record(id_) or self.commands.record(id_)
        return record.state if record else None

    def replay(self, id_: str, who: str) -> str:
        """Open it again and enqueue it; ``open``, or a word of ``WHY_NOT``."""
        answer = self.replay_order(id_, who)
        return self.replay_command(id_, who) if answer == "unknown" else answer

    def would(self, how: Literal["replay", "redeliver"], id_: str) -> str:
        """What :meth:`replay` or :meth:`redeliver` would answer; nothing is done."""
        answer = self.orders.reopen(id_, how, "", dry_run=True)
        if answer == "unknown" and how == "replay":
            return self.commands.reopen(id_, "", dry_run=True)
        return answer

    def replay_order(self, id_: str, who: str) -> str:
        """The same for an order alone."""
        answer = self.orders.reopen(id_, "replay", who)
        if answer == "open":
            record = self.orders.record(id_)
            dispatch.enqueue(self.orders.account, id_, (record and record.step) or DOWNLOAD)
        return answer

    def replay_command(self, id_: str, who: str) -> str:
        """The same for a command alone."""
        command = self.commands.record(id_)
        answer = self.commands.reopen(id_, who) if command else "unknown"
        if command and answer == "open":
            intake.enqueue(self.orders.account, id_, command.kind, command.order_id)
        return answer

    def redeliver(self, id_: str, who: str) -> str:
        """Open a delivered order again and enqueue it; ``open``, or a word of ``WHY_NOT``."""
        answer = self.orders.reopen(id_, "redeliver", who)
        if answer == "open":
            dispatch.enqueue(self.orders.account, id_)
        return answer
