"""The users of deploy/redis/users.acl: each can do its work and nothing else."""

import contextlib

import pytest
import redis
from celery import Celery

from workers import embedded, heartbeat, rights
from workers.queues import QUEUES

from .redis_servers import password, users
from .system import System, free_port, get

#: What clients send around their commands, and what is asked in another way.
AROUND = {"multi", "exec", "discard", "watch", "unwatch", "hello", "auth", "select", "psubscribe"}
AROUND |= {"client|setinfo", "client|setname", "config|get"}


@pytest.fixture
def server(tmp_path, processes, ports, wait_until):
    """One server with the shipped users; answers a client for each."""
    port = next(ports)
    (tmp_path / "users.acl").write_text(f"{users()}user admin on >{password('admin')} ~* &* +@all\n")
    processes.start(
        [embedded.binary(), "--port", port, "--aclfile", "users.acl", "--appendonly", "yes"], cwd=tmp_path
    )
    with contextlib.ExitStack() as stack:

        def client(user):
            made = redis.Redis(port=port, username=user, password=password(user), decode_responses=True)
            return stack.enter_context(contextlib.closing(made))

        client.give = lambda user, *rules: client("admin").execute_command(
            "ACL", "SETUSER", user, *" ".join(rules).split()
        )
        client.url = lambda user: f"redis://{user}:{password(user)}@127.0.0.1:{port}/0"
        wait_until(lambda: _answers(client("worker")), "the server")
        yield client


def _answers(client):
    with contextlib.suppress(redis.ConnectionError):
        return client.ping()


def test_an_erp_may_only_put_messages_into_the_default_queue(server):
    with Celery("erp", broker=server.url("erp"), set_as_current=False) as erp:
        erp.send_task("orders.cancel", kwargs={"order_id": "1-01", "reason": "x", "key": "one"})
    assert server("worker").llen("celery") == 1
    erp = server("erp")
    for denied in (
        lambda: erp.lrange("celery", 0, -1),
        lambda: erp.rpop("celery"),
        lambda: erp.lpush("orders", "x"),
        lambda: erp.get("vo:store:counts"),
        lambda: erp.delete("celery"),
        erp.info,
        lambda: erp.eval("return 1", 0),
        lambda: erp.publish("/0.celery.pidbox", "{}"),
        lambda: list(erp.scan_iter()),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            denied()


def test_a_worker_may_not_administer_the_server_nor_touch_what_is_not_ours(server):
    worker = server("worker")
    for denied in (
        worker.flushall,
        worker.shutdown,
        worker.config_get,
        worker.acl_list,
        worker.script_flush,
        lambda: worker.keys("*"),
        lambda: worker.replicaof("127.0.0.1", 1),
        lambda: worker.client_kill_filter(laddr="127.0.0.1:1"),
        lambda: worker.set("another-program", 1),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            denied()


def test_everything_runs_as_worker_and_commands_come_from_the_erp(server, tmp_path, wait_until):
    with System(tmp_path / "system", orders=20) as system:
        port = free_port()
        system.settings |= {"REDIS_URL": server.url("worker"), "FLOWER_PORT": str(port)}
        flower = system.start("flower")
        running = system.start("up")
        system.each_once()
        with Celery("erp", broker=server.url("erp"), set_as_current=False) as erp:
            order = system.in_erp()[0]
            erp.send_task("orders.cancel", kwargs={"order_id": order, "reason": "sem estoque", "key": "c-1"})
        wait_until(lambda: system.run("command", "c-1").returncode == 0, "the cancellation")
        wait_until(
            lambda: "worker1-" in get(f"http://127.0.0.1:{port}/workers")[1], "Flower's list of workers"
        )
        assert len(heartbeat.living(server("worker"))) == 2
        assert set(system.json("status")["queues"]) >= set(QUEUES)
        sent = {name.removeprefix("cmdstat_") for name in server("worker").info("commandstats")}
        tried = {name.replace(" ", "|").lower() for name, _, _ in rights.needed()}
        assert sent - tried - AROUND == set(), "workers.rights does not ask for what is sent"
        assert system.stop(running) == 0
        system.stop(flower)
        for process in (running, flower):
            assert "permission" not in system.output(process)


#: All keys but one queue.
NO_ORDERS = "resetkeys ~vo:* ~unacked* ~_kombu.* ~*.celery.pidbox ~upkeep ~handling ~commands ~celery"


def test_each_missing_right_is_found_and_nothing_is_done_for_that(server):
    with contextlib.closing(redis.Redis.from_url(server.url("worker"))) as worker:
        assert rights.missing(worker) == []
        for less, lacks, again in (
            ("-llen", "LLEN upkeep", "+llen"),
            (NO_ORDERS, "LPUSH orders", "~*"),
            ("-evalsha", "EVALSHA unacked", "+evalsha"),
            ("-info", "INFO", "+info"),
            ("resetchannels", "PUBLISH /0.celeryev/worker.heartbeat", "&*"),
            ("-psubscribe", "PSUBSCRIBE /0.celeryev/worker.heartbeat*", "+psubscribe"),
        ):
            server.give("worker", less)
            assert rights.missing(worker)[0] == lacks
            server.give("worker", again)
        assert rights.missing(worker) == []
        assert worker.dbsize() == 0


def test_without_a_right_nothing_starts_and_check_says_the_same(server, tmp_path):
    server.give("worker", NO_ORDERS)
    system = System(tmp_path / "system")
    system.settings |= {"REDIS_URL": server.url("worker"), "VTEX_BASE_URL": "http://127.0.0.1:9"}
    lacks = "user worker of REDIS_URL may not: LPUSH orders, RPUSH orders, BRPOP orders and 2 more"
    for command in ("worker", "beat", "up"):
        done = system.run(command)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert f"Error: Redis: {lacks}" in done.stderr
        assert "deploy/redis/users.acl" in done.stderr
        assert "Traceback" not in done.stderr
    assert f"BAD   Redis: cannot be used: {lacks}" in system.run("check").stdout


def test_a_worker_whose_right_is_taken_away_says_so_and_fails(server, tmp_path, wait_until):
    system = System(tmp_path / "system")
    system.settings |= {"REDIS_URL": server.url("worker"), "VTEX_BASE_URL": "http://127.0.0.1:9"}
    worker = system.start("worker")
    try:
        wait_until(lambda: "ready" in system.output(worker), "the worker")
        server.give("worker", "-brpop")
        assert worker.wait(60) == 1
        assert "'brpop'" in system.output(worker)
        assert "Traceback" not in system.output(worker)
    finally:
        system.processes.end()
