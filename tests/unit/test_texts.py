"""How a text of ours is recognized in what VTEX shows, and that no other one is taken for it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workers.vtex import same_change, texts
from workers.vtex.payloads import load_change
from workers.vtex.receipts import load_change_status
from workers.vtex.texts import SHORTEST_CUT, normal, same

BLANKS = " \t\r\n\u00a0\u2003\u2028\u3000"
WORDS = st.text(
    alphabet=st.one_of(
        st.sampled_from("abç ãéÉüß-.…\t\n\r\u00a0\u2003\u2028e\u0301o\u0303👩\u200d🔧"),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    max_size=120,
)


def as_gateways_do(text: str, how: int) -> str:
    """The same text after a way through a gateway."""
    folded = " ".join(text.split())
    return (
        text.strip(),
        folded,
        unicodedata.normalize("NFD", text),
        unicodedata.normalize("NFC", folded),
        "\r\n".join(folded.split(" ")),
        f"  {folded}\t",
    )[how]


@given(WORDS, st.integers(0, 5))
def test_ours_is_recognized_whatever_gateways_did(text: str, how: int) -> None:
    assert same(normal(text), as_gateways_do(text, how))


@given(WORDS)
def test_the_normal_form_is_one(text: str) -> None:
    assert normal(normal(text)) == normal(text)
    assert normal(text) == normal(unicodedata.normalize("NFD", text))
    assert not any(char in normal(text) for char in BLANKS[1:])


@given(WORDS, WORDS)
def test_another_text_is_not_ours(ours: str, other: str) -> None:
    assume(normal(ours) != normal(other))
    if same(ours, other):  # then it is a long beginning of it
        assert len(normal(other)) >= SHORTEST_CUT
        assert unicodedata.normalize("NFD", normal(ours)).startswith(
            unicodedata.normalize("NFD", normal(other).rstrip(" .…"))
        )


@pytest.mark.parametrize("cut", [30, 50, 100, 255, 1000])
@pytest.mark.parametrize("end", ["", "…", "..."])
def test_a_long_text_that_was_cut_is_ours(cut: int, end: str) -> None:
    text = normal("Entrega não realizada: destinatário ausente, nova tentativa amanhã. " * 20)
    assert same(text, text[:cut] + end)


@pytest.mark.parametrize(
    ("ours", "shown"),
    [
        ("Saiu para entrega ao destinatário", "Saiu para entrega"),
        ("Saiu para entrega", "Saiu para Entrega"),
        ("Primeiro desconto linha 2", "Segundo desconto, outro motivo"),
        ("x", ""),
        ("", "x"),
        ("a" * 60, "a" * 29),
        ("a" * 40, "a" * 60),
    ],
)
def test_what_is_shorter_or_other_is_not(ours: str, shown: str) -> None:
    assert not same(ours, shown)


CHANGE: dict[str, Any] = {"manualDiscountValue": 100}


@given(WORDS, WORDS, st.integers(1, 3), st.integers(1, 3))
def test_no_change_is_taken_for_another(reason: str, other: str, discount: int, theirs: int) -> None:
    assume(normal(reason) and len(normal(reason)) <= 1000)
    try:
        wanted = load_change({"reason": reason, "manualDiscountValue": discount})
    except ValueError:
        assume(False)
    shown = load_change_status({"requestId": "r", "reason": other, "manualDiscountValue": theirs})
    for compare in (same_change.equal, same_change.like):
        if compare(wanted, shown):
            assert discount == theirs
            assert not normal(other) or texts.same(reason, other)
    again = load_change_status({"requestId": "r", "reason": wanted.reason, "manualDiscountValue": discount})
    assert same_change.equal(wanted, again)
