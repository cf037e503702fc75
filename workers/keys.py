"""Where our keys in Redis are: those of a store, and those of the whole installation with its processes.

A store's keys begin with its name, ``vo:mystore:``; all others begin with ``vo:_:``. The name of a store comes from
outside, and may be any label of a host name (:func:`workers.settings.values.host_word`), ``worker`` and ``lease``
included. It has no underscore, so no store's key is ever one of the others.
"""

from __future__ import annotations

_OURS = "vo:_:"


def process(kind: str) -> str:
    """What the keys of the living processes of a kind begin with."""
    return f"{_OURS}{kind}:"


#: A process that lives now, by its :attr:`~workers.heartbeat.Heartbeat.who`; the workers that are missed if they stop.
WORKER, BEAT, WORKERS = process("worker"), process("beat"), f"{_OURS}workers"
#: The processes that began and did not end; a stream of those that died; how often each has said that it lives.
BEGUN, DEATHS, BEATS = f"{_OURS}begun", f"{_OURS}deaths", f"{_OURS}beats:"
#: Never written: which rights our user has is tried on it (:mod:`workers.rights`).
RIGHTS = f"{_OURS}rights"


def of_store(account: str, shadow: str = "") -> str:
    """What a store's keys begin with. A trial run's are apart: what it believes to have done was never done.

    ``shadow`` is ``look`` or ``deliver``. A store that is called ``shadow`` has no key that begins with either and a
    colon.
    """
    return f"vo:shadow:{shadow}:{account}:" if shadow else f"vo:{account}:"


def of_all(name: str, shadow: str = "") -> str:
    """A key of the whole installation; a trial run has its own."""
    return f"{_OURS}shadow:{shadow}:{name}" if shadow else f"{_OURS}{name}"
