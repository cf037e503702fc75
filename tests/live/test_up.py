"""``vtexorders up`` as its users run it: nothing but the environment, faults at VTEX, and kill -9 at bad moments."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis
from celery import Celery

from workers.embedded import Embedded

from .conftest import ROOT
from .system import FAULTS, KEY, TOKEN, System, free_port

WORKER = "worker 1"
NOBODY = 65534


@pytest.fixture
def system(tmp_path):
    """Makes a system in this test's folder."""
    with contextlib.ExitStack() as stack:
        yield lambda name="a store", **config: stack.enter_context(System(tmp_path / name, **config))


@pytest.mark.promise("P1", "P2")
def test_every_order_arrives_once_and_sigterm_leaves_nothing_running(system):
    system = system(orders=320, faults=FAULTS)
    up = system.start("up")
    system.each_once()

    assert system.stop(up) == 0, system.output(up)
    assert system.left() == []
    text = system.output(up)
    assert "Traceback" not in text
    for secret in (KEY, TOKEN, (system.folder / "var/valkey/url").read_text().split("@")[0].split(":")[-1]):
        assert secret not in text


@pytest.mark.promise("P1", "P2", "P4")
def test_sigterm_in_the_middle_and_a_new_up_goes_on(system, wait_until):
    system = system(orders=200, faults=FAULTS, latency=0.1)
    first = system.start("up")
    system.until_handled(20)

    assert system.stop(first) == 0, system.output(first)
    assert system.left() == []
    between = system.audit()
    assert between["start_handling_effects"] < 200

    second = system.start("up")
    system.each_once()
    assert system.stop(second) == 0
    assert system.left() == []


@pytest.fixture(scope="module")
def killed(tmp_path_factory, wait_until):
    """A system after kill -9 of a worker, of Valkey and of ``up`` itself. What they held comes back after leases.

    That takes a minute or two of waiting, so other tests run meanwhile, and the last one here looks at the result.
    """
    few = {"WORKER_CONCURRENCY": "8"}
    with System(
        tmp_path_factory.mktemp("killed") / "a store", orders=200, faults=FAULTS, latency=0.1
    ) as system:
        up = system.start("up", **few)
        system.until_handled(20)
        os.kill(system.started(up, WORKER)[-1], signal.SIGKILL)
        wait_until(lambda: len(system.started(up, WORKER)) == 2, "a new worker")

        system.until_handled(30)
        server = system.valkey_pid()
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: system.valkey_pid() != server and system.redis_url(), "a new Valkey")

        system.until_handled(60)
        system.processes.kill(up)
        system.none_left()
        system.up = system.start("up", **few)
        yield system


#: Seconds: what is promised, and as much again for a busy machine. Waiting for a Redis that is away took 17.
ENDS_WITHIN = 5.0 + 5.0


@pytest.mark.promise("P4")
def test_nothing_outlives_a_killed_up_and_its_redis(system, wait_until):
    system = system(orders=400, latency=0.3)
    up = system.start(
        "up", WORKER_PROCESSES="2", WEB_TOKENS="0123456789abcdef0123456789abcdef", WEB_PORT=str(free_port())
    )
    system.until_handled(20)  # and much is in their hands
    wait_until(lambda: len(system.left()) >= 6, "up, Valkey, two workers, beat and web")
    valkey = system.valkey_pid()
    system.processes.kill(up)
    with contextlib.suppress(ProcessLookupError):  # it goes with up by itself
        os.kill(valkey, signal.SIGKILL)
    wait_until(lambda: not system.left(), lambda: f"the end of {system.left()}", ENDS_WITHIN)


@pytest.mark.promise("P4")
def test_kill_nine_of_a_worker_of_valkey_and_of_up_itself(killed):
    killed.until_handled(70)  # it goes on


@pytest.mark.promise("P2", "P3")
def test_redis_emptied_in_the_middle_loses_no_order_and_doubles_none(system):
    system = system(orders=150, faults=FAULTS, latency=0.1)
    up = system.start("up")
    system.until_handled(20)
    with contextlib.closing(redis.Redis.from_url(system.redis_url())) as client:
        client.flushall()
    system.each_once()
    assert system.stop(up) == 0
    assert system.left() == []


@pytest.mark.promise("P2")
def test_two_ups_on_one_redis_share_the_work(system, tmp_path):
    system = system(orders=120, faults=FAULTS, latency=0.05)
    with Embedded(tmp_path / "redis") as server:
        settings = {"REDIS_URL": server.url, "WORKER_PROCESSES": "1", "WORKER_CONCURRENCY": "8"}
        ups = [system.start("up", **settings, DATA_DIR=f"data {n}") for n in (1, 2)]
        system.each_once()
        assert all(system.said(up, "handled") for up in ups)
        assert system.json("status", REDIS_URL=server.url)["workers"] == 2
        assert [system.stop(up) for up in ups] == [0, 0]
    assert system.left() == []


@pytest.mark.promise("P1", "P2")
def test_postgresql_as_the_erp(system):
    import psycopg

    from .test_sql_postgresql import SERVER, Erp, execute

    try:
        execute(SERVER, "SELECT 1")
    except psycopg.OperationalError as error:
        reason = f"no PostgreSQL server for tests: {error}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    system = system(orders=200, faults=FAULTS)
    erp = Erp()
    try:
        up = system.start("up", ERP_URL=erp.url)
        system.until_settled()
        rows = [order_id for (order_id,) in erp.sql("SELECT order_id FROM vtex_orders")]
        system.each_once(rows)
        assert system.stop(up) == 0
    finally:
        erp.drop()


@pytest.mark.promise("P1", "P6")
def test_a_refused_key_is_said_plainly_and_asked_seldom(system, wait_until):
    system = system(orders=30)
    for status, words in (
        (401, "VTEX_APP_KEY and VTEX_APP_TOKEN are not valid for it"),
        (403, 'the application key needs the permission "Feed v3 and Hook Admin"'),
    ):
        system.vtex.control("credentials", {"status": status})
        calls = system.vtex.calls()["total"]
        up = system.start("up", FEED_POLL_SECONDS="0.2")
        wait_until(lambda up=up, words=words: words in system.output(up), "a plain word about the key")
        wait_until(lambda: _ran(system.redis_url(), "feed.poll") >= 20, "twenty ticks of beat")
        looked = system.run("status")
        assert looked.returncode == 0
        assert "PAUSED   VTEX" in looked.stdout
        assert words in looked.stdout
        assert system.stop(up) == 0
        assert system.vtex.calls()["total"] - calls <= 4  # up, one probe a minute, status
    audit = system.audit()
    assert audit["events_committed"] == audit["start_handling_attempts"] == 0

    system.vtex.control("credentials", {"status": None})
    up = system.start("up")
    system.each_once()
    assert system.stop(up) == 0


def _ran(url, task):
    """How often workers have run a task."""
    with Celery(broker=url) as app, app.connection_for_write() as connection:
        answers = app.control.inspect(timeout=1, connection=connection).stats() or {}
    return sum(about["total"].get(task, 0) for about in answers.values())


def test_a_feed_that_is_not_configured_is_said_plainly(system, wait_until):
    system = system(feed_configured=False)
    up = system.start("up")
    wait_until(
        lambda: "VTEX has no feed for this key yet" in system.output(up), "a plain word about the feed"
    )
    wait_until(lambda: system.said(up, "condition"), "a line in the log")

    assert system.run("feed", "configure").returncode == 0
    system.vtex.create(5)
    system.each_once()
    assert system.stop(up) == 0


def test_an_erp_that_cannot_be_written_is_said_plainly_and_orders_wait(system, wait_until):
    system = system(orders=10)
    (system.folder / "erp.db").mkdir()  # a folder where the database should be
    up = system.start("up")
    wait_until(lambda: "Orders wait in VTEX's feed until that works." in system.output(up), "a plain word")
    assert system.audit()["events_committed"] == 0
    assert system.stop(up) == 0

    (system.folder / "erp.db").rmdir()
    up = system.start("up")
    system.each_once()
    assert system.stop(up) == 0


def test_a_second_up_in_one_data_dir_says_so_and_stops(system, wait_until):
    system = system()
    up = system.start("up")
    wait_until(lambda: system.started(up, WORKER), "the first up")
    second = system.run("up")
    assert second.returncode == 2
    assert re.search(rf"process {up.pid} is already running in .*var: stop it first, or give", second.stderr)
    assert second.stdout == ""
    assert system.stop(up) == 0


def test_another_user_without_a_home_in_a_path_with_spaces():
    folder = Path(tempfile.mkdtemp(prefix="a place of its own "))
    try:
        with System(folder, orders=20) as system:
            program = [sys.executable, "-m", "workers.cli"]
            if os.getuid() == 0:
                shutil.chown(folder, NOBODY, NOBODY)
                program = [*_as_nobody(), *program]
            up = system.start("up", program=program, HOME="")
            system.each_once()
            assert system.stop(up) == 0, system.output(up)
            assert system.left() == []
            owners = {path.stat().st_uid for path in (folder / "var").rglob("*")}
            assert owners == {NOBODY if os.getuid() == 0 else os.getuid()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_nobody():
    """A prefix for a command. This installation may be in root's home: then nobody may read all, and only read."""
    plain = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    reader = [*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    for prefix in (plain, reader):
        with contextlib.suppress(FileNotFoundError):
            tried = subprocess.run(
                [*prefix, "--", sys.executable, "-c", "import workers.cli"],
                cwd=ROOT,
                capture_output=True,
                check=False,
            )
            if tried.returncode == 0:
                return [*prefix, "--"]
    pytest.skip("this installation cannot be used by another user here")


def test_settings_problems_end_up_at_once(system):
    system = system()
    done = system.run("up", VTEX_APP_TOKEN=None, ERP_URL="mysql://erp", FLOWER_PORT="flower")
    assert done.returncode == 2
    assert done.stdout == ""
    for name in ("VTEX_APP_TOKEN is missing", "ERP_URL names no sink", "FLOWER_PORT must be"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stderr
    assert not (system.folder / "var").exists()


def test_a_redis_that_is_away_is_said_plainly(system):
    system = system()
    done = system.run("up", REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    assert done.returncode == 1
    assert done.stderr.startswith("Redis cannot be used: ")
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.promise("P1", "P2", "P4")
def test_after_kill_nine_every_order_has_arrived_once(killed):
    killed.each_once()
    assert killed.stop(killed.up) == 0
    assert killed.left() == []


def test_a_dotenv_that_others_may_read_is_told_once_at_the_start(tmp_path, wait_until):
    """P8: a token is for our user alone."""
    with System(tmp_path / "system") as system:
        token = system.settings.pop("VTEX_APP_TOKEN")
        dotenv = system.folder / ".env"
        dotenv.write_text(f"VTEX_APP_TOKEN={token}\n")
        dotenv.chmod(0o644)
        running = system.start("up", WORKER_PROCESSES="1")
        assert system.redis_url()  # before that, status says that nothing is running
        wait_until(lambda: system.json("status")["workers"] == 1, "the worker")
        assert system.stop(running) == 0
        said = system.output(running)
        assert (
            said.count(".env holds VTEX_APP_TOKEN and every user of this machine may read it: chmod 600 .env")
            == 1
        )
        assert token not in said
