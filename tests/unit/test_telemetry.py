"""What the logs say, in which form, and what they must never say."""

from __future__ import annotations

import io
import json
import logging
import re

import billiard.exceptions
import kombu.exceptions
import pytest
import redis
import structlog
from celery.concurrency import solo

from workers import telemetry
from workers.settings import Account, Secret, Settings

KEY, TOKEN = "vtexappkey-CANARY-KEY", "CANARYTOKEN"
REDIS, ERP, FLOWER = "canary-redis-pw", "canary%2Ferp%40pw", "canary-flower-pw"
ERP_PLAIN = "canary/erp@pw"
CANARIES = {KEY, TOKEN, REDIS, ERP, ERP_PLAIN, FLOWER}


def settings(**options):
    return Settings(
        accounts={"teststore": Account("teststore", Secret(KEY), Secret(TOKEN))},
        erp_url=f"postgresql+psycopg://user:{ERP}@db.example/erp",
        redis_url=f"redis://:{REDIS}@127.0.0.1:6379/0",
        flower_basic_auth=Secret(f"admin:{FLOWER}"),
        **options,
    )


@pytest.fixture
def logs():
    """``logs(settings)``: log with them; afterwards its ``text`` and ``lines`` are what was written."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in telemetry._QUIET}

    class Written:
        def __init__(self):
            self.stream = io.StringIO()

        def __call__(self, given=None):
            telemetry.set_up(given or settings(log_format="json"), stream=self.stream)
            return self

        @property
        def text(self):
            return self.stream.getvalue()

        @property
        def lines(self):
            return [json.loads(line) for line in self.text.splitlines()]

    yield Written()
    root.handlers[:] = before
    root.setLevel(level)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_is_one_json_object_with_the_order_at_hand(logs):
    logs()
    with telemetry.bind(account="teststore", order_id="1-01", step="download"):
        telemetry.get("tasks.orders").info("delivered", attempt=2, detail="ünïcode\nand a second line")
    (line,) = logs.lines
    assert line.pop("time").endswith("Z")
    assert line == {
        "message": "delivered",
        "level": "info",
        "logger": "tasks.orders",
        "account": "teststore",
        "order_id": "1-01",
        "step": "download",
        "attempt": 2,
        "detail": "ünïcode\nand a second line",
    }


def test_libraries_speak_the_same_language(logs):
    logs()
    with telemetry.bind(order_id="1-01"):
        logging.getLogger("some.library").warning("%s of %d", "one", 3, extra={"more": [1, 2]})
    (line,) = logs.lines
    assert (line["message"], line["level"], line["order_id"], line["more"]) == (
        "one of 3",
        "warning",
        "1-01",
        [1, 2],
    )


def test_a_traceback_is_one_line_of_the_log(logs):
    logs()
    try:
        _raise("why")
    except RuntimeError as error:
        telemetry.get("x").error("unexpected_error", exc_info=error)
    (line,) = logs.lines
    assert "Traceback (most recent call last)" in line["exception"]
    assert line["exception"].endswith("RuntimeError: outer why")


def test_the_level_is_a_setting_and_chatty_libraries_are_quiet(logs):
    logs(settings(log_format="json", log_level="WARNING"))
    telemetry.get("x").info("no")
    logging.getLogger("kombu").info("no")
    telemetry.get("x").warning("yes")
    assert [line["message"] for line in logs.lines] == ["yes"]
    logs(settings(log_format="json", log_level="DEBUG"))
    logging.getLogger("celery.app.trace").info("no")
    telemetry.get("x").debug("debug")
    assert [line["message"] for line in logs.lines] == ["yes", "debug"]


def test_no_level_shows_the_arguments_of_a_task(logs):
    logs(settings(log_format="json", log_level="DEBUG"))
    customer = {"reason": "Marília, 110.478.677-02"}
    pool = solo.TaskPool()
    pool.on_start()

    def done(*_args: object, **_kwargs: object) -> None: ...

    pool.apply_async(done, (customer,), {"payload": customer}, accept_callback=done, callback=done)
    context = {"id": "1", "name": "commands.cancel", "args": repr((customer,)), "kwargs": repr(customer)}
    for name in ("celery.app.trace", "celery.worker.strategy"):
        theirs = logging.getLogger(name)
        theirs.error("Task %(name)s[%(id)s] raised", context, extra={"data": context})
    assert any("commands.cancel" in line["message"] for line in logs.lines)
    assert "Mar" not in json.dumps(logs.lines, ensure_ascii=False)


def test_setting_up_twice_does_not_double_the_lines(logs):
    logs()
    logs()
    telemetry.get("x").info("once")
    assert len(logs.lines) == 1


class Talkative:
    def __repr__(self):
        return f"<Talkative with {TOKEN}>"


def _raise(secret):
    """An error with another one behind it."""
    raise RuntimeError(f"outer {secret}") from ValueError(f"inner {secret}")


@pytest.mark.promise("P8")
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("secret", sorted(CANARIES))
def test_no_secret_gets_into_a_line(logs, secret, form):
    logs(settings(log_format=form))
    log, library = telemetry.get("x"), logging.getLogger("some.library")
    log.info(secret, field=secret, nested={"a": [secret, {secret: (secret, 1)}], "b": {secret}})
    log.info("positional %s", secret)
    log.warning("an error as a value", error=ValueError(f"says {secret}"))
    log.warning("bytes", value=secret.encode())
    library.warning("headers: %r", {"X-VTEX-API-AppToken": secret})
    library.warning("extra", extra={"url": f"redis://:{secret}@host/0", "deep": [{"x": secret}]})
    with telemetry.bind(order_id=secret):
        log.info("bound")
    try:
        _raise(secret)
    except RuntimeError as error:
        log.error("unexpected_error", exc_info=error)
        library.exception("failed")
        library.error("failed with %s", error, exc_info=True, stack_info=True)
    assert secret not in logs.text
    assert logs.text.count("***") >= 12
    assert "says ***" in logs.text


@pytest.mark.promise("P8")
def test_no_object_shows_a_secret(logs):
    logs()
    telemetry.get("x").info("object", thing=Talkative(), innocent=Secret("x"))
    (line,) = logs.lines
    assert line["thing"] == "<Talkative with ***>"
    assert line["innocent"] == "***"


@pytest.mark.promise("P8")
def test_a_logger_that_was_used_before_learns_new_secrets(logs):
    """The address of the embedded Redis, with its password, is only known after the first lines."""
    log = telemetry.get("x")
    logs(settings(log_format="json"))
    log.info("first")
    later = settings(log_format="json")
    object.__setattr__(later, "redis_url", "redis://:a-new-password@127.0.0.1/0")
    logs(later)
    log.info("connected to redis://:a-new-password@127.0.0.1/0")
    assert "a-new-password" not in logs.text


def test_short_secrets_do_not_spoil_innocent_words():
    redact = telemetry.Redactor(["", "key", "token-value"])
    assert redact.clean("keyword, token-value") == "keyword, ***"


def test_a_secret_that_holds_another_is_replaced_whole():
    redact = telemetry.Redactor(["secret", "secret-and-more"])
    assert redact.clean("secret-and-more, secret") == "***, ***"


def test_what_holds_no_secret_stays_as_it_is():
    redact = telemetry.Redactor(["a-secret"])
    thing = Talkative()
    event = {"a": 1, "b": None, "c": True, "d": 1.5, "e": "text", "f": thing, "g": [1, {"h": "i"}]}
    assert redact(None, "info", event) == event
    assert redact.clean(thing) is thing


def test_the_console_form_is_for_people(logs, recwarn):
    logs(settings(log_format="console"))
    with telemetry.bind(order_id="1-01"):
        telemetry.get("x").info("delivered", attempt=2)
    try:
        _raise("why")
    except RuntimeError:
        telemetry.get("x").exception("unexpected_error")
    lines = logs.text.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[info", lines[0])
    assert "delivered" in lines[0]
    assert "attempt=2" in lines[0]
    assert "order_id=1-01" in lines[0]
    assert lines[-1] == "RuntimeError: outer why"
    assert "\x1b[" not in logs.text, "no colours in a file"
    assert not recwarn.list


def test_which_secrets_there_are():
    assert telemetry.secrets_of(settings()) >= CANARIES


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://erp.example/in?key=q-secret&code=other%2Fone", {"q-secret", "other/one", "other%2Fone"}),
        ("https://user:pass%2Fword@erp.example/in", {"pass/word", "pass%2Fword"}),
        ("postgresql+psycopg://u:pw-1@h/db?sslmode=require&password=pw-2", {"pw-1", "pw-2"}),
        ("mssql+pymssql://u:pw-1@h/db?token=pw%203", {"pw-1", "pw 3"}),
    ],
)
@pytest.mark.promise("P8")
def test_the_secrets_of_an_address_are_struck_out(logs, url, secrets):
    given = settings(log_format="json")
    object.__setattr__(given, "erp_url", url)
    object.__setattr__(given, "redis_url", "rediss://:r-secret@h:6379/0?ssl_cert_reqs=required")
    object.__setattr__(given, "alarm_url", Secret("https://chat.example/p4th-secret?key=k-secret"))
    found = telemetry.secrets_of(given)
    assert found >= secrets | {"r-secret", "p4th-secret", "k-secret"}
    assert not found & {"require", "required", "erp.example", "postgresql+psycopg", "key", "code"}
    logs(given)
    for secret in sorted(secrets):
        telemetry.get("x").info(f"the sink said {secret!r} of the key that is required")
        (line,) = logs.lines[-1:]
        assert line["message"] == "the sink said '***' of the key that is required"


@pytest.mark.parametrize(
    ("logger", "error", "lines", "tracebacks"),
    [
        ("celery.worker.request", redis.ConnectionError("gone"), 1, 0),
        ("kombu.connection", ConnectionResetError(), 1, 0),
        ("celery.worker.request", KeyError("surprise"), 3, 3),
        ("workers.runtime", redis.ConnectionError("gone"), 3, 3),
    ],
)
def test_a_redis_that_drops_is_one_line_of_celerys_and_other_errors_stay_whole(
    logger, error, lines, tracebacks
):
    rule, seen = telemetry.OneLine(clock=lambda: 100.0), []
    for number in range(3):
        record = logging.LogRecord(
            logger, logging.CRITICAL, "", 1, "Couldn't ack %r", (number,), (type(error), error, None)
        )
        if rule.filter(record):
            seen.append(record)
    assert len(seen) == lines
    assert sum(bool(record.exc_info) for record in seen) == tracebacks


def test_a_full_redis_is_one_plain_line_for_all_of_celery():
    rule, seen, error = (
        telemetry.OneLine(clock=lambda: 100.0),
        [],
        RuntimeError("Couldn't apply scheduled task"),
    )
    error.__cause__ = kombu.exceptions.OperationalError("command not allowed when used memory > 'maxmemory'.")
    error.__cause__.__context__ = redis.exceptions.OutOfMemoryError("command not allowed")
    for logger in ("celery.beat", "celery.worker", "celery.beat"):
        record = logging.LogRecord(
            logger, logging.ERROR, "", 1, "Message Error: %s", ("x",), (RuntimeError, error, None)
        )
        seen += [record] if rule.filter(record) else []
    [record] = seen
    assert record.getMessage().startswith("Redis is full")
    assert record.levelno == logging.ERROR
    assert not record.exc_info


def test_a_redis_that_drops_is_one_plain_line_for_beat():
    """Beat wraps what happened, and adds its own stack to the words."""
    rule, seen = telemetry.OneLine(clock=lambda: 100.0), []
    for _ in range(3):
        error = RuntimeError("Couldn't apply scheduled task sweep: the connection was closed")
        error.__context__ = kombu.exceptions.OperationalError("the connection was closed")
        record = logging.LogRecord(
            "celery.beat",
            logging.ERROR,
            "",
            1,
            "Message Error: %s\n%s",
            (error, ["  File x.py, line 1"]),
            (RuntimeError, error, None),
        )
        seen += [record] if rule.filter(record) else []
    [record] = seen
    assert record.getMessage() == f"Message Error: {error}"
    assert record.levelno == logging.WARNING
    assert not record.exc_info


def test_connections_that_end_again_and_again_are_one_plain_line():
    """As when somebody ends them all, many times in a second: Celery's consumer rests for a second then."""
    rule, seen = telemetry.OneLine(clock=lambda: 100.0), []
    for _ in range(3):
        error = billiard.exceptions.RestartFreqExceeded("5 in 1s")
        record = logging.LogRecord(
            "celery.worker.consumer.consumer",
            logging.CRITICAL,
            "",
            1,
            "Frequent restarts detected: %r",
            (error,),
            (type(error), error, None),
        )
        seen += [record] if rule.filter(record) else []
    [record] = seen
    assert record.getMessage().startswith("the connections to Redis end again and again")
    assert record.levelno == logging.WARNING
    assert not record.exc_info


