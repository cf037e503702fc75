"""Commands that run: everything on one machine (up), or one process each (worker, beat, web, flower)."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

import click

from workers.cli.setting_up import settings_to_start_with, with_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.registry import Collector

    from workers.embedded import Embedded
    from workers.heartbeat import Health
    from workers.rights import Kind
    from workers.runtime import Link
    from workers.settings import Settings
    from workers.vtex.schemas import FeedConfig

#: Seconds that other processes give the one that starts the embedded Valkey.
START_PATIENCE = 20.0
#: Seconds that a fleet waits for the first answers of its stores.
FIRST_LOOK_SECONDS = 5.0
#: Seconds beyond a step's lease, after which nothing is its own any more: then a worker that was asked to stop and
#: cannot ends the hard way. Celery waits without end for a Redis that is away, and its supervisor may have been killed.
STOP_PATIENCE = 15


@click.command()
def up() -> None:
    """Run everything on this machine: Redis if none is named, workers, beat, and web if WEB_TOKENS is set.

    Runs until SIGTERM or Ctrl-C; then it takes nothing new, ends what it has begun, and exits 0.
    """
    from workers import child, deaths, embedded, interpreter, telemetry
    from workers.redis_address import connect
    from workers.supervisor import Supervisor

    loaded = settings_to_start_with()
    names: dict[str, str] = {}

    def noted(name: str, pid: int) -> None:
        """What a worker that died was at need not wait until it is missed."""
        if name in names:
            with contextlib.closing(connect(loaded, socket_timeout=2, socket_connect_timeout=2)) as client:
                deaths.saw_die(client, f"{names[name]}@{socket.gethostname()}", pid)

    with (
        embedded.lock_data_dir(loaded.data_dir) as lock,
        Supervisor(on_end=noted) as supervisor,
        contextlib.ExitStack() as stack,
    ):
        telemetry.set_up(loaded)
        if loaded.redis_url is None:
            valkey = stack.enter_context(embedded.Embedded(loaded.data_dir, lock=lock))
            loaded = with_redis(loaded, valkey.url)
            supervisor.watch(valkey.alive, valkey.restart)
            stack.enter_context(child.take_along())  # without Redis nothing that they do can be recorded
        else:
            loaded = with_redis(loaded)
        telemetry.set_up(loaded)
        _allowed(loaded)
        first_look(loaded)
        me = [sys.executable, "-m", "workers.cli"]
        with _metrics(loaded):
            pass  # a port that is taken is said now, and not by a beat that dies again and again
        quiet = {name: value for name, value in os.environ.items() if name != "METRICS_PORT_FILE"}
        quiet = interpreter.ENVIRONMENT | quiet | {"METRICS_PORT": "0"}
        for n in range(1, loaded.worker_processes + 1):
            names[f"worker {n}"] = f"worker{n}-{os.getpid()}"
            worker_argv = [*me, "worker", "--name", names[f"worker {n}"]]
            supervisor.add(f"worker {n}", worker_argv, env=quiet)
        supervisor.add("beat", [*me, "beat"], stage=0)  # it answers for all of them
        if loaded.front_door:
            supervisor.add("web", [*me, "web"], stage=0)
        code = supervisor.run()
    sys.exit(code)


def _about_the_feed(config: FeedConfig | None, store: Settings) -> str:
    if config is not None:
        return f"connected; {config.quantity or 0} events wait in the feed."
    if store.feed_managed and not store.shadow:
        return "VTEX has no feed for this key yet; it will be made."
    return "VTEX has no feed for this key yet, so no order will come.\n  Run: vtexorders feed configure"


def first_look(loaded: Settings) -> None:
    """Say plainly, before anything runs, what VTEX and the ERP answer; a refusal pauses instead of hammering.

    Of several stores, the others do not wait long for one that does not answer.
    """
    from workers.runtime import Runtime

    runtime = Runtime(loaded)
    links = runtime.links()
    failed: list[Exception] = []

    def look(link: Link) -> None:
        try:
            for line in _answers(link, f" of {link.account.name}" if len(links) > 1 else ""):
                click.echo(line, err=True)
        except Exception as error:  # noqa: BLE001 - told below, by whoever waits
            failed.append(error)

    looks = [threading.Thread(target=look, args=(link,), daemon=True) for link in links]
    for one in looks:
        one.start()
    deadline = time.monotonic() + FIRST_LOOK_SECONDS
    for link, one in zip(links, looks, strict=True):
        one.join(max(0.0, deadline - time.monotonic()) if len(links) > 1 else None)
        if one.is_alive():
            click.echo(f"Store {link.account.name}: there is no answer yet; the work begins.", err=True)
    if not any(one.is_alive() for one in looks):
        runtime.close()
    if failed:
        raise failed[0]


def _answers(link: Link, of: str) -> Iterator[str]:
    from workers import errors

    name, store = link.account.name, link.settings
    try:
        config = link.vtex.feed_config()
    except errors.AccessDenied as error:
        link.ledger.pause("vtex", str(error))
        yield (
            f"Store {name}: {error}.\n"
            "  Nothing is read, changed or committed at VTEX until that works; it is tried once a minute."
        )
    except errors.OrderLinkError as error:
        yield f"Store {name}: VTEX does not answer well ({error}); it is tried again."
    else:
        link.ledger.resume("vtex")
        yield f"Store {name}: {_about_the_feed(config, store)}"
    if store.shadow == "look":
        return
    try:
        link.sink.check()
    except errors.OrderLinkError as error:
        if isinstance(error, errors.AccessDenied):
            link.ledger.pause("erp", str(error))
        yield f"ERP{of}: {error}.\n  Orders wait in VTEX's feed until that works."
    else:
        link.ledger.resume("erp")


@click.command()
@click.option("--queues", metavar="A,B", help="Serve only these: upkeep, handling, commands, celery, orders.")
@click.option(
    "--name", default="worker", show_default=True, help="The part of its name before the @ (Flower shows it)."
)
def worker(queues: str | None, name: str) -> None:
    """Run one worker process (the Procfile and pods do)."""
    loaded = settings_to_start_with()
    with _redis_or_own(loaded) as connected:
        _allowed(connected)
        from celery import signals as celery_signals
        from celery.apps import worker as celery_worker
        from celery.exceptions import CPendingDeprecationWarning
        from celery.platforms import SecurityWarning
        from celery.utils.nodenames import default_nodename, host_format

        from workers.app import app
        from workers.queues import QUEUES, of_purpose
        from workers.runtime import lease_of

        chosen = queues.split(",") if queues else list(QUEUES)
        wrong = sorted(set(chosen) - set(QUEUES))
        if wrong:
            raise click.UsageError(f"no such queue: {', '.join(wrong)} (there are {', '.join(QUEUES)})")
        # in our order, not in the one given: what is under way ends before new work begins
        names = ",".join(of_purpose(loaded, *(queue for queue in QUEUES if queue in chosen)))
        for category in (
            SecurityWarning,  # root in a container is the operator's choice
            CPendingDeprecationWarning,  # that tasks go on while Redis is away is ours
        ):
            warnings.filterwarnings("ignore", category=category)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        patience = int(lease_of(loaded)) + STOP_PATIENCE
        celery_signals.worker_shutting_down.connect(lambda **_: signal.alarm(patience), weak=False)
        celery_worker.safe_say = lambda *_: None  # our own line says that it stops, in the form of the log
        # not through Celery's command line, which imports Flower and more: 13 MB of each process
        running = app.Worker(
            hostname=host_format(default_nodename(f"{name}@%h")),
            queues=names,
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        with _metrics(loaded):
            running.start()
    sys.exit(running.exitcode or 0)


@click.command()
def beat() -> None:
    """Run beat, the clock (one is enough; several are harmless)."""
    loaded = with_redis(settings_to_start_with(), patience=START_PATIENCE)
    _allowed(loaded)
    from workers import runtime
    from workers.app import app
    from workers.monitor.exporter import Exporter
    from workers.monitor.readings import Reading, read
    from workers.monitor.watch import Watch
    from workers.monitor.webhook import Webhook

    process = runtime.current()
    ledgers = [process.link(name).ledger for name in loaded.accounts]
    webhook = Webhook(loaded.alarm_url) if loaded.alarm_url else None
    watch = Watch(process.redis, ledgers, loaded, send=webhook)

    def facts() -> Reading:
        reading = read(process.redis, ledgers, loaded)
        watch.show(reading)
        return reading

    try:
        with _metrics(loaded, Exporter(facts)):
            watch.start()
            app.start(["--quiet", "beat", "--pidfile="])
    finally:
        watch.stop()
        if webhook:
            webhook.close()
        process.close()


@contextlib.contextmanager
def _metrics(loaded: Settings, *collectors: Collector) -> Iterator[None]:
    """What this process answers on METRICS_PORT."""
    from workers import runtime
    from workers.monitor import server

    def health() -> Health | None:
        beats = runtime.current().heartbeat
        return beats.health() if beats else None

    with contextlib.ExitStack() as stack:
        with _port_told("METRICS_PORT", loaded.metrics_port):
            stack.enter_context(server.serving(loaded, health, *collectors))
        yield


@click.command()
@click.option("--optional", is_flag=True, help="With neither set, wait idly instead (the Procfile does).")
def web(*, optional: bool) -> None:
    """Run the front door: the HTTP API for an ERP (WEB_TOKENS), and the receiver of VTEX's hook (HOOK_SECRET).

    It speaks plain http, and listens on this machine only, unless WEB_ADDRESS says otherwise: put it behind TLS.
    """
    loaded = settings_to_start_with(alone_with_redis=True)
    if not loaded.front_door:
        if not optional:
            raise click.UsageError(
                "nobody could get in: set WEB_TOKENS (openssl rand -hex 24 makes one), or HOOK_SECRET, or both"
            )
        click.echo("There is no front door: neither WEB_TOKENS nor HOOK_SECRET is set.", err=True)
        ends = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)
        signal.sigwait(ends)
        return
    loaded = with_redis(loaded, patience=START_PATIENCE)
    _allowed(loaded, "web")
    from workers import telemetry
    from workers.web import serve

    telemetry.set_up(loaded)
    with _port_told("WEB_PORT", loaded.web_port):
        serve.run(loaded)


def _allowed(loaded: Settings, kind: Kind = "worker") -> None:
    """A user of Redis that lacks a right is one sentence now, and not a process that dies again and again."""
    import redis

    from workers import queues, redis_address, rights
    from workers.net.sentinel import PrimaryElsewhere

    with contextlib.closing(redis_address.connect(loaded)) as client:
        try:
            lacking = rights.missing(client, queues.more(loaded), kind)
        except PrimaryElsewhere as error:
            raise click.ClickException(f"Redis: {error}") from None
        except redis.RedisError:
            return  # it is away: that is waited for
    if lacking:
        user = redis_address.parse(str(loaded.redis_url)).username
        raise click.ClickException(f"Redis: {rights.said(user, lacking)}.\n  -> {rights.do(kind)}")


@contextlib.contextmanager
def _port_told(name: str, port: int) -> Iterator[None]:
    """A port or an address that cannot be had is one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            address = name.replace("PORT", "ADDRESS")
            raise click.ClickException(f"{address} is no address of this machine: {error.strerror}") from None
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        what = "is taken by another program" if error.errno == errno.EADDRINUSE else "is not for this user"
        raise click.ClickException(f"port {port} {what}: set {name} to another one") from None


