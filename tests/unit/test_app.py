"""The Celery application: where a task goes, and the facts about Celery and kombu that the design stands on."""

from __future__ import annotations

import dataclasses
import gc
import importlib.metadata
import weakref
from types import SimpleNamespace

import celery
import pytest
from celery import Celery, Task, chain
from kombu.transport import redis as theirs
from kombu.utils.scheduling import priority_cycle
from packaging.version import Version

import tasks.feed
import tasks.orders
import tasks.probe
import tasks.upkeep
import tasks.watch
from workers import app as module
from workers import broker, fairness, policy, queues
from workers.handover import InPlace
from workers.settings import Account, Secret, Settings

SETTINGS = Settings(
    accounts={name: Account(name, Secret("key"), Secret("token")) for name in ("one", "other")},
    erp_url="sqlite:///erp.db",
    redis_url="redis://127.0.0.1:6379/0",
)
ALONE = SETTINGS.of("one")


@pytest.fixture
def configured():
    """An application of the same configuration that no other test uses."""
    return Celery("configured", set_as_current=False, config_source=module.configuration(ALONE))


@pytest.fixture
def fleet():
    """The same for several stores."""
    return Celery("fleet", set_as_current=False, config_source=module.configuration(SETTINGS))


# --- configuration -----------------------------------------------------------------------------------------


def test_a_countdown_is_far_below_the_visibility_timeout():
    """A longer one would be delivered again before its time, and multiply."""
    assert policy.LONGEST_COUNTDOWN <= module.VISIBILITY_TIMEOUT / 3
    options = module.configuration(SETTINGS)["broker_transport_options"]
    assert options["visibility_timeout"] == module.VISIBILITY_TIMEOUT


def ours():
    return sorted(name for name in module.app.tasks if not name.startswith("celery."))


@pytest.mark.parametrize("name", ours())
def test_every_task_goes_to_a_queue_that_workers_read(configured, fleet, name):
    options = configured.amqp.router.route({}, name, args=(), kwargs={"account": "one"})
    assert options["queue"].name in queues.QUEUES
    assert options["queue"].name != queues.DEFAULT, name
    mine = fleet.amqp.router.route({}, name, args=(), kwargs={"account": "other"})
    assert mine["queue"].name == options["queue"].name + ".other"
    assert mine["queue"].name in queues.of_purpose(SETTINGS, *queues.QUEUES)


def test_first_steps_come_last():
    """A free worker ends what is under way before it begins something new."""
    assert queues.QUEUES[0] == queues.UPKEEP
    assert queues.QUEUES[-1] == queues.ORDERS
    assert queues.QUEUES.index(queues.HANDLING) < queues.QUEUES.index(queues.ORDERS)
    options = module.configuration(ALONE)["broker_transport_options"]
    assert options["queue_order_strategy"] == "priority"


def test_the_queues_are_read_in_the_order_in_which_they_stand(configured):
    assert list(configured.amqp.queues) == list(queues.QUEUES)
    cycle = priority_cycle(queues.QUEUES)
    cycle.rotate(queues.UPKEEP)
    assert list(cycle.consume(3)) == list(queues.QUEUES[:3])


# --- several stores ----------------------------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch):
    """A worker of eight slots; ``work(store, …)`` takes one for each."""
    going = {}
    monkeypatch.setattr(fairness.state, "requests", going)
    monkeypatch.setattr(
        fairness.runtime, "current", lambda: SimpleNamespace(settings=SimpleNamespace(worker_concurrency=8))
    )

    def begin(*stores):
        for store in stores:
            queue = f"orders.{store}" if store else "celery"
            going[f"id-{len(going)}"] = SimpleNamespace(delivery_info={"routing_key": queue})
        return going

    return begin


def test_no_store_has_more_than_half_of_the_slots_and_there_is_room_for_the_next(work):
    for taken, store in ((4, "one"), (2, "other"), (1, "third")):
        before = 0
        while not fairness.now().full(store):
            work(store)
            before += 1
        assert before == taken
    assert not fairness.now().full("fourth")
    assert not fairness.now().full(""), "what is everybody's is nobody's share"


def test_a_second_step_in_its_first_steps_thread_takes_no_slot(work):
    work("one", "one", "one")["id-9"] = InPlace.__new__(InPlace)
    assert not fairness.now().full("one")


