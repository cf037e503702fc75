"""The spool folder: every promise, what the ERP's taking does to it, and a death at any instruction."""

import contextlib
import errno
import json
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from workers import errors
from workers.erp import spool, spool_memory, spool_places
from workers.erp.contract import STORY, SinkContract, delivery
from workers.erp.sink import CANCELED, CANCELLATION_REQUESTED, Delivery, open_sink

READY = "store-1-01-order.ready.json"
GOES_ON = "store-1-01-order.ready-20240206T204603.7010747Z.json"
REQUESTED = "store-1-01-order.cancellation_requested-20240206T204602.7010747Z.json"
END = "store-1-01-order.canceled.json"


@pytest.fixture
def erp(spool_erp):
    return spool_erp


@pytest.fixture
def sink(erp):
    return open_sink(erp.url)


class TestSpoolSink(SinkContract):
    @pytest.fixture
    def erp(self, erp):
        return erp


def take(erp, *names):
    for name in names:
        (erp.folder / name).unlink()


def test_a_file_has_the_documented_name_and_content(erp, sink):
    sink.deliver(delivery(more="1.10"))
    sink.deliver(delivery(CANCELLATION_REQUESTED, 2))
    assert erp.names() == [REQUESTED, READY]
    text = (erp.folder / READY).read_text()
    document = delivery(more="1.10").document
    assert text == (
        '{"type": "order.ready", "account": "store", "orderId": "1-01",'
        f' "lastChange": "2024-02-06T20:46:01.7010747Z", "order": {document}}}'
    )
    json.loads(text)


def test_others_may_read_it_as_the_umask_says(erp, sink):
    before = os.umask(0o027)
    try:
        sink.deliver(delivery())
    finally:
        os.umask(before)
    assert stat.S_IMODE((erp.folder / READY).stat().st_mode) == 0o640


def test_what_was_taken_never_comes_again(erp, sink):
    sink.deliver(delivery(second=1))
    take(erp, READY)
    sink.deliver(delivery(second=1))
    sink.deliver(
        delivery(second=3, status="handling")
    )  # our memory in Redis was lost, the order has moved on
    open_sink(erp.url).deliver(delivery(second=3, status="handling"))
    assert erp.names() == []
    sink.deliver(delivery(CANCELED, 4))
    assert erp.names() == [END]
    take(erp, END)
    sink.deliver(delivery(CANCELED, 4))
    sink.deliver(delivery(CANCELED, 5))
    sink.deliver(delivery(second=6))
    assert erp.names() == []


def test_what_was_taken_comes_again_when_a_person_asks_for_it(erp, sink):
    order = delivery(second=1)
    sink.deliver(order)
    [path] = erp.folder.glob("*.json")
    path.unlink()
    sink.deliver(replace(order, redelivered=True))
    [path] = erp.folder.glob("*.json")
    assert json.loads(path.read_text())["redelivered"] is True
    path.unlink()
    sink.deliver(order)
    assert not list(erp.folder.glob("*.json"))


def test_what_was_moved_within_the_folder_is_taken_too(erp, sink):
    sink.deliver(delivery(second=1))
    (erp.folder / "done").mkdir()
    (erp.folder / READY).rename(erp.folder / "done" / READY)
    sink.deliver(delivery(second=1))
    sink.deliver(delivery(second=2))
    assert erp.names() == []


def test_a_denied_request_is_told_after_the_order_was_taken(erp, sink):
    sink.deliver(delivery(second=1))
    take(erp, READY)
    sink.deliver(delivery(CANCELLATION_REQUESTED, 2))
    take(erp, REQUESTED)
    for _ in range(2):
        sink.deliver(delivery(second=3, status="handling"))
        sink.deliver(delivery(CANCELLATION_REQUESTED, 2))
    assert erp.names() == [GOES_ON]
    sink.deliver(delivery(second=4, status="handling"))
    assert erp.names() == [GOES_ON]
    assert erp.held("1-01") == ("handling", delivery(second=4, status="handling").document)
    take(erp, GOES_ON)
    sink.deliver(delivery(second=5, status="handling"))
    assert erp.names() == []


def test_canceled_withdraws_what_was_not_taken(erp, sink):
    sink.deliver(delivery(second=1))
    sink.deliver(delivery(CANCELED, 2))
    assert erp.names() == [END]
    sink.deliver(delivery(second=3))
    assert erp.names() == [END]


def test_each_request_is_a_file_of_its_own(erp, sink):
    for second in (2, 4, 2, 4):
        sink.deliver(delivery(CANCELLATION_REQUESTED, second))
    sink.deliver(Delivery(CANCELLATION_REQUESTED, "store", "1-01", None, "", "{}"))
    assert erp.names() == [
        REQUESTED,
        REQUESTED.replace("4602", "4604"),
        "store-1-01-order.cancellation_requested-unknown.json",
    ]


