"""A foreign sink: how it is found, and that nothing it does can lose an order or tell a customer's data."""

import sys
import textwrap

import pytest

from workers import errors
from workers.erp.contract import delivery
from workers.erp.sink import SinkOptions, open_sink
from workers.settings import Secret

GOOD = """
    from workers import errors
    class Sink:
        def deliver(self, delivery): {deliver}
        def check(self): {check}
        def close(self): {close}
    def factory(options):
        return Sink()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the working directory and answers its address; undone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = []

    def write(source=GOOD, name="foreign", factory="factory", **bodies):
        bodies = {"deliver": "pass", "check": "pass", "close": "pass"} | bodies
        text = textwrap.dedent(source)
        for part, body in bodies.items():
            text = text.replace(f"{{{part}}}", body)
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        written.append(name)
        sys.modules.pop(name, None)
        return f"python:{name}:{factory}"

    yield write
    for name in written:
        sys.modules.pop(name, None)


def test_a_good_one_gets_its_options(module):
    url = module(
        """
        seen = []
        class Sink:
            def deliver(self, delivery): seen.append(delivery.key)
            def check(self): seen.append("check")
            def close(self): seen.append("close")
        class Factories:
            @staticmethod
            def mine(options):
                seen.append((options.token.reveal(), options.timeout, options.threads))
                return Sink()
        """,
        factory="Factories.mine",
    )
    sink = open_sink(url, pool=7, options=SinkOptions(token=Secret("t"), timeout=3.0))
    sink.check()
    sink.deliver(delivery())
    sink.close()
    assert sys.modules["foreign"].seen == [("t", 3.0, 7), "check", "store:1-01:order.ready", "close"]
    assert repr(sink) == "<PythonSink: foreign:Factories.mine>"


@pytest.mark.parametrize(
    ("source", "address", "words"),
    [
        (
            "",
            "python:nowhere:factory",
            "there is no module nowhere, neither installed nor in the working directory",
        ),
        ("", "python:foreign.inner:factory", "there is no module foreign.inner"),
        ("", "python:foreign:factory", "the module foreign has no function factory"),
        ("factory = 5", "python:foreign:factory", "the module foreign has no function factory"),
        (
            "import nowhere_else",
            "python:foreign:factory",
            "needs the module nowhere_else, which is not installed",
        ),
        ("x = (", "python:foreign:factory", "cannot be imported: SyntaxError in foreign.py, line 1"),
        (
            "\n\n1 / 0",
            "python:foreign:factory",
            "cannot be imported: ZeroDivisionError in foreign.py, line 3",
        ),
        (
            "import sys\nsys.exit(3)",
            "python:foreign:factory",
            "cannot be imported: SystemExit in foreign.py, line 2",
        ),
        ("def factory(): pass", "python:foreign:factory", "foreign:factory failed: TypeError"),
        (
            "def factory(o):\n    raise KeyError('hush')",
            "python:foreign:factory",
            "KeyError in foreign.py, line 2",
        ),
        ("def factory(o): pass", "python:foreign:factory", "returns has no method deliver"),
        (
            "class S:\n    async def deliver(self, d): pass\nfactory = lambda o: S()",
            "python:foreign:factory",
            "deliver\\(\\) must be a plain function, not async",
        ),
        (
            "from workers.errors import Invalid\ndef factory(o):\n    raise Invalid('MY_ERP is missing')",
            "python:foreign:factory",
            "^MY_ERP is missing$",
        ),
        ("", "python:foreign", "must look like"),
        ("", "python:a/b:c", "must look like"),
        ("", "python:foreign:factory()", "must look like"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(module, source, address, words):
    module(source)
    with pytest.raises(errors.Invalid, match=words) as caught:
        open_sink(address)
    assert caught.value.__context__ is None
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raises", "kind", "words"),
    [
        (
            "KeyError('maria@example.com')",
            errors.Unavailable,
            "foreign:factory failed: KeyError in foreign.py, line ",
        ),
        ("SystemExit('maria@example.com')", errors.Unavailable, "failed: SystemExit in foreign.py"),
        ("errors.Rejected('no SKU for maria@example.com')", errors.Rejected, "no SKU for ***"),
        ("errors.Rejected('canary-token')", errors.Rejected, "***"),
        ("errors.AccessDenied('wrong\\npassword')", errors.AccessDenied, "wrong password"),
        ("errors.RateLimited('slowly', status=429, after=9)", errors.Unavailable, "slowly"),
        ("errors.Unavailable('later', after=9)", errors.Unavailable, "later"),
        ("errors.NotYet('soon')", errors.NotYet, "soon"),
        ("errors.OrderLinkError('odd')", errors.Unavailable, "odd"),
        ("type('Mine', (errors.Conflict,), {})('twice')", errors.Conflict, "twice"),
        ("__import__('json').loads('{maria')", errors.Unavailable, "failed: JSONDecodeError in foreign.py"),
        (
            "__import__('redis').RedisError('ours is fine')",
            errors.Unavailable,
            "failed: RedisError in foreign.py",
        ),
    ],
)
def test_what_it_raises_becomes_one_of_ours(module, raises, kind, words):
    url = module(deliver=f"raise {raises}", check=f"raise {raises}")
    sink = open_sink(url, options=SinkOptions(token=Secret("canary-token")))
    for call in (sink.check, lambda: sink.deliver(delivery(more='"maria@example.com"'))):
        with pytest.raises(errors.OrderLinkError) as caught:
            call()
        assert type(caught.value) is kind
        assert words in str(caught.value)
        assert "maria" not in str(caught.value)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        if "after=9" in raises:
            assert caught.value.after == 9


def test_ctrl_c_is_nobodys_error(module):
    sink = open_sink(module(deliver="raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        sink.deliver(delivery())


def test_a_close_that_fails_is_told_and_no_more(module, caplog):
    open_sink(module(close="raise ValueError('maria')")).close()
    assert "close() failed: ValueError in foreign.py" in caplog.text
    assert "maria" not in caplog.text
