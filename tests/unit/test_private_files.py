"""Whatever the umask says: what we make and what holds customers' data or passwords is for our user only."""

import os
import stat
from contextlib import closing

import fakeredis
import pytest

from workers import embedded
from workers.erp.contract import delivery
from workers.erp.sink import open_sink
from workers.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def generous():
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder):
    """The rights of a folder and of all in it, by its path there."""
    return {
        str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }


def test_the_database_of_orders(tmp_path):
    with closing(open_sink(f"sqlite:///{tmp_path}/erp.db")) as sink:
        sink.deliver(delivery())
        made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert {"erp.db", "erp.db-wal"} <= set(made)
    assert set(made.values()) == {0o600}


def test_a_database_that_is_there_keeps_its_rights(tmp_path):
    (tmp_path / "erp.db").touch(0o664)
    with closing(open_sink(f"sqlite:///{tmp_path}/erp.db")) as sink:
        sink.deliver(delivery())
        assert stat.S_IMODE((tmp_path / "erp.db").stat().st_mode) == 0o664
        assert stat.S_IMODE((tmp_path / "erp.db-wal").stat().st_mode) == 0o664


def test_data_dir(tmp_path):
    with embedded.Embedded(tmp_path / "data"):
        assert {mode & 0o077 for name, mode in modes(tmp_path / "data").items() if name.count("/") < 2} == {0}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_what_a_process_says_of_itself(tmp_path):
    Heartbeat(fakeredis.FakeRedis(), "worker", [], folder=tmp_path / "data" / "health").beat()
    made = modes(tmp_path / "data")
    assert made.pop("data") == made.pop("data/health") == 0o700
    assert len(made) == 1  # its rights do not matter: nobody gets there