def test_stores_take_turns_and_each_ones_queues_keep_their_order(work):
    turns = fairness.Turns(queues.of_purpose(SETTINGS, *queues.QUEUES))
    assert not turns.look()
    assert turns.consume(99)[:2] == ["upkeep", "handling"]
    turns.rotate("celery")
    turns.rotate("orders.one")
    turns.look()
    assert [queue.partition(".")[2] for queue in turns.consume(99)] == ["other"] * 4 + [""] * 5 + ["one"] * 4
    assert turns.consume(99)[0] == "upkeep.other"
    work("other", "other", "other", "other")
    assert turns.look(), "somebody waits, so the next look comes soon"
    assert not [queue for queue in turns.consume(99) if queue.endswith(".other")]


def test_a_retry_waits_while_its_store_has_its_share(work, monkeypatch):
    begun, later = [], []
    monkeypatch.setattr(fairness.Consumer, "apply_eta_task", lambda _, task: begun.append(task))
    consumer = fairness.FairConsumer.__new__(fairness.FairConsumer)
    consumer.timer = SimpleNamespace(call_after=lambda _after, call, args, **_: later.append((call, args)))
    retry = SimpleNamespace(delivery_info={"routing_key": "orders.one"})
    going = work("one", "one", "one", "one")
    consumer.apply_eta_task(retry)
    assert not begun
    going.popitem()
    [(call, args)] = later
    call(*args)
    assert begun == [retry]


def test_a_channel_looks_at_the_shares_before_it_asks_redis(monkeypatch):
    """A store that has its share is asked for again soon: its slots become free without Redis knowing."""
    asked = []
    monkeypatch.setattr(theirs.Channel, "_brpop_start", lambda _, timeout=None: asked.append(timeout))
    channel = broker.Channel.__new__(broker.Channel)
    assert broker.MADE_FOR
    for wait in (None, fairness.LOOK_AGAIN_SECONDS):
        channel._queue_cycle = SimpleNamespace(look=lambda wait=wait: wait)
        channel._brpop_start()
    channel._queue_cycle = SimpleNamespace()  # of one store alone
    channel._brpop_start(7)
    assert asked == [None, fairness.LOOK_AGAIN_SECONDS, 7]


def test_every_store_has_its_ticks_and_none_piles_up():
    schedule = module.schedule(SETTINGS)
    told = {(entry["task"], entry["kwargs"]["account"]) for entry in schedule.values()}
    for task in ("feed.poll", "orders.ack", "upkeep.sweep"):
        assert {(task, "one"), (task, "other")} <= told
    for entry in schedule.values():
        assert entry["task"] in module.app.tasks
        assert entry["options"]["expires"] <= max(
            3 * entry["schedule"], 60.0
        )  # clocks may differ by a minute


def test_each_store_is_polled_at_its_own_pace():
    own = {"one": {"feed_poll": 0.5}, "other": {"reconcile": 60.0}}
    schedule = module.schedule(dataclasses.replace(SETTINGS, stores=own))
    periods = {name: entry["schedule"] for name, entry in schedule.items()}
    assert (periods["feed.poll one"], periods["feed.poll other"]) == (0.5, 5.0)
    assert (periods["upkeep.reconcile one"], periods["upkeep.reconcile other"]) == (600.0, 60.0)


def test_what_a_dead_worker_held_comes_back(configured):
    conf = configured.conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_prefetch_multiplier == 1
    assert conf.broker_connection_max_retries is None
    assert conf.result_backend is None
    assert not conf.worker_cancel_long_running_tasks_on_connection_loss


def test_messages_carry_json_only(configured):
    assert configured.conf.task_serializer == "json"
    assert configured.conf.accept_content == ["json"]


def test_credentials_are_in_no_message_and_no_name(configured):
    """Arguments show in Flower: an account and an order id are all there is."""
    sent = tasks.orders.download.signature(kwargs={"account": "one", "order_id": "1-01"})
    assert sent.kwargs == {"account": "one", "order_id": "1-01"}
    assert "token" not in str(module.schedule(SETTINGS))


# --- facts about Celery and kombu --------------------------------------------------------------------------


