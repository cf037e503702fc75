"""What the sandbox counts about writing calls, and the settings that shape the outbound half."""

import pytest
from click.testing import CliRunner

from workers.sandbox.agenda import Agenda
from workers.sandbox.clock import ManualClock
from workers.sandbox.config import SandboxConfig
from workers.sandbox.console import command
from workers.sandbox.watch import DOUBTFUL, NEVER, Watch


def count(watch, name):
    report = watch.report()
    return {**report["never"], **report["doubtful"]}[name]


def test_two_writing_calls_of_one_order_at_a_time_are_counted():
    watch = Watch(ManualClock(7.0))
    first = watch.begin("1-01", lambda: True)
    second = watch.begin("1-01", lambda: True)
    watch.end("1-01", first, "POST /invoice", 200, None)
    watch.end("1-01", second, "POST /cancel", 0, "lost_answer")
    third = watch.begin("1-01", lambda: True)
    other = watch.begin("2-01", lambda: True)
    watch.end("2-01", other, "POST /cancel", 200, None)
    watch.end("1-01", third, "POST /cancel", 400, None)
    assert count(watch, "overlapping_writes") == {"count": 1, "orders": ["1-01"]}
    assert watch.writes("1-01")[1] == {
        "at": 7.0,
        "call": "POST /cancel",
        "status": 0,
        "fault": "lost_answer",
    }
    assert watch.of_order("1-01") == {"overlapping_writes": 1}


def test_a_call_whose_client_has_gone_away_is_another_matter():
    watch = Watch(ManualClock())
    watch.begin("1-01", lambda: False)
    watch.begin("1-01", lambda: True)
    assert count(watch, "overlapping_writes")["count"] == 0
    assert count(watch, "abandoned_writes")["count"] == 1


def test_every_counter_is_in_the_report_and_explained():
    report = Watch(ManualClock()).report()
    assert set(report["never"]) == set(NEVER)
    assert set(report["doubtful"]) == set(DOUBTFUL)
    assert all(NEVER.values())
    assert all(entry == {"count": 0, "orders": []} for entry in report["never"].values())


def test_the_agenda_keeps_the_order_of_time():
    clock = ManualClock(0.0)
    agenda = Agenda(clock)
    done = []
    agenda.after(2, lambda due: done.append(("b", due)))
    agenda.after(1, lambda due: agenda.at(due + 0.5, lambda then: done.append(("a", then))))
    agenda.after(9, lambda due: done.append(("c", due)))
    clock.now = 5.0
    agenda.run_due()
    assert done == [("a", 1.5), ("b", 2.0)]


def test_only_known_manners_are_taken():
    with pytest.raises(ValueError, match="repeated_invoice is 'maybe'"):
        SandboxConfig(repeated_invoice="maybe")
    with pytest.raises(ValueError, match="log_status is 201"):
        SandboxConfig(log_status=201)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("nonsense=1", "is not NAME=VALUE"),
        ("invoice_delay", "is not NAME=VALUE"),
        ("invoice_delay=soon", "needs a value like 0.05"),
        ("cancel_flutter=1", "needs a value like false"),
        ("hook_tries=true", "needs a value like 100"),
        ("tracking_events=mix", "not one of"),
    ],
)
def test_the_console_says_what_is_wrong_with_a_setting(word, complaint):
    result = CliRunner().invoke(command, ["--set", word])
    assert result.exit_code == 2
    assert complaint in result.output


def test_the_console_takes_any_setting(monkeypatch):
    seen = []
    monkeypatch.setattr("workers.sandbox.server.run", lambda config, *_: seen.append(config))
    words = ["invoice_delay=2", "cancel_flutter=true", "tracking_events=append", "change_v1_gone=404"]
    result = CliRunner().invoke(command, [part for word in words for part in ("--set", word)])
    assert result.exit_code == 0, result.output
    [config] = seen
    assert (config.invoice_delay, config.cancel_flutter) == (2, True)
    assert (config.tracking_events, config.change_v1_gone) == ("append", 404)
