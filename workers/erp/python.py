"""A sink that somebody else wrote: ``ERP_URL=python:module:factory``.

It runs in our workers, so nothing that it raises may lose an order, stop a worker, or bring a customer's data
into a log: what is not one of :mod:`workers.errors` is something that will pass, told by its kind and place.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from workers import errors
from workers.people import fit_to_print

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from workers.erp.sink import Delivery, Sink, SinkOptions

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"python:([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)", re.ASCII)
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_METHODS = ("deliver", "check", "close")
#: Whatever a foreign module does: sys.exit() in it must not end a worker.
_ANYTHING = (Exception, SystemExit)


def is_address(url: str) -> bool:
    """Whether it names a module and a factory."""
    return _ADDRESS.fullmatch(url) is not None


def open_sink(url: str, options: SinkOptions) -> Sink:
    """See :func:`workers.erp.sink.open_sink`. The module is looked for in the working directory, too."""
    address = _ADDRESS.fullmatch(url)
    if not address:
        raise errors.Invalid("must look like python:module:factory")
    module, path = address.groups()
    name = f"{module}:{path}"
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last: it must not hide an installed package
    factory: Any = _import(module)
    for part in path.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        raise errors.Invalid(f"the module {module} has no function {path}")
    secrets = (options.token.reveal(), *options.signing_secret.reveal().split())
    sink = _guarded(name, lambda: factory(options), "", secrets, errors.Invalid)
    for method in _METHODS:
        if not callable(getattr(sink, method, None)):
            raise errors.Invalid(f"what {name} returns has no method {method}()")
        if inspect.iscoroutinefunction(getattr(sink, method)):
            raise errors.Invalid(f"{name}: {method}() must be a plain function, not async")
    return PythonSink(name, cast("Sink", sink), secrets)


class PythonSink:
    """Stands between the workers and a foreign sink."""

    def __init__(self, name: str, sink: Sink, secrets: tuple[str, ...]) -> None:
        self._name = name
        self._sink = sink
        self._secrets = secrets

    def __repr__(self) -> str:
        return f"<PythonSink: {self._name}>"

    def deliver(self, delivery: Delivery) -> None:
        """See :class:`workers.erp.sink.Sink`."""
        _guarded(self._name, lambda: self._sink.deliver(delivery), delivery.document, self._secrets)

    def check(self) -> None:
        """See :class:`workers.erp.sink.Sink`."""
        _guarded(self._name, self._sink.check, "", self._secrets)

    def close(self) -> None:
        """See :class:`workers.erp.sink.Sink`; that it fails is nobody's problem any more."""
        try:
            self._sink.close()
        except _ANYTHING as error:
            log.warning("%s: close() failed: %s", self._name, _kind_and_place(error))


def _import(module: str) -> ModuleType:
    problem = ""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if module == missing or module.startswith(f"{missing}."):
            problem = f"there is no module {missing}, neither installed nor in the working directory"
        else:
            problem = f"the module {module} needs the module {missing}, which is not installed"
    except _ANYTHING as error:
        problem = f"the module {module} cannot be imported: {_kind_and_place(error)}"
    raise errors.Invalid(problem)


def _guarded(
    name: str,
    call: Callable[[], object],
    document: str,
    secrets: tuple[str, ...],
    otherwise: type[errors.OrderLinkError] = errors.Unavailable,
) -> object:
    """Call it; only errors of ours come out, fit for a log, and without the one that they were made of."""
    try:
        return call()
    except errors.OrderLinkError as error:
        failure = _translated(error, fit_to_print(str(error), document, secrets))
    except _ANYTHING as error:
        failure = otherwise(f"{name} failed: {_kind_and_place(error)}")
    raise failure


def _translated(error: errors.OrderLinkError, words: str) -> errors.OrderLinkError:
    after = error.after if isinstance(error, errors.Retryable) else None
    if isinstance(error, errors.RateLimited):  # ours is about the pace at VTEX
        return errors.Unavailable(words, after=after)
    ours = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    if issubclass(ours, errors.Retryable):
        return ours(words, status=error.status, code=error.code, after=after)
    if issubclass(ours, errors.Permanent):
        return ours(words, status=error.status, code=error.code)
    return errors.Unavailable(words)


def _kind_and_place(error: BaseException) -> str:
    """What it is and where, but not what it says: that may quote the order."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__} in {Path(error.filename).name}, line {error.lineno}"
    places = traceback.extract_tb(error.__traceback__)
    # The last line that somebody wrote for this ERP, not the library's that it called.
    theirs = [place for place in places if place.filename != __file__ and not _is_library(place.filename)]
    for place in (theirs or places)[-1:]:
        return f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    return type(error).__name__


def _is_library(file: str) -> bool:
    return file.startswith((*_LIBRARIES, "<"))
