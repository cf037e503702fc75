"""A message that no task can take may hold anything; the log must not."""

from __future__ import annotations

import io
import logging

import pytest
from celery.worker.consumer import consumer

from workers import unknown_messages

CANARY = "CANARY-of-a-customer"


@pytest.fixture
def written():
    unknown_messages.say_little()
    unknown_messages.say_little()
    logger, stream = logging.getLogger(consumer.__name__), io.StringIO()
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("text", "given", "says"),
    [
        (
            consumer.UNKNOWN_TASK_ERROR,
            (KeyError("orders.invoices"), CANARY, {"k": CANARY}, {}),
            "there is no task orders.invoices here",
        ),
        (consumer.INVALID_TASK_ERROR, (ValueError(CANARY), CANARY), "no task as"),
        (consumer.MESSAGE_DECODE_ERROR, (ValueError(CANARY), "a", "b", "c", CANARY), "cannot be read"),
        (consumer.UNKNOWN_FORMAT, (CANARY,), "unknown form"),
    ],
)
def test_a_dropped_message_is_told_of_without_its_content(written, text, given, says):
    logger, stream = written
    logger.error(text, *given, exc_info=ValueError(CANARY))
    assert says in stream.getvalue()
    assert CANARY not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_everything_else_is_left_as_it_is(written):
    logger, stream = written
    logger.error("connection to %s lost", "redis")
    assert stream.getvalue() == "connection to redis lost\n"
