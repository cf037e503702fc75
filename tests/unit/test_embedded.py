from __future__ import annotations

import errno
import logging
import os
import stat

import pytest

from workers import embedded
from workers.embedded import (
    DataDirInUse,
    Embedded,
    EmbeddedError,
    _choose_port,
    _explained,
    _read_url,
    _why_it_died,
    _write_private,
    binary,
    find,
    lock_data_dir,
    wait_for,
)

PASSWORD = "p" * 43


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "valkey"
    folder.mkdir()
    return folder


def test_a_data_dir_has_one_owner_and_the_second_is_told_who(tmp_path):
    with lock_data_dir(tmp_path), pytest.raises(DataDirInUse) as refused:
        lock_data_dir(tmp_path)
    assert refused.value.pid == os.getpid()
    assert f"process {os.getpid()} is already running in {tmp_path}" in str(refused.value)
    assert "DATA_DIR of its own" in str(refused.value)


def test_an_owner_that_left_no_process_id_still_counts(tmp_path):
    with lock_data_dir(tmp_path):
        (tmp_path / "lock").write_text("")
        with pytest.raises(DataDirInUse, match="another process is already running"):
            lock_data_dir(tmp_path)


def test_a_released_lock_can_be_taken_again(tmp_path):
    first = lock_data_dir(tmp_path)
    first.release()
    first.release()
    with lock_data_dir(tmp_path):
        pass


def test_files_of_a_killed_owner_do_not_block(tmp_path):
    (tmp_path / "lock").write_text("1\n")
    with lock_data_dir(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_the_data_dir_is_made_with_its_parents(tmp_path):
    with lock_data_dir(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / "lock").exists()


def test_a_file_in_the_place_of_the_data_dir(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedError, match="cannot be used"):
        lock_data_dir(tmp_path / "file")
    with pytest.raises(EmbeddedError, match="cannot be used"):
        lock_data_dir(tmp_path / "file" / "below")


def test_a_full_disk_is_called_a_full_disk(tmp_path):
    with pytest.raises(EmbeddedError, match="disk is full"), _explained(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_server_that_died_is_explained_by_the_end_of_its_log(tmp_path):
    log = tmp_path / "valkey.log"
    log.write_text("old news\nthe reason\n\n")
    assert "the reason" in _why_it_died(1, log, len("old news\n"))
    assert "old news" not in _why_it_died(1, log, len("old news\n"))
    log.write_text("Can't write: No space left on device\n")
    assert "disk is full" in _why_it_died(1, log, 0)
    log.write_text("/x/valkey-server cannot be run: Exec format error\n")
    assert "set REDIS_URL" in _why_it_died(127, log, 0)
    assert "without a word" in _why_it_died(1, tmp_path / "missing", 0)


def test_a_platform_without_a_server_is_told_to_name_a_redis(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(embedded.importlib, "import_module", missing)
    with pytest.raises(EmbeddedError, match="set REDIS_URL"):
        binary()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "redis://",
        f"redis://:{PASSWORD}@127.0.0.1",
        f"redis://:{PASSWORD}@127.0.0.1:2",
        f"redis://:{PASSWORD}@127.0.0.1:25000/",
        f"redis://:{PASSWORD}@elsewhere:25000/0",
        f"redis://:{PASSWORD}\nenable-debug-command yes@127.0.0.1:25000/0",
        "\x00\xff",
    ],
)
def test_a_damaged_url_is_as_good_as_none(home, text):
    (home / "url").write_bytes(text.encode("latin-1"))
    assert _read_url(home / "url") is None


def test_the_url_is_read_back(home):
    (home / "url").write_text(f"redis://:{PASSWORD}@127.0.0.1:25000/0\n")
    assert _read_url(home / "url") == (25000, PASSWORD)


def test_private_files_are_private_and_whole(tmp_path, monkeypatch):
    path = tmp_path / "url"
    _write_private(path, "first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def full(_fd):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(embedded.os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        _write_private(path, "second")
    assert path.read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["url"]


def test_the_address_is_kept(tmp_path, home, monkeypatch):
    monkeypatch.setattr(embedded, "_is_free", lambda _port: True)
    (home / "url").write_text(f"redis://:{PASSWORD}@127.0.0.1:25000/0")
    assert Embedded(tmp_path)._address(may_move=True) == (25000, PASSWORD)


def test_it_moves_away_from_a_taken_port_at_the_start(tmp_path, home, monkeypatch, caplog):
    monkeypatch.setattr(embedded, "_is_free", lambda port: port != 25000)
    (home / "url").write_text(f"redis://:{PASSWORD}@127.0.0.1:25000/0")
    with caplog.at_level(logging.WARNING):
        port, password = Embedded(tmp_path)._address(may_move=True)
    assert port != 25000
    assert password == PASSWORD
    assert f"moves to port {port}" in caplog.text
    assert PASSWORD not in caplog.text


def test_it_does_not_move_while_others_use_the_address(tmp_path, home, monkeypatch):
    monkeypatch.setattr(embedded, "_is_free", lambda _port: False)
    (home / "url").write_text(f"redis://:{PASSWORD}@127.0.0.1:25000/0")
    with pytest.raises(EmbeddedError, match="port 25000"):
        Embedded(tmp_path)._address(may_move=False)


def test_no_free_port_at_all(monkeypatch):
    monkeypatch.setattr(embedded, "_is_free", lambda _port: False)
    with pytest.raises(EmbeddedError, match="no free port"):
        _choose_port()


def test_nothing_is_found_where_nothing_runs(tmp_path):
    assert find(tmp_path) is None
    assert find(tmp_path / "missing") is None
    assert wait_for(tmp_path, 0) is None


def test_there_is_no_url_before_the_start(tmp_path):
    with pytest.raises(EmbeddedError, match="not started"):
        _ = Embedded(tmp_path).url
