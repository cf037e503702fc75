"""Changes modules right after they were run: for the ``sitecustomize`` that a test gives to the processes it starts."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys


def change(changes):
    """``{module's name: function of the module}``, each called once, when that module was imported."""
    sys.meta_path.insert(0, _Finder(dict(changes)))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, changes):
        self._changes = changes

    def find_spec(self, name, path, target=None):
        change = self._changes.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec
