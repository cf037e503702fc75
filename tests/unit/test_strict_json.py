"""The reader of JSON that all ways in share."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import strict_json
from workers.strict_json import LARGEST, MOST_VALUES, Twice, Unreadable, read

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_json_is_read_as_it_is(value: Any) -> None:
    assert read(json.dumps(value)) == value
    assert read(b"\xef\xbb\xbf" + json.dumps(value).encode()) == value


@pytest.mark.parametrize(("raw", "says"), [
    (b"", "is not JSON (line 1, column 1: Expecting value)"),
    (b'{"a":\n 1,}', "is not JSON (line 2, column 4"),
    (b'{"a": "\xff"}', "is not text in UTF-8 (byte 8)"),
    ('{"a": 1}'.encode("utf-16"), "is not text in UTF-8 (byte 1)"),
    (b'{"a": "\x01"}', "is not JSON (line 1, column 8: Invalid control character"),
    (b"[" * 20_000, "is nested too deeply"),
    (b'{"a":' * 20_000, "is nested too deeply"),
    (b"[" * 100_000, f"has more than {MOST_VALUES} values"),
    (b"[" + b"{}," * 100_000 + b"{}]", f"has more than {MOST_VALUES} values"),
    (b'{"a": NaN}', "has NaN, which is no JSON; write a number, or null"),
    (b'{"a": -Infinity}', "has -Infinity, which is no JSON"),
    (b"1" * 5000, "has a number of thousands of digits"),
    (b'"' + b"x" * LARGEST + b'"', f"is larger than {LARGEST} bytes"),
    (b'{"reason": "a", "reason": "b"}', 'has "reason" twice in one object; write it once'),
    (b'{"a": [{"type": 1, "\\u0074ype": 1}]}', 'has "type" twice'),
    (b'{"": 1, "": 2}', 'has "?" twice'),
    (b'{"\\ud83d": 1, "\\ud83d": 2}', "twice in one object"),
])  # fmt: skip
def test_what_is_not_is_refused_with_what_is_wrong(raw: bytes, says: str) -> None:
    with pytest.raises(Unreadable) as error:
        read(raw)
    assert says in str(error.value)
    str(error.value).encode()  # half of a character is in no message


def test_a_name_may_stand_in_two_objects() -> None:
    assert read('[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


def test_a_name_that_stands_twice_is_told_by_itself() -> None:
    with pytest.raises(Twice) as error:
        read('{"one": 1, "key": 1, "key": 1}')
    assert error.value.name == "key"
    with pytest.raises(Twice) as long:
        read(json.dumps({"x" * 500: 1})[:-1] + f', "{"x" * 500}": 2}}')
    assert len(str(long.value)) < 100


def test_a_large_text_is_no_large_number_of_values() -> None:
    xml = '<a>[{,}]"\\</a>' * 100_000
    assert read(json.dumps({"embeddedInvoice": xml})) == {"embeddedInvoice": xml}


@given(st.text('"\\[{,a', max_size=30))
def test_the_count_never_refuses_what_has_few_values(text: str) -> None:
    large = json.dumps([text] * 9000)
    assert read(large) == [text] * 9000


def test_a_body_of_brackets_takes_little_memory() -> None:
    raw = b"[" + b"{}," * (LARGEST // 3 - 2) + b"{}]"
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable):
            strict_json.read(raw)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(raw)
    finally:
        tracemalloc.stop()
