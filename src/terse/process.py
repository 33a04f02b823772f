"""What has to be set before torch starts its threads and the allocator its arenas; the processes of a launcher."""

import ctypes
import os
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder

__all__ = ["Launched", "arrow_without_pandas", "launched", "prepare_process"]

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


def arrow_without_pandas() -> None:
    """Let pyarrow do without pandas, which it imports with its first array wherever it is installed: 0.2 to 0.4 s.

    For processes of ours alone, which hand it lists and arrays: in one that has done this, pyarrow takes a Series of
    pandas for any sequence. Tables still become data frames.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    refusing = _WithoutPandas()
    sys.meta_path.insert(0, refusing)
    try:
        pa.array([])  # looks for pandas, and never again
    finally:
        sys.meta_path.remove(refusing)


class _WithoutPandas(MetaPathFinder):
    """Finds no pandas."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse pandas, and leave every other module to the next finder."""
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@dataclass(frozen=True, slots=True)
class Launched:
    """This process among those that a launcher began for one job; the only one by default."""

    rank: int = 0
    count: int = 1
    rank_here: int = 0  # among those on this machine
    count_here: int = 1


def launched() -> Launched:
    """What `torchrun` and `accelerate launch` say in the environment."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    given = [os.environ.get(name, "") for name in names]
    if not given[0].isdigit() or not given[1].isdigit() or int(given[1]) < 2:
        return Launched()
    rank, count = int(given[0]), int(given[1])
    here = (int(given[2]) if given[2].isdigit() else rank, int(given[3]) if given[3].isdigit() else count)
    return Launched(rank, count, *here)
