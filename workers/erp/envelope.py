"""The JSON around an order's document, the same over HTTP and in a spool folder."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from workers import errors
from workers.erp.sink import COMMANDS

if TYPE_CHECKING:
    from workers.erp.sink import Delivery


def envelope(delivery: Delivery) -> bytes:
    """The delivery as one JSON object in UTF-8.

    The document goes in as VTEX sent it, never parsed and written anew: that could change numbers (``1.10``),
    escapes and the order of fields. ``lastChange`` is null when VTEX did not say.
    """
    around: dict[str, object] = {
        "type": delivery.type,
        "account": delivery.account,
        "orderId": delivery.order_id,
        "lastChange": delivery.last_change or None,
    }
    if delivery.redelivered:
        around["redelivered"] = True
    name = "command" if delivery.type in COMMANDS else "order"
    head = json.dumps(around, ensure_ascii=False).removesuffix("}")
    text = f'{head}, "{name}": {delivery.document}}}'
    content: bytes | None = None
    with contextlib.suppress(UnicodeEncodeError):  # raised below: this one holds the whole text
        content = text.encode()
    if content is None:
        raise errors.Rejected("the order holds half a character, which UTF-8 cannot carry")
    return content
