from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
import redis

# A supervisor whose children write their process ids into files, one line a start.
RUN = """
import logging, pathlib, signal, sys
from workers.embedded import Embedded
from workers.supervisor import Backoff, Supervisor

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests themselves run under nohup
logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
folder = pathlib.Path(sys.argv[1])
python = sys.executable


def child(name, body=""):
    note = f"print(os.getpid(), file=open({str(folder / name)!r}, 'a'), flush=True)"
    return [python, "-c", "\\n".join(["import os, signal, sys, time", note, body, "time.sleep(600)"])]


DRAINS = f'''
def drain(*_):
    print("drained", os.path.basename({str(folder)!r}), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, drain)
print("armed", flush=True)
'''
DEAF = '''
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
print("armed", flush=True)
'''
PARENT = f'''
import subprocess
grandchild = subprocess.Popen([{python!r}, "-c", "import time; time.sleep(600)"])
print(grandchild.pid, file=open({str(folder / "grandchild")!r}, "a"), flush=True)
'''
supervisor = Supervisor(backoff=lambda: Backoff(first=0.05, most=0.2))
"""


class Scene:
    def __init__(self, folder, processes, wait_until, exists):
        self.folder = folder
        self.processes = processes
        self.wait_until = wait_until
        self.exists = exists
        self.process = None

    def run(self, code):
        self.process = self.processes.python(RUN + code, self.folder)

    def pids(self, name, least=1):
        """The process ids of all starts of that child, once there are so many."""

        def known():
            assert self.process.poll() is None, self.output()
            path = self.folder / name
            found = [int(line) for line in path.read_text().split()] if path.exists() else []
            return found if len(found) >= least else None

        return self.wait_until(known, lambda: f"{name}; {self.output()}")

    def output(self):
        return self.processes.output(self.process)

    def said(self, text, times=1):
        self.wait_until(lambda: self.output().count(text) >= times, lambda: f"{text!r} in: {self.output()}")

    def gone(self, *pids):
        for pid in pids:
            self.wait_until(
                lambda pid=pid: not self.exists(pid), lambda pid=pid: f"the end of {pid}; {self.output()}"
            )

    def ended(self):
        return self.process.wait(60)


@pytest.fixture
def scene(tmp_path, processes, wait_until, exists):
    return Scene(tmp_path, processes, wait_until, exists)


def test_a_dying_child_is_started_again_and_again(scene):
    scene.run("supervisor.add('brief', child('brief', 'sys.exit(3)')); sys.exit(supervisor.run())")
    scene.pids("brief", least=6)
    scene.said("exit code 3; next try in 0.2 s (5 times in a row")
    scene.process.terminate()
    assert scene.ended() == 0
    assert "next try in 0.1 s\n" in scene.output()


def test_a_killed_child_is_replaced(scene):
    scene.run("supervisor.add('worker', child('worker')); sys.exit(supervisor.run())")
    (first,) = scene.pids("worker")
    os.kill(first, signal.SIGKILL)
    _, second = scene.pids("worker", least=2)
    assert second != first
    assert f"worker ended, pid {first}, SIGKILL" in scene.output()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_drains_at_a_signal(scene, signum):
    scene.run(
        "supervisor.add('beat', child('beat', DRAINS), stage=0);"
        "[supervisor.add(f'worker-{n}', child(f'worker-{n}', DRAINS)) for n in range(3)];"
        "sys.exit(supervisor.run())"
    )
    pids = [scene.pids(name)[0] for name in ("beat", "worker-0", "worker-1", "worker-2")]
    scene.said("armed", times=4)
    scene.process.send_signal(signum)
    assert scene.ended() == 0
    assert not any(map(scene.exists, pids))
    assert scene.output().count("drained") == 4, scene.output()
    stopped = [line for line in scene.output().splitlines() if " stopped, pid" in line]
    assert "beat stopped" in stopped[0]
    assert len(stopped) == 4


def test_it_outlives_its_terminal_under_nohup(scene):
    scene.run(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "supervisor.add('worker', child('worker')); sys.exit(supervisor.run())"
    )
    (first,) = scene.pids("worker")
    scene.process.send_signal(signal.SIGHUP)
    os.kill(first, signal.SIGKILL)
    scene.pids("worker", least=2)  # it goes on with its work
    scene.process.terminate()
    assert scene.ended() == 0


def test_a_child_that_does_not_listen_is_killed_after_its_grace(scene):
    scene.run("supervisor.add('deaf', child('deaf', DEAF), grace=0.2); sys.exit(supervisor.run())")
    (pid,) = scene.pids("deaf")
    scene.said("armed")
    scene.process.terminate()
    assert scene.ended() == 1
    assert not scene.exists(pid)
    assert f"deaf is killed, pid {pid}" in scene.output()


