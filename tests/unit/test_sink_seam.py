"""The seam: keys, what shows, and which addresses open a sink."""

from dataclasses import replace

import pytest

from workers import errors
from workers.erp.contract import delivery, moment
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, ORDER_READY, Delivery, open_sink


def test_a_key_is_the_same_over_every_repeat():
    assert delivery(ORDER_READY, 1).key == delivery(ORDER_READY, 2).key == "store:1-01:order.ready"
    assert delivery(CANCELED, 1).key == delivery(CANCELED, 2).key == "store:1-01:order.canceled"


def test_each_request_for_cancellation_is_one_of_its_own():
    assert delivery(CANCELLATION_REQUESTED, 1).key != delivery(CANCELLATION_REQUESTED, 2).key
    assert delivery(CANCELLATION_REQUESTED, 1).key.endswith(f":{moment(1)}")


def test_to_go_on_after_a_request_is_not_the_order_that_came_first():
    first, second = moment(1), moment(5)
    resumed = replace(delivery(ORDER_READY, 2), occurrence=first)
    assert resumed.key == f"store:1-01:order.ready:{first}"
    assert replace(delivery(ORDER_READY, 9), occurrence=first).key == resumed.key, "whatever changed since"
    assert replace(delivery(ORDER_READY, 9), occurrence=second).key != resumed.key
    assert replace(delivery(CANCELLATION_REQUESTED, 3), occurrence=first).key.endswith(f"requested:{first}")
    assert replace(delivery(CANCELED, 3), occurrence=first).key == "store:1-01:order.canceled"


def test_the_document_never_shows():
    assert "maria" not in repr(delivery(more='"maria@example.com"'))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@host/erp",
        "hunter2",
        "",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:erp.db?uri=true",
        "sqlite://hunter2/erp.db",
        "postgresql+psycopg://user:hunter2@host",
        "postgresql+psycopg://user:hunter2@host:port/erp",
        "postgresql+psycopg:hunter2",
    ],
)
def test_an_address_that_names_no_sink_is_refused_without_quoting_it(url):
    with pytest.raises(errors.Invalid) as caught:
        open_sink(url)
    assert caught.value.__context__ is None
    if url != "hunter2":  # all that there is before the first colon is taken for the scheme
        assert "hunter2" not in str(caught.value)


def test_opening_connects_to_nothing():
    sink = open_sink("postgresql+psycopg://user:hunter2@nowhere.invalid/erp", pool=4)
    assert "hunter2" not in repr(sink)
    assert "user" not in repr(sink)
    sink.close()


def test_an_unknown_type_of_delivery_is_refused(tmp_path):
    sink = open_sink(f"sqlite:///{tmp_path}/erp.db")
    with pytest.raises(errors.Invalid, match=r"order\.lost"):
        sink.deliver(Delivery("order.lost", "store", "1-01", None, "", "{}"))
    sink.close()
