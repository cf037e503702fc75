"""The users of deploy/redis/users.acl: each can do its work and nothing else."""

import contextlib

import pytest
import redis
import requests
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
        lambda: erp.lpush("celeryx", "x"),
        lambda: erp.sadd("_kombu.binding.orders", "x"),
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


#: What only VTEX and the ERP are told: neither the front door nor Flower has it.
NOT_THEIRS = dict.fromkeys(("VTEX_APP_KEY", "VTEX_APP_TOKEN", "ERP_URL"))
TOKEN = "livetest-web-token-0123456789abcdef"


def test_web_and_flower_need_neither_the_workers_rights_nor_its_credentials(server, tmp_path, wait_until):
    """P8: what a broken-into front door or Flower could give away, it does not have."""
    with System(tmp_path / "system", orders=3) as system:
        ports = {"WEB_PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
        web = system.start("web", REDIS_URL=server.url("web"), WEB_TOKENS=TOKEN, **ports, **NOT_THEIRS)
        flower = system.start("flower", REDIS_URL=server.url("flower"), **ports, **NOT_THEIRS)
        running = system.start("up", REDIS_URL=server.url("worker"), WORKER_PROCESSES="1")
        system.settings["REDIS_URL"] = server.url("worker")
        system.each_once()
        front = f"http://127.0.0.1:{ports['WEB_PORT']}"
        order = system.in_erp()[0]
        wait_until(
            lambda: get(f"{front}/health")[0] == 200, lambda: f"the front door: {system.output(web)[-2000:]}"
        )
        asked = requests.post(
            f"{front}/v1/orders/{order}/cancellation",
            headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "c-1"},
            json={"reason": "sem estoque"},
            timeout=30,
        )
        assert asked.status_code == 202, asked.text
        wait_until(lambda: system.run("command", "c-1").returncode == 0, "the cancellation")
        seen = f"http://127.0.0.1:{ports['FLOWER_PORT']}"
        wait_until(
            lambda: "worker1-" in get(f"{seen}/workers")[1],
            lambda: f"Flower: {system.output(flower)[-2000:]}",
        )
        name = next(iter(heartbeat.living(server("worker")))).partition(":")[0]
        assert get(f"{seen}/worker/{name}")[0] == 200  # what it asks the worker itself
        assert get(f"{seen}/broker")[0] == 200
        denials = server("admin").execute_command("ACL", "LOG")
        assert [(one["username"], one["object"]) for one in map(_named, denials)] == []
        for process in (web, flower):
            assert "permission" not in system.output(process)
        system.stop(web)
        system.stop(flower)
        assert system.stop(running) == 0


def _named(entry):
    return entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))


@pytest.mark.parametrize("user", ["web", "flower"])
def test_who_only_sends_reads_no_message_and_no_more(server, user):
    worker, other = server("worker"), server(user)
    worker.hset("unacked", "tag", "canary")
    worker.set("vo:store:counts", "canary")
    assert rights.missing(other, ["orders.one"], user) == []
    other.lpush("orders", "canary")
    for denied in (
        lambda: other.lrange("orders", 0, -1),
        lambda: other.rpop("orders"),
        lambda: other.brpop(["commands"], 1),
        lambda: other.hgetall("unacked"),
        lambda: other.eval("return redis.call('HGET', KEYS[1], 'tag')", 1, "unacked"),
        lambda: other.delete("celery"),
        other.flushall,
        other.config_get,
        lambda: other.publish("/0.celery.pidbox", "{}") if user == "web" else other.get("vo:store:counts"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            denied()
    server.give(user, "clearselectors")
    assert "LPUSH upkeep" in rights.missing(other, kind=user)


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
