"""No name that a store may have makes a key that is another's."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from workers import keys, queues
from workers.scripts import scripts
from workers.settings import Account, Secret, Settings
from workers.settings.values import host_word

ALL = [value for name, value in vars(keys).items() if name.isupper() and not name.startswith("_")]
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", fullmatch=True)


@given(NAMES, NAMES)
def test_no_store_reaches_the_keys_of_the_installation(name, other):
    store = keys.of_store(host_word(name))
    for key in [*ALL, keys.process(other), keys.of_all(other), keys.of_all(other, "look")]:
        assert not key.startswith(store)
        assert not store.startswith(key)
        assert not keys.of_store(other, "look").startswith(key)
    assert len(ALL) >= 6


@given(NAMES, NAMES)
def test_no_store_reaches_another_ones_keys(name, other):
    if name != other:
        assert not keys.of_store(name).startswith(keys.of_store(other))
        assert not keys.of_store(name, "look").startswith(keys.of_store(other, "look"))


def test_a_store_s_keys_are_where_they_always_were():
    assert keys.of_store("mystore") == "vo:mystore:"
    assert keys.of_store("mystore", "deliver") == "vo:shadow:deliver:mystore:"


def test_the_scripts_know_the_same_keys():
    known = {key for text in scripts().values() for key in re.findall(r"'(vo:[^']*)'", text)}
    assert known == {keys.WORKER, keys.BEATS}


def test_a_message_that_names_no_store_is_not_for_one_that_is_called_none():
    account = Account("None", Secret("key"), Secret("token"))
    router = queues.Router(Settings({"None": account, "other": account}, "sqlite:///erp.db"))
    assert router("orders.cancel", (), {"order_id": "1-01"}, {}) == {"queue": "commands"}
    assert router("orders.cancel", (), {"account": None}, {}) == {"queue": "commands"}
    assert router("orders.cancel", (), {"account": ["None"]}, {}) == {"queue": "commands"}
    assert router("orders.cancel", (), {"account": "None"}, {}) == {"queue": "commands.None"}