@click.command()
def flower() -> None:
    """Run Flower, the page that shows workers and tasks.

    It listens on this machine only, unless FLOWER_ADDRESS says otherwise; that needs FLOWER_BASIC_AUTH, too.
    """
    loaded = with_redis(settings_to_start_with(alone_with_redis=True), patience=START_PATIENCE)
    _allowed(loaded, "flower")
    from workers.app import app
    from workers.cli import flower_doors
    from workers.settings import is_here

    auth = loaded.flower_basic_auth.reveal()
    for stale in ("FLOWER_BASIC_AUTH", "FLOWER_BASIC_AUTH_FILE", "FLOWER_PORT", "FLOWER_PORT_FILE"):
        os.environ.pop(stale, None)
    if auth:
        os.environ["FLOWER_BASIC_AUTH"] = auth  # not an argument: those show in the list of processes
    address = loaded.flower_address
    if not auth and not is_here(address):
        raise click.UsageError(
            "FLOWER_ADDRESS is open to other machines: set FLOWER_BASIC_AUTH (user:password), too"
        )
    columns = "name,kwargs,state,received,started,runtime,worker,uuid"  # kwargs: where the order id is
    flower_doors.shut()
    with _port_told("FLOWER_PORT", loaded.flower_port):
        app.start(
            ["flower", f"--address={address}", f"--port={loaded.flower_port}", f"--tasks_columns={columns}"]
        )


@contextlib.contextmanager
def _redis_or_own(loaded: Settings) -> Iterator[Settings]:
    """Redis for a worker that nobody started one for: the first one here runs the embedded server, others find it."""
    from workers import embedded

    if loaded.redis_url or embedded.find(loaded.data_dir):
        yield with_redis(loaded)
        return
    valkey = embedded.Embedded(loaded.data_dir)
    try:
        valkey.start()
    except embedded.DataDirInUse:
        yield with_redis(loaded, patience=START_PATIENCE)
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_keep_alive, args=(valkey, ended), name="valkey", daemon=True)
    keeper.start()
    try:
        yield with_redis(loaded, valkey.url)
    finally:
        ended.set()
        keeper.join()
        valkey.stop()


def _keep_alive(valkey: Embedded, ended: threading.Event) -> None:
    """Start the server again if it dies: same address, same data."""
    from workers.embedded import EmbeddedError

    while not ended.wait(1.0):
        if not valkey.alive():
            try:
                valkey.restart()
            except EmbeddedError as error:
                click.echo(str(error), err=True)
