"""Looks at the conditions every few seconds, and tells when one begins and when it is over: in the log, and by POST.

It runs in beat, for all processes: workers that died cannot say so. Of several beats one does it. What it knows stands
in Redis, for the others and for the console; while Redis is away, or takes nothing, it goes on with what it has in
memory, so that this can be told, too (then perhaps twice).
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import redis

from workers import keys, moments, telemetry
from workers.monitor import rules
from workers.monitor.readings import Reading, read
from workers.monitor.rules import Alarm, Rule
from workers.stores import advice

if TYPE_CHECKING:
    from workers.ledger import Ledger
    from workers.settings import Settings

log = telemetry.get(__name__)

LEASE_SECONDS = 60.0
#: So long it is tried no more to tell anybody after it failed; doubling. Seconds.
FIRST_REST, LONGEST_REST = rules.EVERY, 300.0


@dataclass(slots=True)
class Standing:
    """How one condition of one store stands. Times are seconds since 1970; 0 is never."""

    name: str
    account: str
    severity: rules.Severity
    says: str = ""
    do: str = ""
    state: Literal["quiet", "raised", "cleared"] = "quiet"
    since: float = 0.0  # raised, or cleared
    bad_since: float = 0.0
    fine_since: float = 0.0
    untold: bool = False


class Watch(threading.Thread):
    """Looks until :meth:`stop`. ``send`` tells somebody and says whether they heard; None is nobody."""

    def __init__(
        self,
        client: redis.Redis,
        ledgers: Iterable[Ledger],
        settings: Settings,
        *,
        send: Callable[[dict[str, Any]], bool] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self._redis = client
        self._ledgers = list(ledgers)
        self._settings = settings
        self._send = send
        self._clock = clock
        self._standings: dict[tuple[str, str], Standing] = {}
        self._history: deque[tuple[float, dict[tuple[str, str], float]]] = deque()
        self._lock = client.lock(
            keys.of_all("lease:watch", settings.shadow),
            timeout=LEASE_SECONDS,
            blocking=False,
            thread_local=False,
        )
        self._leads = False
        self._rest, self._rests_until = FIRST_REST, 0.0
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look again and again."""
        while not self._stopped.wait(rules.EVERY):
            try:
                self.look()
            except Exception:
                log.exception("unexpected_error")  # whoever watches must not fall asleep

    def stop(self) -> None:
        """Stop; another beat may watch at once."""
        self._stopped.set()
        if self.is_alive():
            self.join(timeout=2 * rules.EVERY)
        try:
            if self._leads and self._lock.owned():
                self._lock.release()
        except redis.RedisError as error:
            log.debug("lease_not_released", error=type(error).__name__)

    def look(self) -> None:
        """Look once."""
        if not self._lead():
            return
        reading = read(self._redis, self._ledgers, self._settings)
        now = self._clock()
        for rule in rules.RULES:
            values = self._rise(rule, reading, now) if rule.over else rule.values(reading)
            for account, value in values.items():
                self._settle(rule, account, value, reading, now)
        self._history.append((now, _counters(reading)))
        while self._history[0][0] < now - rules.WINDOW:
            self._history.popleft()
        self._tell(now)
        self._save()

    def show(self, reading: Reading) -> None:
        """Put into a reading which alarms are raised."""
        raised = {(one.name, one.account) for one in list(self._standings.values()) if one.state == "raised"}
        show(reading, raised, [ledger.account for ledger in self._ledgers])

    def _lead(self) -> bool:
        """Whether this process watches: it holds the lease, or nobody can say who does."""
        try:
            if self._leads and self._lock.owned():
                self._lock.reacquire()
                return True
            led, self._leads = self._leads, bool(self._lock.acquire())
            if self._leads and not led:
                self._load()
        except redis.RedisError:
            self._leads = True
        return self._leads

    def _rise(self, rule: Rule, reading: Reading, now: float) -> dict[str, float]:
        """How much a counter rose; one that fell began anew."""
        risen: dict[str, float] = {}
        for account, value in rule.values(reading).items():
            before = [
                old[rule.metric, account]
                for at, old in self._history
                if at >= now - rule.over and (rule.metric, account) in old
            ]
            seen = [*before, value]
            risen[account] = sum(max(0.0, b - a) if b >= a else b for a, b in pairwise(seen))
        return risen

    def _settle(self, rule: Rule, account: str, value: float, reading: Reading, now: float) -> None:
        do = advice(rule.do, account, several=len(self._settings.accounts) > 1)
        one = self._standings.setdefault(
            (rule.name, account), Standing(rule.name, account, rule.severity, do=do)
        )
        if rule.bad(value):
            one.says = rule.words(reading, account, value)
        one.bad_since = (one.bad_since or now) if rule.bad(value) else 0.0
        one.fine_since = (one.fine_since or now) if rule.fine(value) else 0.0
        if one.state != "raised" and one.bad_since and now - one.bad_since >= rule.hold:
            one.state, one.since, one.untold = "raised", now, True
            if not rule.logged:
                level = log.error if rule.severity == "critical" else log.warning
                level("alarm_raised", alarm=rule.name, says=one.says, do=one.do, **_of(account))
        elif one.state == "raised" and one.fine_since and now - one.fine_since >= rule.linger:
            lasted = round(now - one.since)
            # who did not hear that it began need not hear that it is over
            one.state, one.since, one.untold = "cleared", now, not one.untold
            if not rule.logged:
                log.warning("alarm_cleared", alarm=rule.name, lasted=lasted, **_of(account))

    def _tell(self, now: float) -> None:
        for one in self._standings.values():
            if not one.untold:
                continue
            if self._send is None:
                one.untold = False
            elif now >= self._rests_until:
                if not self._send(message(one, now)):
                    self._rests_until, self._rest = now + self._rest, min(2 * self._rest, LONGEST_REST)
                    return
                one.untold, self._rest = False, FIRST_REST

    def _save(self) -> None:
        kept = {
            f"{one.name} {one.account}": json.dumps(asdict(one))
            for one in self._standings.values()
            if one.state == "raised" or one.untold
        }
        try:
            with self._redis.pipeline() as pipe:
                pipe.delete(keys.of_all("alarms", self._settings.shadow))
                if kept:
                    pipe.hset(
                        keys.of_all("alarms", self._settings.shadow), mapping=cast("dict[Any, Any]", kept)
                    )
                pipe.execute()
        except redis.RedisError as error:
            log.debug("alarms_not_saved", error=type(error).__name__)

    def _load(self) -> None:
        """What another one watched before."""
        self._standings = {(one.name, one.account): one for one in _stored(self._redis, self._settings)}


