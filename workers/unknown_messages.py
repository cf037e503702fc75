"""What the log says of a message that no task can take: why, and nothing of its content.

Celery writes the whole message down, and an ERP that misspelt a task's name may have sent a customer's invoice.
"""

from __future__ import annotations

import logging

_NAME = "celery.worker.consumer.consumer"
_UNKNOWN, _INVALID, _UNREADABLE, _STRANGE = (
    "Received unregistered task",
    "Received invalid task message",
    "Can't decode message body",
    "Received and deleted unknown message",
)
_LONGEST = 100


class _NothingOfTheContent(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text, given = str(record.msg), record.args if isinstance(record.args, tuple) else ()
        if text.startswith(_UNKNOWN):
            name = str(given[0]).strip("'")[:_LONGEST] if given else "?"
            record.msg = f"a message was dropped: there is no task {name} here"
        elif text.startswith(_INVALID):
            record.msg = "a message was dropped: it is no task as Celery's protocol has it"
        elif text.startswith(_UNREADABLE):
            record.msg = "a message was dropped: its body cannot be read (JSON is expected)"
        elif text.startswith(_STRANGE):
            record.msg = "a message was dropped: it is of an unknown form"
        else:
            return True
        record.args, record.exc_info, record.exc_text = (), None, None
        return True


def say_little() -> None:
    """From now on, in this process."""
    logger = logging.getLogger(_NAME)
    if not any(isinstance(one, _NothingOfTheContent) for one in logger.filters):
        logger.addFilter(_NothingOfTheContent())