@pytest.mark.parametrize(
    ("account", "order_id", "stem"),
    [
        ("store", "SLR-1/2", "store-SLR-1%2F2"),
        ("store", "../../etc/passwd", "store-..%2F..%2Fetc%2Fpasswd"),
        (".store", "a b*?", "%2Estore-a%20b%2A%3F"),
        ("store", "ação", "store-a%C3%A7%C3%A3o"),
        ("my-store", "1-01", "my-store-1-01"),
    ],
)
def test_names_are_safe(erp, sink, account, order_id, stem):
    sink.deliver(replace(delivery(), account=account, order_id=order_id))
    assert erp.names() == [f"{stem}-order.ready.json"]


def test_a_long_name_is_cut_and_stays_unique(erp, sink):
    for end in ("a", "b"):
        sink.deliver(delivery(order_id="ç" * 99 + end))
    assert len(erp.names()) == 2
    assert all(len(name) <= 200 for name in erp.names())


def test_two_orders_that_would_need_one_name_both_arrive(erp, sink):
    first = replace(delivery(), account="a-b", order_id="1-01")
    second = replace(delivery(), account="a", order_id="b-1-01")
    sink.deliver(first)
    for _ in range(2):
        sink.deliver(second)
    whose = sorted((message["account"], message["orderId"]) for message, _ in erp.messages())
    assert whose == [("a", "b-1-01"), ("a-b", "1-01")]


class Killed(BaseException):
    """The process ends here."""


real_open = os.open


class Fate:
    """Whatever would change the disk after ``left`` more times does not any more, until the next life."""

    def __init__(self, left, monkeypatch):
        self.left = left
        self.dead = False
        for name in ("open", "write", "fsync", "rename", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, function):
        def call(*arguments, **options):
            if function is real_open and not arguments[1] & os.O_CREAT:  # it changes nothing
                return function(*arguments, **options)
            self.left -= 1
            if self.left < 0:
                self.dead = True
                raise Killed
            return function(*arguments, **options)

        return call


@pytest.mark.promise("P2", "P4")
@pytest.mark.parametrize("taking", ["all", "none", "the first"])
def test_a_death_at_any_instruction_doubles_and_loses_nothing(tmp_path, taking):
    """The story is told; a process dies at each instruction once, and another one repeats the delivery."""
    most = {"all": 10**9, "none": 0, "the first": 1}[taking]
    story = [delivery(kind, second) for second, kind in STORY]
    deaths = 0
    while True:
        folder = tmp_path / str(deaths)
        folder.mkdir()
        erp, died = Taker(folder, most), False
        with pytest.MonkeyPatch.context() as patch:
            fate = Fate(deaths, patch)
            for one in story[:3]:
                try:
                    open_sink(f"file://{folder}").deliver(one)
                except Killed:
                    died = True
                    fate.left = 10**9
                    erp.take()  # it does not wait for us
                    open_sink(f"file://{folder}").deliver(one)
                fate.left, left = 10**9, fate.left
                erp.take()
                fate.left = left
            fate.left = 10**9
        for one in story[:3]:
            open_sink(f"file://{folder}").deliver(one)
        names = erp.taken + sorted(path.name for path in folder.glob("*.json"))
        assert sorted(names) == sorted({READY, REQUESTED} | ({GOES_ON} if READY in erp.taken else set())), (
            deaths
        )
        open_sink(f"file://{folder}").deliver(story[3])
        assert not list(folder.glob("*order.ready*.json"))
        assert list((folder / ".vtexorders" / "pending").iterdir()) == []
        if not died:
            break
        deaths += 1
    assert deaths > 40


@pytest.mark.promise("P2", "P4")
def test_a_death_at_any_instruction_of_a_cancellation(tmp_path):
    deaths = 0
    while True:
        folder = tmp_path / str(deaths)
        folder.mkdir()
        sink = open_sink(f"file://{folder}")
        sink.deliver(delivery(second=1))
        with pytest.MonkeyPatch.context() as patch:
            fate = Fate(deaths, patch)
            with contextlib.suppress(Killed):
                sink.deliver(delivery(CANCELED, 4))
        names = {path.name for path in folder.glob("*.json")}
        assert names in ({READY}, set(), {END})  # never both
        open_sink(f"file://{folder}").deliver(delivery(second=1))  # a late repeat comes before ours
        assert len(list(folder.glob("*.json"))) <= 1
        open_sink(f"file://{folder}").deliver(delivery(CANCELED, 4))
        assert [path.name for path in folder.glob("*.json")] == [END]
        if not fate.dead:
            break
        deaths += 1
    assert deaths > 10


