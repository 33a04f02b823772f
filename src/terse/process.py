"""What has to be set before torch starts its threads and the allocator its arenas."""

import ctypes
import os
import sys

__all__ = ["prepare_process"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 1 << 28


def prepare_process() -> None:
    """Let idle OpenMP threads sleep, and let freed memory be used again; of every process that computes.

    Spinning threads beside another job ran 70 times slower. glibc hands each large buffer back to the system
    and takes it anew, zeroed page by page: a third of a small network's step (docs/decisions/002-threads.md), a tenth of a composite.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
            libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
