"""Advice for whoever serves several stores: the commands in it name the store."""

from __future__ import annotations

import re

_OF_A_STORE = re.compile(
    r"(vtexorders (?:check|dead|status|order|replay|redeliver|reconcile|pause|resume"
    r"|(?:feed|hook) (?:show|configure|delete|oddities)))\b(?! --account)"
)


def advice(do: str, account: str, *, several: bool) -> str:
    """``vtexorders feed configure`` becomes ``vtexorders feed configure --account NAME``."""
    return _OF_A_STORE.sub(rf"\1 --account {account}", do) if several and account else do
