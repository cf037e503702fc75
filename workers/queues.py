"""Which queues there are: by purpose, and where several stores are served, by store as well.

A queue of its own keeps one store's backlog out of the others' way (:mod:`workers.fairness`), and tells exactly
whether one of its messages got lost. The queues by purpose alone stay: a single store has no others, and with
several they still take what programs send by the name of a task (``celery``) and what was sent before the second
store came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container

    from workers.settings import Settings

#: Queues by purpose, in the order in which a free worker looks at them: what is under way ends before new work
#: begins. ``celery`` is the default queue, for programs that send a task by name and know nothing of ours.
UPKEEP, HANDLING, COMMANDS, ORDERS, DEFAULT = "upkeep", "handling", "commands", "orders", "celery"
QUEUES = (UPKEEP, HANDLING, COMMANDS, DEFAULT, ORDERS)

#: The purposes of tasks, by the beginnings of their names.
_PURPOSES = {
    "feed.": UPKEEP,
    "upkeep.": UPKEEP,
    "orders.ack": UPKEEP,
    "orders.tell": UPKEEP,
    "orders.invoice": COMMANDS,
    "orders.tracking": COMMANDS,
    "orders.cancel": COMMANDS,
    "orders.change": COMMANDS,
    "orders.download": ORDERS,
    "orders.start_handling": HANDLING,
}


def of_store(settings: Settings, account: str) -> dict[str, str]:
    """A store's queues by purpose; nothing of ours is sent to ``celery``, so that one is everybody's."""
    if len(settings.accounts) == 1:
        return {purpose: purpose for purpose in QUEUES}
    return {purpose: purpose if purpose == DEFAULT else f"{purpose}.{account}" for purpose in QUEUES}


def of_purpose(settings: Settings, *purposes: str) -> list[str]:
    """All queues of some purposes, purpose by purpose."""
    named = (
        queue
        for purpose in purposes
        for queue in (purpose, *(of_store(settings, account)[purpose] for account in settings.accounts))
    )
    return list(dict.fromkeys(named))


def more(settings: Settings) -> list[str]:
    """Those that there are besides the queues by purpose alone."""
    return [queue for queue in of_purpose(settings, *QUEUES) if queue not in QUEUES]


def among(known: Container[str], purpose: str, account: str) -> str:
    """A store's queue, if it is among the known ones; else the one of the purpose alone."""
    own = f"{purpose}.{account}"
    return own if own in known else purpose


class Router:
    """Celery's way to a message's queue: the task's purpose, and the store that the message names."""

    def __init__(self, settings: Settings) -> None:
        self._queues = {account: of_store(settings, account) for account in settings.accounts}

    def __call__(
        self, name: str, _args: Any, kwargs: dict[str, Any] | None, _options: Any, **_: Any
    ) -> dict[str, str] | None:
        """Where it goes; None leaves it to Celery (the default queue)."""
        purpose = next((purpose for begin, purpose in _PURPOSES.items() if name.startswith(begin)), None)
        if purpose is None:
            return None
        account = (kwargs or {}).get("account")
        own = self._queues.get(account) if isinstance(account, str) else None
        return {"queue": own[purpose] if own else purpose}
