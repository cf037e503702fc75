"""Several stores in one installation: their backlogs at once, beside one store that has as many orders alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workers.bench import usage
from workers.bench.contenders import ours
from workers.bench.race import fresh, problems, sandbox, watch
from workers.sandbox.config import SandboxConfig
from workers.sandbox.process import SandboxProcess


@dataclass(frozen=True, slots=True)
class Served:
    """``orders`` are those of all stores together; ``each`` has the orders a second of every store by itself."""

    stores: int
    latency: float
    orders: int
    processes: int
    per_second: float
    each: list[float]
    cpu_ms: float
    redis_ms: float
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run(folder: Path, stores: int, orders: int, latency: float, processes: int) -> Served:
    """Let ours work off the backlogs of so many stores, ``orders`` each, and a stand-in VTEX each."""
    fresh(folder)
    with ExitStack() as stack:
        shops = [stack.enter_context(SandboxProcess(_shop(number, latency))) for number in range(stores)]
        accounts = folder / "accounts.toml"
        accounts.touch(mode=0o600)  # it has credentials
        accounts.write_text("".join(map(_table, shops)))
        runner = stack.enter_context(
            ours(folder, "", processes, ACCOUNTS_FILE="accounts.toml", **dict.fromkeys(_OF_ONE, ""))
        )
        watchers = stack.enter_context(ThreadPoolExecutor(stores))
        list(watchers.map(lambda shop: shop.create(orders), shops))
        cpu, redis_cpu = usage.of_all(runner.workers).cpu, usage.of_all(runner.redis).cpu
        times = list(watchers.map(lambda shop: watch(shop, orders), shops))
        cpu, redis_cpu = usage.of_all(runner.workers).cpu - cpu, usage.of_all(runner.redis).cpu - redis_cpu
        audits = [shop.audit(per_order=False) for shop in shops]
    began, ended = min(first for first, _ in times), max(last for _, last in times)
    total = orders * stores
    return Served(
        stores,
        latency,
        total,
        processes,
        per_second=total / (ended - began),
        each=[orders / (last - first) for first, last in times],
        cpu_ms=cpu * 1000 / total,
        redis_ms=redis_cpu * 1000 / total,
        problems=[problem for audit in audits for problem in problems(audit, orders)],
    )


#: Settings that several stores have each for itself.
_OF_ONE = ("VTEX_ACCOUNT", "VTEX_APP_KEY", "VTEX_APP_TOKEN", "VTEX_BASE_URL")


def _shop(number: int, latency: float) -> SandboxConfig:
    name = f"store{number + 1}"
    return sandbox(
        latency, account=name, app_key=f"key-of-{name}", app_token=f"token-of-{name}", seed=number + 1
    )


def _table(shop: SandboxProcess) -> str:
    config = shop.config
    lines = (
        f"[{config.account}]",
        f'app_key = "{config.app_key}"',
        f'app_token = "{config.app_token}"',
        f'base_url = "{shop.url}"',
    )
    return "".join(f"{line}\n" for line in lines)