class Taker:
    """An ERP that takes so many files and no more."""

    def __init__(self, folder, most):
        self.folder = folder
        self.most = most
        self.taken = []

    def take(self):
        for path in sorted(self.folder.glob("*.json"))[: self.most - len(self.taken)]:
            self.taken.append(path.name)
            path.unlink()


@pytest.mark.promise("P2", "P4")
def test_a_file_that_was_noted_and_not_moved_is_finished_by_the_next_process(erp, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(spool.SpoolSink, "_publish", lambda *_: None)
        open_sink(erp.url).deliver(delivery(order_id="1-01"))
    assert erp.names() == []
    open_sink(erp.url).deliver(delivery(order_id="2-01"))
    assert erp.orders() == {"1-01", "2-01"}


def test_what_was_half_written_long_ago_is_thrown_away(erp, sink):
    sink.check()
    left = erp.folder / ".vtexorders" / "new" / "left"
    young = erp.folder / ".vtexorders" / "new" / "young"
    for path in (left, young):
        path.write_text('{"order": "maria')
    os.utime(left, (time.time() - 4000,) * 2)
    open_sink(erp.url).check()
    assert not left.exists()
    assert young.exists()


def test_a_memory_that_was_cut_off_in_a_line_goes_on(erp, sink):
    sink.deliver(delivery(order_id="1-01"))
    [memory] = [path for path in (erp.folder / ".vtexorders" / "known").iterdir() if path.stat().st_size]
    with memory.open("a") as file:
        file.write('["store", "1-01", "order.can')
    sink.deliver(delivery(CANCELED, 2))
    take(erp, END)
    open_sink(erp.url).deliver(delivery(CANCELED, 2))
    assert erp.names() == []
    assert memory.read_text().count("\n") == 3


@pytest.mark.promise("P2")
def test_many_threads_with_an_erp_that_takes_meanwhile(erp):
    taken = []
    story = [
        delivery(kind, second, order_id=str(n))
        for n in range(8)
        for second, kind in STORY[:3]
        for _ in range(4)
    ]
    with ThreadPoolExecutor(32) as threads:
        done = [threads.submit(open_sink(erp.url).deliver, one) for one in story]
        while not all(one.done() for one in done):
            for path in erp.folder.glob("*-order.ready.json"):
                with contextlib.suppress(FileNotFoundError):  # withdrawn just now, for a newer one
                    path.rename(path.with_suffix(".taken"))
                    taken.append(path.name)
    assert [one.result() for one in done] == [None] * len(story)
    names = taken + [path.name for path in erp.folder.glob("*-order.ready.json")]
    assert sorted(names) == sorted({f"store-{n}-order.ready.json" for n in range(8)})


# What can be wrong with a folder


def raising(number):
    def raises(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return raises


def test_a_missing_folder_is_not_made(tmp_path):
    sink = open_sink(f"file://{tmp_path}/drive/orders")
    for call in (sink.check, lambda: sink.deliver(delivery())):
        with pytest.raises(errors.AccessDenied, match=r"orders: No such file or directory \(make it"):
            call()
    assert not (tmp_path / "drive").exists()
    (tmp_path / "drive" / "orders").mkdir(parents=True)
    sink.check()
    sink.deliver(delivery())


def test_a_file_in_its_place(tmp_path):
    (tmp_path / "orders").write_text("")
    with pytest.raises(errors.AccessDenied, match="Not a directory"):
        open_sink(f"file://{tmp_path}/orders").check()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_nobody_may_write_to(erp, sink, monkeypatch, number):
    sink.check()
    monkeypatch.setattr(os, "rename", raising(number))
    for call in (sink.check, lambda: sink.deliver(delivery())):
        with pytest.raises(errors.AccessDenied, match=r"Read-only|Permission") as caught:
            call()
        assert caught.value.__context__ is None


@pytest.mark.parametrize("where", ["file", "memory"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_tried_again_later_and_leaves_nothing_half_done(erp, sink, monkeypatch, number, where):
    sink.check()
    with monkeypatch.context() as patch:
        if where == "file":
            patch.setattr(os, "fsync", raising(number))
        else:
            patch.setattr(spool_memory, "_write", raising(number))
        with pytest.raises(errors.Unavailable, match="spool folder"):
            sink.deliver(delivery())
        assert erp.names() == []
        assert list((erp.folder / ".vtexorders" / "new").iterdir()) == []
    sink.deliver(delivery())
    assert erp.names() == [READY]


def test_a_hidden_part_that_was_removed_is_made_again(erp, sink):
    import shutil

    sink.deliver(delivery(order_id="1-01"))
    shutil.rmtree(erp.folder / ".vtexorders")
    sink.deliver(delivery(order_id="2-01"))
    assert erp.orders() == {"1-01", "2-01"}


def test_who_waits_too_long_tries_again_later(erp, sink, monkeypatch):
    sink.check()
    monkeypatch.setattr(spool_memory, "WAIT_SECONDS", 0.0)
    with (
        spool_places.places(erp.folder) as at,
        spool_memory.history_of(at.known, "store", "1-01"),
        pytest.raises(errors.Unavailable, match="too many deliveries are waiting"),
    ):
        sink.deliver(delivery())
    sink.deliver(delivery())


def test_half_a_character_is_about_the_order(erp, sink):
    with pytest.raises(errors.Rejected, match="half a character") as caught:
        sink.deliver(delivery(more='"\ud800"'))
    assert caught.value.__context__ is None
    assert erp.names() == []


def test_an_unknown_type_of_delivery_is_refused(sink):
    with pytest.raises(errors.Invalid, match=r"order\.lost"):
        sink.deliver(replace(delivery(), type="order.lost"))


@pytest.mark.parametrize("url", ["file://", "file:///", "file://orders", "file:orders", "file:///a%00b"])
def test_addresses_that_name_no_folder(url):
    with pytest.raises(errors.Invalid, match="full path"):
        open_sink(url)


def test_spaces_and_escapes_in_the_address(tmp_path):
    (tmp_path / "my orders").mkdir()
    for address in ("my orders", "my%20orders"):
        open_sink(f"file://{tmp_path}/{address}").check()


@pytest.fixture
def elsewhere(tmp_path):
    """A folder of somebody's that nothing of ours may touch, with an old file in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("precious", ".check-old", "a.jsonl", "order.json"):
        (folder / name).write_text('{"account": "store", "orderId": "1-01"}')
        os.utime(folder / name, (1, 1))
    return folder


def contents(folder):
    return {path.name: (path.read_text(), path.stat().st_mtime) for path in folder.iterdir()}


@pytest.mark.parametrize("part", ["", "pending", "new", "known"])
@pytest.mark.parametrize("again", [False, True], ids=["before", "afterwards"])
def test_a_link_in_place_of_the_hidden_part_is_not_followed(erp, sink, elsewhere, part, again):
    for name in ("pending", "new", "known"):
        if not part:
            (elsewhere / name).mkdir()
            (elsewhere / name / "old").write_text("precious")
            os.utime(elsewhere / name / "old", (1, 1))
    hidden = erp.folder / ".vtexorders"
    if again:
        sink.deliver(delivery(order_id="2-01"))
        (hidden / part).rename(erp.folder / "away")
    elif part:
        hidden.mkdir()
    before = {
        path: contents(path)
        for path in (elsewhere, *elsewhere.iterdir())
        if path.is_dir() and path != elsewhere
    }
    files = {name.name: name.read_text() for name in elsewhere.iterdir() if name.is_file()}
    (hidden / part if part else hidden).symlink_to(elsewhere)
    for call in (
        sink.check,
        lambda: sink.deliver(delivery()),
        lambda: open_sink(erp.url).check(),
        lambda: sink.expire(time.time()),
        lambda: sink.forget("store", "1-01"),
    ):
        with pytest.raises(errors.AccessDenied, match="is no folder but a link or a file: remove it"):
            call()
    assert {name.name: name.read_text() for name in elsewhere.iterdir() if name.is_file()} == files
    assert {path: contents(path) for path in before} == before
    assert not [name for name in erp.names() if "1-01" in name]


def test_links_among_the_files_are_not_followed(erp, sink, elsewhere):
    sink.check()
    hidden = erp.folder / ".vtexorders"
    before = contents(elsewhere)
    for name in [f"{number:02x}.jsonl" for number in range(256)]:
        (hidden / "known" / name).symlink_to(elsewhere / "a.jsonl")
    with pytest.raises(errors.AccessDenied, match="no plain file but a link"):
        sink.deliver(delivery())
    for name in [f"{number:02x}.jsonl" for number in range(256)]:
        (hidden / "known" / name).unlink()
        (hidden / "known" / name).hardlink_to(elsewhere / "a.jsonl")
    with pytest.raises(errors.AccessDenied, match="hard link"):
        sink.deliver(delivery())
    for name in [f"{number:02x}.jsonl" for number in range(256)]:
        (hidden / "known" / name).unlink()
    for name in ("pipe.json", READY):
        os.mkfifo(erp.folder / name)  # to read it would wait for ever
    (erp.folder / "link.json").symlink_to(elsewhere / "order.json")
    os.utime(erp.folder / "link.json", (1, 1), follow_symlinks=False)
    (hidden / "new" / "folder").mkdir()
    os.utime(hidden / "new" / "folder", (1, 1))
    assert sink.expire(time.time() + 60) == 0
    open_sink(erp.url).deliver(delivery())
    assert (erp.folder / READY).is_file()
    assert contents(elsewhere) == before