def test_celery_is_one_whose_worker_survives_a_restart_of_redis():
    """5.7.0 makes a worker exit when Redis drops while a late acknowledged task is in flight."""
    assert Version("5.6.3") <= Version(celery.__version__) < Version("5.7")
    assert "celery<5.7,>=5.6.3" in (importlib.metadata.requires("vtex-order-workers") or [])


@pytest.fixture
def eager():
    app = Celery("eager", set_as_current=False, broker_url="memory://", task_always_eager=False)
    app.conf.task_ignore_result = True
    return app


def traced(app, task, **headers):
    """Run a task as a worker does, with the request of a message."""
    from celery.app.trace import build_tracer

    request = {"id": "id-1", "args": [], "kwargs": {}, "retries": 0, **headers}
    return build_tracer(task.name, task, app=app)("id-1", [], {}, request)


@pytest.mark.parametrize("stops", [False, True])
def test_the_chain_is_read_after_the_body_ran(eager, monkeypatch, stops):
    """So a body that sets ``request.chain = None`` keeps the next step from being published."""
    published = []

    @eager.task(name="second", shared=False)
    def second():
        raise AssertionError("not here")

    @eager.task(name="first", shared=False, bind=True)
    def first(self):
        if stops:
            self.request.chain = None

    monkeypatch.setattr(second, "apply_async", lambda *_, **__: published.append("second"))
    eager.finalize()
    rest = chain(second.si(), app=eager)
    traced(eager, first, chain=[rest.tasks[0]])
    assert published == ([] if stops else ["second"])


def test_a_call_method_of_ones_own_is_what_the_worker_calls(eager):
    called = []

    class Base(Task):
        abstract = True

        def __call__(self, *args, **kwargs):
            called.append(self.request.id)

    @eager.task(name="mine", shared=False, base=Base)
    def mine():
        raise AssertionError("the base decides whether the body runs")

    traced(eager, mine)
    assert called == ["id-1"]


def test_a_retry_keeps_the_rest_of_the_chain_and_its_queue(eager):
    @eager.task(name="first", shared=False, bind=True)
    def first(self):
        raise AssertionError

    rest = [first.si()]
    first.push_request(
        id="id-1", args=[], kwargs={}, chain=rest, delivery_info={"exchange": "", "routing_key": "handling"}
    )
    try:
        again = first.signature_from_request(countdown=5, retries=1)
    finally:
        first.pop_request()
    assert again.options["chain"] == rest
    assert again.options["queue"] == "handling"
    assert again.options["task_id"] == "id-1"


def test_tasks_are_published_to_their_queue_by_name(configured):
    """Through the anonymous exchange: kombu's bindings are lost with Redis, and nothing notices."""
    sent = []

    class Producer:
        auto_declare = False

        def publish(self, body, exchange, routing_key, **_):
            sent.append((exchange, routing_key))

    for name in ("orders.download", "orders.start_handling", "feed.poll"):
        options = configured.amqp.router.route({}, name)
        message = configured.amqp.create_task_message("id", name, (), {})
        configured.amqp.send_task_message(Producer(), name, message, **options)
    assert sent == [("", "orders"), ("", "handling"), ("", "upkeep")]


def test_a_retry_lets_go_of_all_that_was_at_hand(monkeypatch):
    """Of hundreds of commands that wait, each would otherwise keep its documents until Python looks for circles."""
    from celery.app.trace import build_tracer
    from celery.canvas import Signature

    from workers import lifecycle
    from workers.app import app

    lifecycle.listen()  # as a worker does when it starts

    class Document:
        pass

    alive = weakref.WeakSet()

    @app.task(bind=True, name="tests.again", shared=False)
    def again(self):
        document = Document()
        alive.add(document)
        try:
            float("of no use")
        except ValueError as error:
            raise self.retry(exc=error, countdown=5) from error

    monkeypatch.setattr(Signature, "apply_async", lambda *_, **__: None)
    gc.disable()
    try:
        request = {"id": "1", "delivery_info": {}, "is_eager": False}
        traced = build_tracer(again.name, again, app=app)("1", (), {}, request)
        assert traced.info.state == "RETRY"
        del traced
        assert not alive
    finally:
        gc.enable()
        app.tasks.pop(again.name)