def test_a_second_signal_hurries(scene):
    scene.run("supervisor.add('deaf', child('deaf', DEAF), grace=3600); sys.exit(supervisor.run())")
    (pid,) = scene.pids("deaf")
    scene.said("armed")
    scene.process.terminate()
    scene.said("SIGTERM: stopping")

    def again():  # signals close to the first count as the same gesture
        scene.process.terminate()
        return "SIGTERM again" in scene.output()

    scene.wait_until(again)
    assert scene.ended() == 1
    assert not scene.exists(pid)


def test_a_signal_that_comes_before_it_runs_is_kept(scene):
    scene.run("""
import time
with supervisor:
    print("inside", flush=True)
    deadline = time.monotonic() + 600
    while not supervisor._signals.waiting and time.monotonic() < deadline:
        time.sleep(0.05)
    supervisor.add("worker", child("worker"))
    sys.exit(supervisor.run())
""")
    scene.said("inside")
    scene.process.terminate()
    assert scene.ended() == 0
    assert not (scene.folder / "worker").exists()


@pytest.mark.promise("P4")
def test_nothing_outlives_a_killed_supervisor(scene):
    scene.run("""
supervisor.add("beat", child("beat", DRAINS), stage=0)
supervisor.add("worker", child("worker", DRAINS))
with Embedded(folder / "data") as valkey:
    print(valkey.pid, file=open(folder / "valkey", "w"), flush=True)
    sys.exit(supervisor.run())
""")
    pids = [scene.pids(name)[0] for name in ("valkey", "beat", "worker")]
    scene.said("armed", times=2)
    scene.processes.kill(scene.process)
    scene.gone(*pids)
    scene.said("drained", times=2)


@pytest.mark.promise("P4")
def test_what_its_owner_takes_along_ends_although_it_does_not_listen(scene):
    scene.run("""
from workers import child as children

ENDS = "from workers import child; child.end_with_owner(0.1)"
with children.take_along():
    supervisor.add("deaf", child("deaf", chr(10).join([DEAF, PARENT, ENDS])))
    sys.exit(supervisor.run())
""")
    (deaf,), (grandchild,) = scene.pids("deaf"), scene.pids("grandchild")
    scene.said("armed")
    scene.processes.kill(scene.process)
    scene.gone(deaf, grandchild)


def test_what_is_not_taken_along_ends_in_its_own_time(scene):
    scene.run("""
ENDS = "from workers import child; child.end_with_owner(0.0)"
SLOW = DRAINS.replace("sys.exit(0)", "time.sleep(2); print('at last', flush=True); sys.exit(0)")
supervisor.add("slow", child("slow", chr(10).join([SLOW, ENDS])))
sys.exit(supervisor.run())
""")
    (slow,) = scene.pids("slow")
    scene.said("armed")
    scene.processes.kill(scene.process)
    scene.gone(slow)
    scene.said("at last")


def test_grandchildren_end_with_their_parent(scene):
    scene.run("supervisor.add('parent', child('parent', PARENT)); sys.exit(supervisor.run())")
    (parent,) = scene.pids("parent")
    (grandchild,) = scene.pids("grandchild")
    os.kill(parent, signal.SIGKILL)
    scene.gone(parent, grandchild)
    scene.pids("parent", least=2)
    _, second = scene.pids("grandchild", least=2)
    scene.process.terminate()
    assert scene.ended() == 0
    scene.gone(second)


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_alone(scene):
    scene.run("supervisor.add('worker', child('worker', DRAINS)); sys.exit(supervisor.run())")
    scene.pids("worker")
    scene.said("armed")
    os.killpg(scene.process.pid, signal.SIGINT)
    assert scene.ended() == 0
    assert "KeyboardInterrupt" not in scene.output()
    scene.said("drained")


def test_no_zombies_stay(scene):
    if not Path("/proc/self/stat").exists():
        pytest.skip("needs /proc")
    scene.run("supervisor.add('brief', child('brief', 'sys.exit(3)')); sys.exit(supervisor.run())")
    pids = scene.pids("brief", least=5)
    for pid in pids[:4]:
        assert not Path(f"/proc/{pid}").exists()


@pytest.mark.promise("P9")
def test_a_killed_valkey_comes_back_with_its_data_under_a_running_supervisor(scene):
    scene.run("""
with supervisor, Embedded(folder / "data") as valkey:
    def note():
        print(valkey.pid, file=open(folder / "valkey", "a"), flush=True)

    def restart():
        valkey.restart()
        note()

    supervisor.watch(valkey.alive, restart)
    supervisor.add("worker", child("worker", DRAINS))
    note()
    print("url", valkey.url, flush=True)
    code = supervisor.run()
sys.exit(code)
""")
    scene.said("url redis://")
    url = scene.output().partition("url ")[2].split()[0]
    (worker,) = scene.pids("worker")
    with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        for number in range(3):
            assert client.incr("count") == number + 1
            os.kill(scene.pids("valkey")[-1], signal.SIGKILL)
            scene.pids("valkey", least=number + 2)
        assert client.get("count") == "3"
    assert scene.pids("worker") == [worker]
    servers = scene.pids("valkey")
    scene.said("armed")
    scene.process.terminate()
    assert scene.ended() == 0
    scene.gone(worker, *servers)
