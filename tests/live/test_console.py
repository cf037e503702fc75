"""The console's commands against one running system, as an operator types them."""

import json
import signal

import pytest

from .system import FAULTS, KEY, TOKEN, System, free_port, get

ORDERS = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A system that runs; its Flower was there before the first order came."""
    with System(tmp_path_factory.mktemp("console") / "a store", faults=FAULTS) as system:
        system.up = system.start("up")
        system.redis_url()
        system.flower_port = free_port()
        system.flower = system.start("flower", FLOWER_PORT=str(system.flower_port))
        yield system


@pytest.fixture(scope="module")
def done(store, wait_until):
    """The same, all of its orders done."""
    wait_until(lambda: "teststore" in store.output(store.up), "the start")
    wait_until(lambda: get(f"http://127.0.0.1:{store.flower_port}/healthcheck")[0] == 200, "Flower")
    store.vtex.create(ORDERS)
    store.each_once()
    wait_until(lambda: store.json("status")["orders"]["done"] == ORDERS, "the ledger's end")
    store.vtex.control("faults", {"faults": ""})
    return store


# status


def test_status_is_one_document_of_the_promised_shape(done):
    document = done.json("status")
    assert set(document["orders"]) >= {"open", "parked", "done", "dead"}
    assert set(document["commands"]) >= {"open", "parked", "done", "dead"}
    assert set(document["feed"]) >= {"configured", "quantity", "oldest_seconds"}
    assert all(isinstance(n, int) for n in document["orders"].values())
    assert all(isinstance(n, int) for n in document["queues"].values())
    assert set(document["queues"]) >= {"upkeep", "handling", "orders", "commands", "celery"}
    assert document["orders"]["done"] == ORDERS
    assert document["orders"]["open"] == document["orders"]["dead"] == 0
    assert document["feed"]["configured"] is True
    assert document["feed"]["quantity"] == 0
    assert document["workers"] == 2


def test_status_in_words(done):
    said = done.run("status")
    assert said.returncode == 0
    assert f"orders   0 open, 0 parked, {ORDERS} done, 0 ignored, 0 dead" in said.stdout
    assert "feed     0 events wait" in said.stdout
    assert "workers  2" in said.stdout
    assert said.stderr == ""


def test_status_without_anything_running(store, tmp_path):
    said = store.run("status", cwd=tmp_path)
    assert said.returncode == 1
    assert "nothing is running in var: start it with vtexorders up, or set REDIS_URL" in said.stderr
    assert said.stdout == ""


def test_status_of_a_store_that_the_settings_do_not_have(store):
    for command in (["status"], ["order", "1"], ["feed", "show"]):
        said = store.run(*command, "--account", "nosuchstore")
        assert said.returncode == 2, command
        assert "no account 'nosuchstore' in the settings; there is: teststore" in said.stderr
        assert store.run(*command, "--account", "teststore").returncode in (0, 1)


# order


def test_the_story_of_an_order_that_is_done(done):
    order_id = done.in_erp()[0]
    said = done.run("order", order_id)
    assert said.returncode == 0
    assert f"Order {order_id}: done" in said.stdout
    assert "the ERP has it" in said.stdout
    assert "acknowledged to VTEX's feed" in said.stdout
    assert "Next: nothing, it is finished" in said.stdout

    document = done.json("order", order_id)
    assert document["state"] == "done"
    assert document["orderId"] == order_id
    happened = [entry["what"] for entry in document["timeline"]]
    assert [code for code in happened if code in ("seen", "delivered", "handled", "committed")][:3] == [
        "seen",
        "delivered",
        "handled",
    ]
    assert all(set(entry) == {"at", "what", "detail"} for entry in document["timeline"])


def test_the_story_of_an_order_that_nobody_knows(store):
    for more in ([], ["--json"]):
        said = store.run("order", "9999-01", *more)
        assert said.returncode == 1
        assert "order 9999-01 is not known here" in said.stderr
        assert said.stdout == ""


def test_the_story_of_an_order_that_waits(done, wait_until):
    """An incomplete order (VTEX's status is null) is no error of ours, and waits."""
    (order_id,) = done.vtex.create(1, status=None)
    done.vtex.move(order_id, "ready-for-handling")
    done.vtex.move(order_id, None)

    def story():
        said = done.run("order", order_id)
        waits = (
            "has not completed this order yet" in said.stdout and "a worker is at it now" not in said.stdout
        )
        return said.stdout if waits else ""

    text = wait_until(story, "an order that waits")
    assert "did not work" in text
    assert "Next: it is read from VTEX and put into the ERP, in " in text
    document = done.json("order", order_id)
    assert document["state"] in ("open", "parked")
    assert "has not completed this order yet" in document["error"]
    assert document["next"]

    done.vtex.move(order_id, "ready-for-handling")
    wait_until(lambda: done.json("order", order_id)["state"] == "done", "its end")


# feed


def test_the_feed_is_shown_deleted_and_made_again(done, wait_until):
    wait_until(lambda: not done.audit()["events_pending"], "an empty feed")
    shown = done.run("feed", "show")
    assert shown.returncode == 0
    assert "ready-for-handling" in shown.stdout
    assert "waiting     0 events" in shown.stdout
    assert done.json("feed", "show")["filterType"] == "FromWorkflow"

    assert done.run("feed", "delete").returncode == 1  # nobody was there to confirm it
    assert done.run("feed", "show").stdout == shown.stdout

    assert done.run("feed", "delete", "--yes").returncode == 0
    gone = done.run("feed", "show")
    assert gone.returncode == 0
    assert "VTEX has no feed for this application key. Make one: vtexorders feed configure" in gone.stdout
    assert done.json("feed", "show") is None
    assert "not configured: no order will come (vtexorders feed configure)" in done.run("status").stdout
    assert done.json("status")["feed"]["configured"] is False

    made = done.run("feed", "configure", "--visibility", "60")
    assert made.returncode == 0
    assert "The feed is configured for ready-for-handling" in made.stdout
    assert done.json("feed", "show")["visibilityTimeout"] == 60


def test_feed_with_a_key_that_vtex_refuses(store):
    said = store.run("feed", "show", VTEX_APP_TOKEN="another-token")
    assert said.returncode == 1
    assert "VTEX_APP_KEY and VTEX_APP_TOKEN are not valid for it" in said.stderr
    assert "another-token" not in said.stderr
    assert "Traceback" not in said.stderr


# flower


def test_flower_without_a_password_is_for_this_machine_only(done):
    assert get(f"http://127.0.0.1:{done.flower_port}/workers")[0] == 200
    assert get(f"http://127.0.0.2:{done.flower_port}/workers")[0] == 0  # anything but 127.0.0.1 is elsewhere


@pytest.mark.promise("P8")
def test_flower_with_a_password_asks_for_it_and_shows_orders_and_no_credential(done, wait_until):
    port, page = free_port(), ""
    flower = done.start(
        "flower", FLOWER_PORT=str(port), FLOWER_ADDRESS="0.0.0.0", FLOWER_BASIC_AUTH="operator:letmein42"
    )
    address = f"http://127.0.0.2:{port}"  # every address, as it is told
    wait_until(lambda: get(f"{address}/healthcheck")[0] == 200, "Flower")
    assert get(f"{address}/tasks")[0] == 401
    assert get(f"{address}/api/tasks")[0] == 401
    assert get(f"{address}/metrics")[0] == 401
    assert get(f"{address}/metrics", "operator:letmein42")[0] == 200
    assert get(f"{address}/tasks", "operator:wrong")[0] == 401

    def listens():
        """Whether it hears the workers' events by now: what was sent before that it never shows."""
        return json.loads(get(f"{address}/workers?json=1", "operator:letmein42")[1])["data"]

    wait_until(listens, "Flower to hear of a worker")
    (order_id,) = done.vtex.create(1)

    def tasks():
        status, text = get(f"{address}/api/tasks?limit=1000", "operator:letmein42")
        assert status == 200
        found = [task for task in json.loads(text).values() if order_id in str(task["kwargs"])]
        names = {task["name"] for task in found if task["state"] == "SUCCESS"}
        return text if {"orders.download", "orders.start_handling"} <= names else ""

    page = wait_until(tasks, "the order's tasks")
    workers = json.loads(get(f"{address}/api/workers?refresh=1", "operator:letmein42")[1])
    assert len(workers) == 2
    for path in ("/workers", "/tasks", "/broker", *(f"/worker/{name}" for name in workers)):
        status, text = get(address + path, "operator:letmein42")
        assert status == 200
        page += text
    page += json.dumps(workers)
    password = done.redis_url().partition("@")[0].rpartition(":")[2]
    for secret in (KEY, TOKEN, password, "letmein42"):
        assert secret not in page
    command = json.dumps([line for line in done.left() if " flower" in line])
    assert "letmein42" not in command
    assert done.stop(flower) == 0


def test_an_address_that_no_password_guards_is_not_opened(done):
    said = done.run("flower", FLOWER_PORT=str(free_port()), FLOWER_ADDRESS="0.0.0.0")
    assert said.returncode == 2
    assert "set FLOWER_BASIC_AUTH" in said.stderr


@pytest.mark.parametrize("what", ["web", "flower"])
def test_an_address_of_another_machine_is_one_sentence(done, what):
    own = {f"{what.upper()}_{part}": value for part, value in (("PORT", "0"), ("ADDRESS", "192.0.2.1"))}
    said = done.run(what, **own, WEB_TOKENS="a-token-of-sixteen", FLOWER_BASIC_AUTH="operator:letmein42")
    assert said.returncode == 1
    assert f"{what.upper()}_ADDRESS is no address of this machine" in said.stderr
    assert "Traceback" not in said.stderr


def test_flower_on_a_port_that_is_taken(done):
    said = done.run("flower", FLOWER_PORT=str(done.flower_port))
    assert said.returncode != 0
    assert f"port {done.flower_port} is taken" in said.stderr
    assert "Traceback" not in said.stderr


# demo


def test_the_demo_never_touches_the_store_of_the_settings_and_leaves_nothing_running(tmp_path):
    with System(tmp_path / "a demo", orders=5) as real:
        settings = real.settings | {"ERP_URL": "sqlite:///real.db", "FLOWER_BASIC_AUTH": "operator:letmein42"}
        (real.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        done = real.run("demo", "--orders", "60")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert "Every order arrived exactly once." in done.stdout
        assert "WRONG" not in done.stdout
        assert real.left() == []
        assert len(real.in_erp("var/demo/erp.db")) == 60
        assert real.vtex.calls()["total"] == 0
        assert not (real.folder / "real.db").exists()


def test_the_demo_interrupted_leaves_nothing_running(tmp_path, wait_until):
    with System(tmp_path / "a demo") as system:
        demo = system.start("demo", "--orders", "300")
        log = system.folder / "var" / "demo" / "log.jsonl"
        wait_until(lambda: log.exists() and '"delivered"' in log.read_text(), "its first order")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 1
        assert "Stopped before the end." in system.output(demo)
        assert "Traceback" not in system.output(demo)
        assert system.left() == []
