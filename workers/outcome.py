"""What the ERP is told of how one of its commands ended."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from workers.command_ledger import DONE, CommandRecord
from workers.erp.sink import COMMAND_DONE, COMMAND_REFUSED, Delivery


def report(record: CommandRecord, account: str) -> Delivery:
    """The delivery: ``command.done`` with VTEX's receipt, or ``command.refused`` with the reason in words.

    Its document: ``{"id", "command", "orderId", "state", "outcome"}``; nothing of the payload is repeated.
    """
    ended = datetime.fromtimestamp(record.ended or 0, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
    document = {
        "id": record.id,
        "command": record.kind,
        "orderId": record.order_id,
        "state": record.state,
        "outcome": record.outcome,
    }
    return Delivery(
        type=COMMAND_DONE if record.state == DONE else COMMAND_REFUSED,
        account=account,
        order_id=record.order_id,
        status=record.state,
        last_change=ended,
        document=json.dumps(document, ensure_ascii=False),
    )
