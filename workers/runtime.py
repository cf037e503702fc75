"""What one process shares between its tasks: settings, Redis, and a link an account (ledger, client, sink)."""

from __future__ import annotations

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import redis

from workers import errors, queues, redis_address, telemetry
from workers.breaker import Breaker, unavailable
from workers.command_ledger import CommandLedger
from workers.conditions import Conditions
from workers.erp.sink import Delivery, Sink, SinkOptions, TakesMany, open_sink
from workers.heartbeat import Heartbeat
from workers.ledger import Ledger
from workers.limiter import Limiter
from workers.monitor.meter import Meter
from workers.net.bounded import SILENCES
from workers.policy import Policy
from workers.settings import Account, Settings, SettingsError
from workers.vtex.client import Vtex

log = telemetry.get(__name__)

#: How many feed reads or commits of a store one process has on the way at once.
IO_THREADS = 8
#: Seconds between two looks at whether a paused store or ERP lets us in again.
PROBE_SECONDS = 60.0


def lease_of(settings: Settings) -> float:
    """Seconds: between two renewals a step makes one call, to VTEX or to the ERP, which must end inside the lease.

    Of one store's settings; of several stores', the longest.
    """
    longest = max((settings.of(name).http_timeout for name in settings.accounts), default=0.0)
    return max(30.0, 10.0 + SILENCES * longest)


def ledger_of(client: redis.Redis, settings: Settings, account: str) -> Ledger:
    """An account's ledger, the same for workers and console."""
    mine = settings.of(account)
    lease = lease_of(mine)
    return Ledger(client, account, shadow=mine.shadow, lease=lease, patience=max(60.0, 2 * lease))


def open_erp(settings: Settings, pool: int) -> Sink:
    """The sink that one store's settings name; ``SettingsError`` with one sentence if there is none."""
    options = SinkOptions(
        token=settings.erp_token,
        signing_secret=settings.erp_signing_secret,
        timeout=settings.http_timeout,
        in_clear=settings.in_clear,
    )
    try:
        return open_sink(settings.erp_url, pool=pool, options=options)
    except errors.Invalid as invalid:
        problem = str(invalid)
    raise SettingsError([f"ERP_URL cannot be used: {problem}"])


@dataclass
class Link:
    """Everything that a step of one account's orders may use."""

    account: Account
    ledger: Ledger
    limiter: Limiter
    vtex: Vtex
    sink: Sink
    policy: Policy
    settings: Settings  # of this store
    erp_breaker: Breaker
    meter: Meter
    #: Its queues by purpose.
    queues: Mapping[str, str]

    @cached_property
    def io(self) -> ThreadPoolExecutor:
        """Threads for the parallel calls inside of one task (feed reads, commits); no other store waits for them."""
        return ThreadPoolExecutor(IO_THREADS, thread_name_prefix=f"io-{self.account.name}")

    def close(self) -> None:
        """Give back connections and threads."""
        self.vtex.close()
        self.sink.close()
        if "io" in self.__dict__:
            self.io.shutdown()

    @property
    def commands(self) -> CommandLedger:
        """The account's commands, beside its orders."""
        return CommandLedger(self.ledger)

    @property
    def conditions(self) -> Conditions:
        """What is wrong with the account as a whole."""
        return Conditions(self.ledger)

    def deliver(self, delivery: Delivery) -> None:
        """Hand it to the ERP; a failure is the ERP's and not VTEX's (its ``scope``; :class:`SinkDenied`)."""
        started, outcome = time.perf_counter(), "failed"
        try:
            self.sink.deliver(delivery)
            outcome = "taken"
        except errors.AccessDenied as denied:
            raise errors.SinkDenied(f"the ERP refuses us: {denied}") from None
        except errors.Retryable as failure:
            failure.scope = "erp"
            if unavailable(failure):
                self.erp_breaker.failed(str(failure))
            else:
                self.erp_breaker.worked()
            raise
        except errors.Permanent:
            outcome = "refused"
            self.erp_breaker.worked()
            raise
        finally:
            self.meter.observe("vtexorders_erp_delivery_seconds", time.perf_counter() - started, outcome)
        self.erp_breaker.worked()

    def deliver_ends(self, deliveries: Sequence[Delivery]) -> bool:
        """Hand an ERP how several commands ended. False: it does not take many, or not these; then one by one."""
        if len(deliveries) < 2 or not isinstance(self.sink, TakesMany):  # noqa: PLR2004 - several
            return False
        started = time.perf_counter()
        try:
            self.sink.deliver_ends(deliveries)
        except errors.OrderLinkError:
            return False
        for _ in deliveries:
            self.meter.observe("vtexorders_erp_delivery_seconds", time.perf_counter() - started, "taken")
        self.erp_breaker.worked()
        return True

    def paused_at(self, error: Exception) -> str | None:
        """The scope that is paused, if the error only says what the pause says: nobody is there."""
        if not isinstance(error, errors.Retryable) or not unavailable(error):
            return None
        return error.scope if error.scope in self.ledger.paused() else None

    def trouble(self, error: Exception) -> None:
        """What an error means for the whole account, whichever task met it."""
        if isinstance(error, errors.RateLimited) and error.status is not None:
            self.limiter.cool_down(error.after)
        elif isinstance(error, errors.AccessDenied) and self.ledger.pause(error.scope, str(error)):
            # the refused call was the first probe
            self.ledger.once_every(f"probe:{error.scope}", PROBE_SECONDS)
            log.error("paused", scope=error.scope, why=str(error), account=self.account.name)


