"""What an ERP's programs and forms leave in a payload: odd characters, dates for "none", keys, a carrier's names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import Invalid
from workers.sandbox.orders import cnpj, ean
from workers.vtex import access_key, characters
from workers.vtex.forms import folded
from workers.vtex.payloads import TrackingSchema, load_cancel, load_invoice, load_tracking
from workers.vtex.tracking import TrackingEventSchema

ZONE = "America/Sao_Paulo"
KEY = "52060433009911002506550120000007800267301615"  # the example of the NF-e's manual
INVOICE = {
    "type": "Output",
    "issuanceDate": "2026-01-31",
    "invoiceNumber": "9999",
    "invoiceValue": 10000,
    "items": [{"id": "1234", "price": 10000, "quantity": 1}],
}


def refused(load: Any, payload: Any) -> str:
    with pytest.raises(Invalid) as error:
        load(payload, zone=ZONE)
    return str(error.value)


def sent_key(**fields: Any) -> str | None:
    return load_invoice({**INVOICE, **fields}, zone=ZONE).key


def sent_reason(reason: str) -> str | None:
    return load_cancel({"reason": reason}).reason


# --- access keys


@pytest.mark.parametrize("spelt", [
    KEY,
    f"NFe{KEY}",
    f" nfe {KEY} ",
    "5206 0433 0099 1100 2506 5501 2000 0007 8002 6730 1615",
    "NFe\u00a0" + KEY[:22] + "\u202f" + KEY[22:],
])  # fmt: skip
def test_an_nf_e_s_key_goes_out_as_its_digits(spelt: str) -> None:
    assert sent_key(invoiceKey=spelt) == KEY


@pytest.mark.parametrize(("key", "hint"), [
    (KEY[:-1], "has 43 digits, and an NF-e's access key has 44"),
    (KEY + "0", "has 45 digits"),
    ("35", "has 2 digits"),
    (35, "has 2 digits"),
    ("NFe35", "has 2 digits"),
    (KEY[:-1] + "6", "ends in 6, and by its check digit it would end in 5"),
    ("25060433009911002506550120000007800267301615", "ends in 5"),  # two digits changed places
    (int(KEY), "write it as text, in quotes"),
    (float(KEY), "write it in quotes"),
])  # fmt: skip
def test_a_key_that_no_nf_e_has_is_refused(key: Any, hint: str) -> None:
    said = refused(load_invoice, {**INVOICE, "invoiceKey": key})
    assert said.startswith("invoiceKey: ")
    assert hint in said
    assert "|" not in said


@pytest.mark.parametrize(
    "key", ["CFe35201100063960001504590006629690333214542150", "NFe", "F001-12345", "3520A1", "NFeX1", "٣٥"]
)
def test_keys_that_are_not_of_digits_pass_as_they_are(key: str) -> None:
    assert sent_key(invoiceKey=key) == key


def test_the_key_of_a_return_passes_as_it_is() -> None:
    assert sent_key(type="Input", invoiceKey="35") == "35"
    assert sent_key(invoiceKey=None) is None
    assert sent_key(invoiceKey=" ") is None


@given(st.text("0123456789", min_size=43, max_size=43), st.integers(0, 42), st.integers(1, 9))
def test_one_wrong_digit_is_found(digits: str, place: int, more: int) -> None:
    whole = digits + access_key.check_digit(digits)
    assert access_key.read(whole) == whole
    other = str((int(whole[place]) + more) % 10)
    changed = digits[:place] + other + digits[place + 1 :]
    # the remainders 0 and 1 share the check digit 0: the manual's own weakness
    if access_key.check_digit(changed) != whole[-1]:
        with pytest.raises(ValueError, match="check digit"):
            access_key.read(changed + whole[-1])


def test_the_stand_in_s_companies_and_goods_have_right_check_digits() -> None:
    assert cnpj("33000167") == "33000167000101"
    assert ean("789100031550") == "7891000315507"


# --- characters


@pytest.mark.parametrize(("written", "sent"), [
    ("Sem\u00a0estoque", "Sem estoque"),
    ("R$\u202f10", "R$ 10"),
    ("1\u2007000", "1 000"),
    ("\u00a0a\u3000b\u2009", "a b"),
    ("\ufeffSem esto\u00adque\u200b", "Sem estoque"),
    ("a\u200db", "ab"),
    ("família 👨\u200d👩\u200d👧 e ❤\ufe0f\u200d🔥", "família 👨\u200d👩\u200d👧 e ❤\ufe0f\u200d🔥"),
    ("👩🏽\u200d💻 1\ufe0f\u20e3", "👩🏽\u200d💻 1\ufe0f\u20e3"),
    ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f!",) * 2,
    ("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",) * 2,
    ("\uf0b7 item", "\uf0b7 item"),  # a word processor's bullet
    ("\U000323b0",) * 2,  # a character that may be given in a later Unicode
    ("Sem estoque\nFalar\tcom a loja\r\nhoje", "Sem estoque Falar com a loja hoje"),
    ("um\u2028dois", "um dois"),
    ("Nitero\u0301i  hoje", "Niterói hoje"),
])  # fmt: skip
def test_what_is_copied_from_forms_passes(written: str, sent: str) -> None:
    assert sent_reason(written) == sent


@pytest.mark.parametrize(("written", "hint"), [
    ("a\x07b", "has a control character (U+0007) at position 2; take it out"),
    (" a\x1b[31m", "has a control character (U+001B) at position 3"),
    ("a\x85b", "has a control character (U+0085) at position 2"),
    ("ok \u202exe.fdp", "has a character that turns the direction of what follows (U+202E) at position 4"),
    ("\u2066a", "turns the direction"),
    ("a\U000e0041", "has an invisible character (U+E0041) at position 2"),
    ("a\ufffe", "has what is no character (U+FFFE) at position 2"),
    ("a\0b", "has a NUL character at position 2"),
    ("ab\ud83d", "has half of a character (a lone surrogate) at position 3"),
])  # fmt: skip
def test_control_characters_are_refused_with_their_place(written: str, hint: str) -> None:
    with pytest.raises(Invalid) as error:
        sent_reason(written)
    assert str(error.value).startswith("reason: ")
    assert hint in str(error.value)


def test_a_line_break_is_refused_where_there_is_one_line() -> None:
    for char, name in (("\n", "a line break"), ("\u2028", "a line break"), ("\t", "a tab")):
        said = refused(load_tracking, {"trackingNumber": "1", "courier": f"A{char}B"})
        assert f"courier: has {name} (U+{ord(char):04X}) at position 2" in said


def test_an_invisible_text_is_an_empty_one() -> None:
    assert sent_reason("\u200b\u00a0\ufeff") is None
    assert "is empty" in refused(load_invoice, {**INVOICE, "invoiceNumber": "\u200b"})


@given(st.text(), st.booleans())
def test_what_was_cleaned_stays_as_it_is(text: str, lines: bool) -> None:
    try:
        once = characters.cleaned(text, lines=lines)
    except ValueError:
        return
    assert characters.cleaned(once, lines=lines) == once


# --- dates for "none"


@pytest.mark.parametrize("none", [
    "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.0000000", "0001-01-01T00:00:00-03:00",
    "0001-01-01T00:00:00+00:00", "0001-01-01 00:00:00", "0001-01-01", "0000-00-00 00:00:00", "1899-12-30T00:00:00",
    "1900-01-01T00:00:00",
])  # fmt: skip
def test_a_program_s_date_for_none_is_none(none: str) -> None:
    invoice = load_invoice({**INVOICE, "dispatchedDate": none}, zone=ZONE)
    assert "dispatchedDate" not in invoice.body()
    tracking = {"trackingNumber": "1", "dispatchedDate": none, "isDelivered": True, "deliveredDate": none}
    loaded = load_tracking(tracking, zone=ZONE)
    assert (loaded.body()["dispatchedDate"], loaded.body()["deliveredDate"]) == (None, None)
    said = refused(load_invoice, {**INVOICE, "issuanceDate": none})
    assert said.startswith(f'issuanceDate: "{none}" is what programs write for no date; write for example')


@pytest.mark.parametrize("wrong", ["0001-01-02T00:00:00", "0001-01-01T00:00:01", "1900-01-01T12:00"])
def test_other_old_dates_are_still_slips(wrong: str) -> None:
    assert "dispatchedDate: " in refused(load_invoice, {**INVOICE, "dispatchedDate": wrong})


# --- a carrier's names


@pytest.mark.parametrize(("name", "value", "where"), [
    ("codigoRastreio", "BR1", "write it as trackingNumber"),
    ("Código de Rastreio", "BR1", "write it as trackingNumber"),
    ("rastreamento", "BR1", "write it as trackingNumber"),
    ("codigos_rastreio", ["BR1", "BR2"], "the others into an event's description"),
    ("trackingNumbers", ["BR1", "BR2"], "VTEX keeps one trackingNumber of an invoice"),
    ("transportadora", "Correios", "write its name as courier"),
    ("dataEntrega", "2026-01-01", "write it as deliveredDate, beside isDelivered: true"),
    ("deliveryDate", "2026-01-01", "write it as deliveredDate"),
    ("previsaoEntrega", "2026-01-01", "VTEX keeps no estimate"),
    ("status", "DELIVERED", "write isDelivered: true once the parcel has arrived"),
    ("ocorrencias", [], "write it as events: a list"),
    ("chaveNFe", KEY, "is invoiceKey of the invoice"),
    ("serie", 1, "VTEX knows an invoice by its number alone"),
    ("numeroNF", 1, "write the invoice's number as invoiceNumber"),
    ("recebedor", "Maria", "leave it out"),
    ("orderId", "1-01", "the order is named outside of the payload"),
    ("volumes", 2, "VTEX takes it with the invoice"),
    ("xyz", 1, "known are invoiceNumber, trackingNumber"),
])  # fmt: skip
def test_a_carrier_s_field_is_named_with_the_place_of_its_content(name: str, value: Any, where: str) -> None:
    said = refused(load_tracking, {"trackingNumber": "BR0", name: value})
    assert said.startswith(f"{name}: is not known, and would be lost; ")
    assert where in said
    assert "Maria" not in said


@pytest.mark.parametrize(("name", "where"), [
    ("cidade", "write it as city"),
    ("UF", "write it as state"),
    ("descrição", "write it as description"),
    ("dataHora", "write it as date"),
    ("hora", "VTEX keeps an event's day"),
    ("codigo", "VTEX keeps no codes"),
])  # fmt: skip
def test_so_is_one_of_an_event(name: str, where: str) -> None:
    event = {"date": "2026-01-01", "city": "Niterói", name: "x"}
    said = refused(load_tracking, {"events": [event]})
    assert said.startswith(f"events[0].{name}: is not known, and would be lost; ")
    assert where in said


@pytest.mark.parametrize("form", [TrackingSchema, TrackingEventSchema])
def test_no_hint_stands_in_the_way_of_a_field(form: Any) -> None:
    assert not {folded(name) for name in form().names()} & set(form.hints)
    assert all(folded(name) == name for name in form.hints)
