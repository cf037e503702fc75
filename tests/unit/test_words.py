"""Words of others that end up in logs and on screens: nobody is recognised by them."""

from __future__ import annotations

import pytest

from workers.check import check_clock
from workers.net.words import date, impersonal


@pytest.mark.parametrize(("text", "moment"), [
    ("Sun, 01 Mar 2026 12:00:10 GMT", "2026-03-01T12:00:10+00:00"),
    ("Sun, 01 Mar 2026 12:00:10", "2026-03-01T12:00:10+00:00"),
    ("Sun, 01 Mar 2026 12:00:10 -0000", "2026-03-01T12:00:10+00:00"),
    ("Sun, 01 Mar 2026 09:00:10 -0300", "2026-03-01T09:00:10-03:00"),
    ("yesterday", None),
    ("Sun, 99 Mar 2026 12:00:10 GMT", None),
    ("", None),
    (None, None),
])  # fmt: skip
def test_a_date_of_a_header_has_a_zone(text, moment):
    found = date(text)
    assert (found and found.isoformat()) == moment


@pytest.mark.parametrize(
    "text", ["Sun, 01 Mar 2026 12:00:10", "Sun, 01 Mar 2026 12:00:10 -0000", "no date", None]
)
def test_check_compares_clocks_with_whatever_date_vtex_sends(text):
    findings = list(check_clock(text))
    assert [one.level for one in findings] == (["look"] if text and text != "no date" else [])


@pytest.mark.promise("P8")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no such client maria.silva+x@example.com.br.", "no such client ***"),
        ("CPF 123.456.789-09 is blocked", "CPF *** is blocked"),
        ("CPF 111.111.111-12 is wrong", "CPF *** is wrong"),  # written as one
        ("document 52998224725", "document ***"),
        ("CNPJ 11.222.333/0001-81", "CNPJ ***"),
        ("call +55 11 98765-4321", "call ***"),
        ("call (11) 98765-4321 or (11)3456 7890", "call *** or ***"),
        ("CEP 01310-100 is not served", "CEP *** is not served"),
    ],
)
def test_who_it_is_about_is_not_shown(said, shown):
    assert impersonal(said) == shown


@pytest.mark.parametrize(
    "said",
    [
        "order 1001000000157-01 is in handling",
        "order v52998224725abc-01, sequence 52998224724",
        "invoice 000123456, key 35200114200166000187550010000000015123456789",
        "VTEX answered 409 OMS003 at 2026-11-24T11:57:43.921Z",
        "package 7891234567895 of 10.000 at 10.1.2.3:5432",
        "9d8f0a4e-52a1-4c1e-9f0e-0123456789ab",
    ],
)
def test_what_says_nothing_about_a_person_stays(said):
    assert impersonal(said) == said