class Runtime:
    """One a process; built from the settings at first use."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        if client is None and settings.redis_url is None:
            raise ValueError("a Runtime needs Redis: settings.redis_url is empty")
        self.settings = settings
        self.redis = client if client is not None else redis_address.connect(settings)
        self.stopping = threading.Event()
        self.heartbeat: Heartbeat | None = None
        self._links: dict[str, Link] = {}
        self._building: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def token(self) -> str:
        """A claim's token: which process it is, and one execution of one task."""
        who = self.heartbeat.who if self.heartbeat else "-"
        return f"{who} {uuid.uuid4().hex}"

    def link(self, name: str) -> Link:
        """The link of an account; ``KeyError`` when the settings do not have it."""
        if name not in self._links:
            account = self.settings.account(name)
            with self._building[
                name
            ]:  # an ERP's own code may take its time: the other stores do not wait for it
                if name not in self._links:
                    self._links[name] = self._build(account)
        return self._links[name]

    def links(self) -> list[Link]:
        """All of them; ``SettingsError`` with every problem that keeps one from being made."""
        links, problems = [], []
        for name in self.settings.accounts:
            try:
                links.append(self.link(name))
            except SettingsError as error:
                store = f"{name}: " if len(self.settings.accounts) > 1 else ""
                problems += [store + problem for problem in error.problems]
        if problems:
            raise SettingsError(problems)
        return links

    def warm_up(self) -> None:
        """Import and build now what the first order of each account would wait for."""
        for name in self.settings.accounts:
            try:
                self.link(name)
            except SettingsError as error:
                log.error("settings", problem=str(error), account=name)

    def _build(self, account: Account) -> Link:
        settings = self.settings.of(account.name)
        ledger = ledger_of(self.redis, settings, account.name)
        ledger.owner = self.token
        meter = Meter(ledger)
        limiter = Limiter(
            ledger,
            account.requests_per_minute,
            observe=lambda seconds: meter.observe("vtexorders_limiter_wait_seconds", seconds),
        )
        pool = settings.worker_concurrency + IO_THREADS
        breaker = Breaker(ledger, "vtex")

        def called(endpoint: str, status: int | None, seconds: float) -> None:
            meter.called(endpoint, status, seconds)
            breaker.answered(status)

        vtex = Vtex(
            account,
            timeout=settings.http_timeout,
            pool=pool,
            pace=lambda _endpoint: limiter.wait(),
            observe=called,
        )
        sink = open_erp(settings, pool)
        return Link(
            account,
            ledger,
            limiter,
            vtex,
            sink,
            Policy(horizon=settings.retry_horizon),
            settings,
            Breaker(ledger, "erp"),
            meter,
            queues.of_store(self.settings, account.name),
        )

    def flush(self) -> None:
        """Add what this process counted to the totals."""
        for link in list(self._links.values()):
            link.meter.flush()

    def close(self) -> None:
        """Give back connections and threads."""
        if self.heartbeat:
            self.heartbeat.stop()
        self.flush()
        for link in self._links.values():
            link.close()
        self.redis.close()


_current: Runtime | None = None
_current_lock = threading.Lock()


def use(runtime: Runtime | None) -> None:
    """Make this the process's runtime."""
    global _current  # noqa: PLW0603 - one a process is what it is for
    _current = runtime


def current() -> Runtime:
    """The process's runtime, made from the environment if nobody set one."""
    global _current  # noqa: PLW0603
    with _current_lock:
        if _current is None:
            from workers import settings  # noqa: PLC0415

            _current = Runtime(settings.load())
        return _current
