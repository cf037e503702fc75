"""What a traceback in the log tells: words of the program, and nobody's values."""

from __future__ import annotations

import sys

import pytest
from kombu.transport.virtual import base

from workers import tracebacks

PEOPLE = ("Maria", "maria.silva", "Conceição", "Rua das Flores 12", "canary-app-key", "12345678909")


def told(call):
    """The last line of each error's traceback, the cause first."""
    try:
        call()
    except Exception:  # noqa: BLE001 - whatever it is
        return tracebacks.rendered(sys.exc_info())
    raise AssertionError("it did not fail")


def test_a_key_that_the_program_asks_for_is_told():
    assert told(lambda: base.Message({"a": 1})).endswith("KeyError: 'properties'")
    assert told(lambda: {}["delivery-tag"]).endswith("KeyError: 'delivery-tag'")

    def one_of():
        for name in ("body", "headers"):
            _ = {"body": 1}[name]

    assert told(one_of).endswith("KeyError: 'headers'")


@pytest.mark.promise("P8")
@pytest.mark.parametrize("value", PEOPLE)
def test_a_key_that_is_a_value_is_not(value):
    def by_variable(known):
        return known["properties"][value]

    text = told(lambda: by_variable({"properties": {}}))
    assert text.endswith("KeyError: '***'")
    assert value not in text

    def behind():
        try:
            by_variable({"properties": {}})
        except KeyError as error:
            raise RuntimeError("it failed") from error

    text = told(behind)
    assert "KeyError: '***'" in text
    assert value not in text


@pytest.mark.promise("P8")
@pytest.mark.parametrize("value", PEOPLE)
@pytest.mark.parametrize("convert", [int, float, ["properties"].index], ids=["int", "float", "index"])
def test_a_value_that_cannot_be_used_is_not(value, convert):
    value = f"{value}, and more"
    text = told(lambda: convert(value))
    assert "'***'" in text
    assert value not in text


@pytest.mark.promise("P8")
def test_words_of_the_program_with_blanks_are_no_names():
    text = told(lambda: {}["Rua das Flores 12"])
    assert text.endswith("KeyError: '***'")


def test_an_error_that_is_its_own_cause_ends():
    error = KeyError("x")
    other = ValueError("'y'")
    error.__context__, other.__context__ = other, error
    assert "KeyError" in tracebacks.rendered((KeyError, error, None))
