"""What a dead worker leaves behind is taken over at the next sweep, and not only when leases and patience end.

What it had claimed is free at once if its supervisor saw it die; a process that only fell silent may still be at work,
so its claims last until their lease ends. What it had fetched and not begun is sent again in both cases: that does no
harm.
"""

from __future__ import annotations

import base64
import json

from workers import deaths, intake, telemetry
from workers.dispatch import enqueue
from workers.queues import COMMANDS, DEFAULT, HANDLING, ORDERS
from workers.runtime import Link

log = telemetry.get(__name__)

#: In a queue that is longer, a lost message waits for its turn like all others.
LONGEST_QUEUE = 2000


def take_over(link: Link) -> int:
    """Look for deaths since the last time; how many orders and commands were sent again."""
    ledger = link.ledger
    known = str(ledger.redis.get(ledger.key("deaths")) or "0")
    place, died = deaths.since(ledger.redis, known)
    if place != known:
        ledger.redis.set(ledger.key("deaths"), place)
    if not died:
        return 0
    freed = sum(ledger.release(death.who) for death in died if death.certain)
    sent = _send_again(link)
    if following := ledger.next_alone():  # if one was worked at alone, its worker may have been among them
        enqueue(link.account.name, *following)
    log.warning("taken_over", dead=len(died), were_claimed=freed, sent_again=sent)
    return sent


def _send_again(link: Link) -> int:
    """What waits for a message, and has none in a queue: the message died with the worker that had fetched it."""
    name = link.account.name
    orders = link.ledger.unclaimed(LONGEST_QUEUE)
    waiting = _named(link, ORDERS, HANDLING)
    lost = {order_id: step for order_id, step in orders.items() if order_id not in waiting}
    for order_id, step in lost.items():
        enqueue(name, order_id, step)
    commands = link.commands.unclaimed(LONGEST_QUEUE)
    waiting = _named(link, COMMANDS, DEFAULT)
    asked = [command for command in commands if command[0] not in waiting]
    for command, kind, order_id in asked:
        intake.enqueue(name, command, kind, order_id)
    return len(lost) + len(asked)


def _named(link: Link, *queues: str) -> set[str]:
    """The orders, or the commands, that messages in these queues are about."""
    found: set[str] = set()
    for queue in queues:
        for text in link.ledger.redis.lrange(link.queues[queue], 0, LONGEST_QUEUE):
            _, named, _ = json.loads(base64.b64decode(json.loads(text)["body"]))
            found |= {str(named.get("key") or named.get("order_id"))}
    return found
