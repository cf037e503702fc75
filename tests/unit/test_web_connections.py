"""Who goes when there are too many connections."""

from __future__ import annotations

import resource
from collections import Counter

import pytest

from workers.web import connections
from workers.web.connections import Connections


class Strangers:
    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()

    def count(self, kind: str, address: str | None) -> None:
        self.counted[f"{kind} {address}"] += 1


class One:
    """A connection; of one that is dropped its end comes later."""

    def __init__(self, remote: str, *, busy: bool = False) -> None:
        self.remote, self.busy, self.dropped = remote, busy, False

    def drop(self) -> None:
        self.dropped = True


@pytest.fixture
def made() -> tuple[Connections, Strangers]:
    strangers = Strangers()
    return Connections(10, strangers), strangers  # type: ignore[arg-type]


def opened(all_: Connections, *ones: One) -> list[One]:
    for one in ones:
        all_.add(one)
    return list(ones)


def test_the_one_that_was_silent_for_longest_goes(made: tuple[Connections, Strangers]) -> None:
    all_, strangers = made
    ones = opened(all_, *(One("192.0.2.1") for _ in range(10)))
    all_.asked(ones[0])
    opened(all_, One("192.0.2.1"))
    assert [one.dropped for one in ones] == [False, True] + [False] * 8
    assert strangers.counted == {"too many connections 192.0.2.1": 1}
    all_.remove(ones[1])  # its end
    opened(all_, One("192.0.2.1"))
    assert ones[2].dropped


def test_it_is_one_of_the_address_that_has_most(made: tuple[Connections, Strangers]) -> None:
    all_, _ = made
    few = opened(all_, *(One("192.0.2.2") for _ in range(4)))
    many = opened(all_, *(One("192.0.2.1") for _ in range(6)))
    newcomers = opened(all_, *(One(f"192.0.2.{number}") for number in range(3, 5)))
    assert [one.dropped for one in many] == [True, True, False, False, False, False]
    assert not [one for one in few + newcomers if one.dropped]


def test_who_waits_for_an_answer_stays(made: tuple[Connections, Strangers]) -> None:
    all_, _ = made
    at_work = opened(all_, *(One("192.0.2.1", busy=True) for _ in range(9)))
    silent, newcomer, late = One("192.0.2.2"), One("192.0.2.3", busy=True), One("192.0.2.4")
    opened(all_, silent, newcomer)
    assert silent.dropped  # although another address has more
    opened(all_, late)
    assert late.dropped  # all are at work
    assert not [one for one in [*at_work, newcomer] if one.dropped]
    all_.remove(late)  # its end counts no other's
    all_.remove(at_work[0])
    [after] = opened(all_, One("192.0.2.4"))
    assert not after.dropped


@pytest.mark.parametrize(("soft", "hard", "raised", "most"), [
    (64, 64, None, 16),
    (20, 20, None, 8),
    (1024, 4096, 4096, 4048),
    (1024, 1_000_000, 8240, 8192),
    (1024, resource.RLIM_INFINITY, 8240, 8192),
    (100_000, 100_000, None, 8192),
    (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 8192),
])  # fmt: skip
def test_as_many_files_as_there_may_be(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int | None, most: int
) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, limits: said.append(limits))
    assert connections.room() == most
    assert said == ([(raised, hard)] if raised else [])