def _counters(reading: Reading) -> dict[tuple[str, str], float]:
    return {
        (rule.metric, account): value
        for rule in rules.RULES
        if rule.over
        for account, value in rule.values(reading).items()
    }


def _of(account: str) -> dict[str, str]:
    return {"account": account} if account else {}


def _stored(client: redis.Redis, settings: Settings) -> list[Standing]:
    """What was saved, but for what this version does not know."""
    known = {field.name for field in fields(Standing)}
    found = [json.loads(text) for text in client.hvals(keys.of_all("alarms", settings.shadow))]
    return [Standing(**one) for one in found if one.keys() <= known and one["name"] in rules.BY_NAME]


def show(reading: Reading, raised: Collection[tuple[str, str]], accounts: Collection[str]) -> None:
    """Put into a reading which alarms are raised and which are not."""
    for rule in rules.RULES:
        for account in accounts if rule.of_a_store else [""]:
            on = int((rule.name, account) in raised)
            reading.put("vtexorders_alarm", on, account, rule.name, rule.severity)


def message(one: Standing, now: float) -> dict[str, Any]:
    """What is sent; ``text`` is for chat programs, which show it as it is."""
    store = f"{one.account}: " if one.account else ""
    raised = one.state == "raised"
    text = f"{store}{one.says}. {one.do}" if raised else f"{store}over: {one.says}"
    return {
        "id": f"{one.name}:{one.account}:{one.state}:{one.since:.0f}",
        "alarm": one.name,
        "state": one.state,
        "severity": one.severity,
        "account": one.account or None,
        "says": one.says,
        "do": one.do,
        "since": moments.utc(one.since),
        "sent": moments.utc(now),
        "runbook": f"deploy/runbook.md#{one.name}",
        "text": f"[{one.severity if raised else 'cleared'}] {text}",
    }


def alarms(client: redis.Redis, settings: Settings, reading: Reading) -> list[Alarm]:
    """What is wrong, for the console: what the watch has raised, and what can be seen to be wrong at this moment.

    The latter alone if nobody watches.
    """
    found: dict[tuple[str, str], Alarm] = {}
    watched = bool(reading.matching("vtexorders_beats") and max(reading.values["vtexorders_beats"].values()))
    try:
        raised = [one for one in _stored(client, settings) if one.state == "raised"] if watched else []
    except redis.RedisError:
        raised = []
    for one in raised:
        found[one.name, one.account] = Alarm(one.name, one.account, one.severity, one.says, one.do, one.since)
    for rule, account, value in rules.beyond(reading):
        if rule.hold and watched:  # it has not lasted long enough, or is among those above
            continue
        says = rule.words(reading, account, value)
        since = found[rule.name, account].since if (rule.name, account) in found else 0.0
        found[rule.name, account] = Alarm(rule.name, account, rule.severity, says, rule.do, since)
    order: Mapping[str, int] = {rule.name: place for place, rule in enumerate(rules.RULES)}
    return sorted(found.values(), key=lambda alarm: (alarm.severity, order[alarm.name]))
