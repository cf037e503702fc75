"""How Python runs in a worker process: many threads, nearly all of which wait for the network."""

from __future__ import annotations

import gc
import sys

#: Seconds after which a thread that computes is asked to let another one go on; Python's own is 0.005. A step
#: computes for less between two waits, and each change of threads in between costs more than it brings.
SWITCH_SECONDS = 0.02
#: New objects until the first, the second and the third generation are searched for cycles; Python's own are 700, 10,
#: 10. A step makes thousands, hardly any in a cycle.
THRESHOLDS = (20_000, 20, 20)
#: What a process must be started with. glibc keeps freed memory of 64 sizes for each thread: of a worker's 70 threads
#: that grows for hours, by 15 MB, and brings nothing where one thread runs at a time (measured: no difference).
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


def settle() -> None:
    """All is imported and built: from now on it is not searched again, and threads change less often."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
