"""Whatever the umask says: what we make and what holds customers' data or passwords is for our user only."""

import os
import stat
from contextlib import closing

import fakeredis
import pytest

from workers import embedded, private
from workers.check_secrecy import check_secrecy
from workers.erp.contract import delivery
from workers.erp.sink import open_sink
from workers.heartbeat import Heartbeat, here
from workers.settings import Account, Secret, Settings
from workers.settings.reader import Environment


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


def test_whose_a_thing_is(monkeypatch):
    def owned_by(uid):
        return os.stat_result((0o100600, 0, 0, 1, uid, 0, 0, 0, 0, 0))

    for me, mine in ((1000, {0, 1000}), (0, {0, 1000, 1001})):
        monkeypatch.setattr(private.os, "geteuid", lambda me=me: me)
        assert {uid for uid in (0, 1000, 1001) if private.ours(owned_by(uid))} == mine


def health_of(folder):
    Heartbeat(fakeredis.FakeRedis(), "worker", [], folder=folder).beat()


@pytest.mark.parametrize("link", ["symlink", "hard link", "dangling", "folder", "pipe"])
def test_what_stands_where_the_lock_should_is_left_alone(tmp_path, link):
    data, precious = tmp_path / "data", tmp_path / "precious"
    data.mkdir(0o700)
    precious.write_text("precious")
    lock = data / "lock"
    match link:
        case "symlink":
            lock.symlink_to(precious)
        case "hard link":
            lock.hardlink_to(precious)
        case "dangling":
            lock.symlink_to(tmp_path / "nowhere")
        case "folder":
            lock.mkdir()
        case "pipe":
            os.mkfifo(lock)
    with pytest.raises(embedded.EmbeddedError, match=r"DATA_DIR.* cannot be used") as refused:
        embedded.lock_data_dir(data)
    assert "\n" not in str(refused.value)
    assert precious.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o702])
def test_a_data_dir_that_every_user_may_write_to_is_refused(tmp_path, mode):
    data = tmp_path / "data"
    (data / "valkey").mkdir(parents=True)
    data.chmod(mode)
    for use in (embedded.lock_data_dir, embedded.find, lambda path: embedded.Embedded(path).start()):
        with pytest.raises(
            embedded.EmbeddedError, match=f"every user of this machine may write to {data}: chmod"
        ):
            use(data)
    embedded.lock_data_dir(data / "inside").release()
    assert modes(data)["data/inside"] == 0o700
    data.chmod(0o1777)  # as /tmp: others may put things there, but not move ours
    embedded.lock_data_dir(data).release()
    assert list(private.about_folder(data, shared=False)) == []


def test_a_valkey_that_somebody_else_may_exchange_is_not_found(tmp_path, monkeypatch):
    data = tmp_path / "data"
    home = data / "valkey"
    home.mkdir(0o700, parents=True)
    data.chmod(0o700)
    (home / "url").write_text(f"redis://:{'x' * 43}@127.0.0.1:1/0")
    assert embedded.find(data) is None  # nobody answers there
    monkeypatch.setattr(private, "ours", lambda _status: False)
    with pytest.raises(embedded.EmbeddedError, match="belongs to another user"):
        embedded.find(data)
    monkeypatch.undo()
    (home / "url").rename(data / "theirs")
    (home / "url").symlink_to(data / "theirs")
    with pytest.raises(embedded.EmbeddedError, match="no plain file but a link"):
        embedded.find(data)


def test_what_a_process_says_of_itself_goes_to_no_other_file(tmp_path):
    data, precious = tmp_path / "data", tmp_path / "precious"
    precious.write_text("precious")
    folder = data / "health"
    health_of(folder)
    (said,) = folder.iterdir()
    said.with_suffix(".new").symlink_to(precious)
    said.unlink()
    said.symlink_to(precious)
    health_of(folder)
    assert precious.read_text() == "precious"
    assert [health.name for health in here(folder)] == ["worker"]
    said.unlink()
    said.symlink_to(tmp_path / "said")
    (tmp_path / "said").write_text('{"name": "worker", "kind": "worker", "pid": 1, "live": true}')
    assert here(folder) == []


def test_a_dotenv_that_others_may_read_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("VTEX_ACCOUNT", "VTEX_APP_KEY", "VTEX_APP_TOKEN", "ERP_URL", "ACCOUNTS_FILE", "WEB_TOKENS"):
        monkeypatch.delenv(name, raising=False)
    dotenv = tmp_path / ".env"
    for text, held in (
        ("VTEX_APP_TOKEN=hush", "VTEX_APP_TOKEN"),
        ("VTEX_APP_TOKEN_FILE=/secrets/token", None),
        ("VTEX_APP_TOKEN=", None),
        ("ERP_URL=postgresql+psycopg://u:hush@127.0.0.1/erp", "ERP_URL"),
        ("ERP_URL=sqlite:///erp.db", None),
    ):
        dotenv.write_text(text)
        for mode, may in ((0o644, "read"), (0o666, "change"), (0o640, None), (0o600, None)):
            dotenv.chmod(mode)
            told = Environment(os.environ, {}).warnings
            assert told == (
                [f".env holds {held} and every user of this machine may {may} it: chmod 600 .env"]
                if held and may
                else []
            )


def test_check_says_who_may_write_where(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "spool").mkdir()
    loaded = Settings(
        accounts={"store": Account("store", Secret("key"), Secret("token"))},
        erp_url=f"file://{tmp_path}/spool",
        data_dir=tmp_path / "data",
        warnings=(".env holds it: chmod 600 .env",),
    )

    def told(data, spool):
        (tmp_path / "data").chmod(data)
        (tmp_path / "spool").chmod(spool)
        return [finding.says for finding in check_secrecy(loaded) if finding.level == "look"][1:]

    assert told(0o700, 0o770) == []
    assert told(0o770, 0o1777) == [f"every user of a group may write to {tmp_path}/data (DATA_DIR)"]
    assert told(0o777, 0o777) == [
        f"every user of this machine may write to {tmp_path}/{name}"
        for name in ("data (DATA_DIR)", "spool (ERP_URL)")
    ]
