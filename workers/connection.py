"""The kind of Celery application that ours is: it changes nothing for others in the same process.

An ERP's program may import :mod:`workers.intake` and run a Celery application of its own. So ours is not the process's
current one, its tasks are in no other's registry, it has its own transport to Redis (:mod:`workers.broker`), and its
logging and signals begin with a worker or a beat of ours (:mod:`workers.lifecycle`).
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from kombu import connection
from kombu.pools import ProducerPool
from kombu.utils import collections

from workers import broker

# what kombu does not say the types of
_theirs: Any = connection
_collections: Any = collections
_producers: Any = ProducerPool

#: Our transport for each scheme of an address.
_TRANSPORTS = {
    "redis": broker.Transport,
    "rediss": broker.Transport,
    "sentinel": broker.SentinelTransport,
}


class _OverOurs:
    """A connection over our transport, if this kombu is one that it was made for.

    It is found by the address's scheme, so it stays whatever address a list of several has next (``switch``), and a
    copy (``clone``) has it, too.
    """

    transport_cls: Any

    def get_transport_cls(self) -> Any:
        """The class of the transport."""
        ours = _TRANSPORTS.get(self.transport_cls) if broker.MADE_FOR else None
        return ours or super().get_transport_cls()  # type: ignore[misc]

    def __eqhash__(self) -> Any:
        """Nobody else gets it from kombu's pools, which all applications of a process share."""
        return _collections.HashedSeq("vtexorders", *super().__eqhash__())  # type: ignore[misc]


class Connection(_OverOurs, _theirs.Connection):  # type: ignore[misc]
    """kombu's connection, over our transport."""

    def Pool(self, limit: int | None = None, **options: Any) -> Pool:  # noqa: N802 - kombu's name for it
        """A pool of such connections."""
        return Pool(self, limit, **options)


class Pooled(_OverOurs, _theirs.PooledConnection):  # type: ignore[misc]
    """The same, of a pool."""


class Pool(_theirs.ConnectionPool):  # type: ignore[misc]
    """A pool of such connections."""

    def new(self) -> Pooled:
        """Another connection."""
        return Pooled(self, **dict(self.connection._info(resolve=False)))  # noqa: SLF001 - as kombu makes its own


class Amqp(AMQP):  # type: ignore[misc]
    """Celery's messages, over such connections."""

    Connection = Connection
    _producer_pool: Any = None

    @property
    def producer_pool(self) -> Any:
        """The producers of this application; kombu's own pool of them has one limit for the whole process."""
        if self._producer_pool is None:
            pool = self.app.pool
            self._producer_pool = _producers(pool, limit=pool.limit)
        return self._producer_pool


class OrderLink(Celery):  # type: ignore[misc]
    """A Celery application that keeps to itself."""

    amqp_cls = "workers.connection:Amqp"
    log_cls = "workers.lifecycle:Logging"
    _pool: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, set_as_current=False, **options)

    def task(self, *args: Any, **options: Any) -> Any:
        """Celery's decorator; the task is this application's alone."""
        return super().task(*args, **{"shared": False, **options})

    @property
    def pool(self) -> Any:
        """The connections of this application."""
        if self._pool is None:
            self._ensure_after_fork()
            self._pool = self.connection_for_write().Pool(limit=self.conf.broker_pool_limit)
        return self._pool
