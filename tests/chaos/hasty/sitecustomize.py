"""Shorter waits for the short run: leases, patience, and the looks that make sure of a lost answer.

Python runs this file at the start of every process that has its folder in PYTHONPATH. The long run uses the
program as it is.
"""

from tests import after_import


def ledger(module):
    """A claim ends after 4 s, and a message is missed after 5."""
    init = module.Ledger.__init__

    def hasty(self, *args, **options):
        init(self, *args, **options)
        self.lease, self.patience = 4.0, 5.0

    module.Ledger.__init__ = hasty


def command(module):
    module.ABSENT_AFTER, module.ABSENT_GAP, module.WAIT = 3.0, 1.0, (1.0, 2.0, 4.0)
    module.PAUSE_SECONDS = 2.0


def base(module):
    module.PAUSE_SECONDS = 2.0


def runtime(module):
    module.PROBE_SECONDS = 2.0


def policy(module):
    policy = module.Policy
    module.Policy = lambda **options: policy(**{"longest": 4.0} | options)


def heartbeat(module):
    module.EVERY, module.EXPIRES = 1.0, 3


after_import.change(
    {
        "workers.ledger": ledger,
        "tasks.command": command,
        "tasks.base": base,
        "workers.runtime": runtime,
        "workers.policy": policy,
        "workers.heartbeat": heartbeat,
    }
)