def test_a_line_of_a_task_has_how_long_it_took_so_far(logs, monkeypatch):
    logs()
    monkeypatch.setattr(telemetry.time, "monotonic", lambda: 12.3456)
    with telemetry.bind(began=12.0, order_id="1-01"):
        telemetry.get("tasks").info("delivered")
    telemetry.get("tasks").info("outside")
    inside, outside = logs.lines
    assert inside["duration"] == 0.346
    assert "began" not in inside
    assert "duration" not in outside


@pytest.mark.promise("P8")
def test_a_traceback_shows_where_and_not_whose_value_it_was(logs):
    def convert():
        try:
            return int("Maria da Silva")
        except ValueError as error:
            raise KeyError("Rua das Flores 12") from error

    written = logs()
    try:
        convert()
    except KeyError as error:
        telemetry.get("test").error("unexpected_error", exc_info=error)
    failure = RuntimeError("no answer about maria@example.com")
    logging.getLogger("some.library").error("failed", exc_info=failure)
    ours, theirs = written.lines
    assert "invalid literal for int() with base 10: '***'" in ours["exception"]
    assert "KeyError: '***'" in ours["exception"]
    assert "in convert" in ours["exception"]
    assert "no answer about ***" in theirs["exception"]
    for personal in ("Maria da", "Rua das"):  # the lines of the program itself may quote it here
        assert personal not in ours["exception"].replace('int("Maria da Silva")', "").replace(
            'KeyError("Rua das Flores 12")', ""
        )
