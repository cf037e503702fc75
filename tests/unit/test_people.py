"""What VTEX and an ERP say of an order is told without the people that they quote."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from workers import errors
from workers.people import fit_to_print
from workers.settings import Account, Secret
from workers.vtex.client import Vtex

DOCUMENT: dict[str, Any] = {
    "orderId": "1-01",
    "status": "handling",
    "clientProfileData": {
        "firstName": "Marília",
        "lastName": "Conceição Sá",
        "email": "marilia.c@example.com",
        "document": "11047867702",
        "documentType": "cpf",
        "phone": "+5521987651234",
    },
    "shippingData": {
        "address": {
            "receiverName": "Ana Conceição",
            "street": "Rua das Acácias",
            "number": "1200",
            "postalCode": "24220-031",
            "city": "Niterói",
            "state": "RJ",
            "country": "BRA",
        }
    },
}
TEXT = json.dumps(DOCUMENT, ensure_ascii=False)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("customer MARILIA CONCEICAO is blocked", "customer *** *** is blocked"),
        (f"customer {unicodedata.normalize('NFD', 'Marília')} is blocked", "customer *** is blocked"),
        ("customer marilia_conceicao is blocked", "customer ***_*** is blocked"),
        ("customer mariliaconceicao is blocked", "customer *** is blocked"),
        ("no customer Maríl", "no customer ***"),
        ("receiver Ana unknown", "receiver *** unknown"),
        ("Mar\\u00edlia exists", "*** exists"),
        ("Mar&iacute;lia exists", "*** exists"),
        ("Mar%C3%ADlia exists", "*** exists"),
        ("x=marilia.c%40example.com", "x=***"),
        ("CPF 110478 was cut", "CPF *** was cut"),
        ("CPF 1104", "CPF ***"),
        ("CPF 110.478.677", "CPF ***"),
        ("CPF 110.478.677-02 has debts", "CPF *** has debts"),
        ("telephone 21987651234", "telephone ***"),
        ("telephone 98765-1234", "telephone ***"),
        ("no delivery in rua das acacias, 1200", "no delivery in *** das ***, ***"),
        ("no stock of SKU 5551 for order 1-01 in RJ, BRA", "no stock of SKU 5551 for order 1-01 in RJ, BRA"),
        ("invoice 000123 of 2026-11-24: 1234.56", "invoice 000123 of 2026-11-24: 1234.56"),
    ],
)
def test_the_customer_is_found_however_it_is_written(said: str, shown: str) -> None:
    assert fit_to_print(said, TEXT) == shown


def test_words_are_cleaned_before_they_are_cut() -> None:
    said = "x" * 140 + " marilia.c@example.com"
    assert "mari" not in fit_to_print(said, TEXT)
    assert "mari" not in fit_to_print(said)


@pytest.mark.parametrize("document", ["", "no JSON", "[]", "null", '{"clientProfileData": 5}', "{}"])
def test_a_document_that_says_nothing_of_anybody_hides_nothing_more(document: str) -> None:
    assert fit_to_print("customer Ana of 1104", document) == "customer Ana of 1104"


@given(st.text(max_size=300), st.text(max_size=60))
def test_any_words_about_any_person_are_one_printable_line(said: str, name: str) -> None:
    document = json.dumps({"clientProfileData": {"firstName": name}})
    shown = fit_to_print(said, document)
    assert shown == "" or shown.isprintable()
    assert len(shown) <= 150


@pytest.fixture
def http() -> Any:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


ORDERS = "https://mystore.vtexcommercestable.com.br/api/oms/pvt/orders"
SAID = {
    "error": {"code": "OMS012", "message": "Marilia Conceicao, CPF 110478, has " + "no " * 60 + "Marilia"}
}


def test_vtexs_words_about_an_order_lose_its_customer(http: responses.RequestsMock) -> None:
    vtex = Vtex(Account("mystore", Secret("the-key"), Secret("the-token")))
    http.add("GET", f"{ORDERS}/1-01", json=DOCUMENT)
    http.add("POST", f"{ORDERS}/1-01/start-handling", status=400, json=SAID)
    vtex.get_order("1-01")
    with pytest.raises(errors.Rejected) as failure:
        vtex.start_handling("1-01")
    assert str(failure.value).startswith(
        "start handling of 1-01: VTEX answered 400 OMS012 (*** ***, CPF ***, has no no"
    )
    assert "ari" not in str(failure.value)


def test_of_an_order_that_is_not_at_hand_only_the_code_is_told(http: responses.RequestsMock) -> None:
    vtex = Vtex(Account("mystore", Secret("the-key"), Secret("the-token")))
    http.add("GET", f"{ORDERS}/2-01", json=DOCUMENT | {"orderId": "2-01"})
    http.add("POST", f"{ORDERS}/1-01/start-handling", status=400, json=SAID)
    vtex.get_order("2-01")
    with pytest.raises(errors.Rejected) as failure:
        vtex.start_handling("1-01")
    assert str(failure.value) == "start handling of 1-01: VTEX answered 400 OMS012"


def test_a_code_that_is_a_sentence_is_none(http: responses.RequestsMock) -> None:
    vtex = Vtex(Account("mystore", Secret("the-key"), Secret("the-token")))
    http.add("POST", f"{ORDERS}/1-01/start-handling", status=400, json={"error": {"code": "no Marilia here"}})
    with pytest.raises(errors.Rejected) as failure:
        vtex.start_handling("1-01")
    assert str(failure.value) == "start handling of 1-01: VTEX answered 400"


def test_documents_are_remembered_for_a_while_only(http: responses.RequestsMock) -> None:
    vtex = Vtex(Account("mystore", Secret("the-key"), Secret("the-token")))
    for number in range(200):
        http.add("GET", f"{ORDERS}/{number}-01", json=DOCUMENT | {"orderId": f"{number}-01"})
        vtex.get_order(f"{number}-01")
    assert list(vtex._documents) == [f"{number}-01" for number in range(136, 200)]
