"""What has to be set before torch starts its threads and the allocator its arenas; the processes of a launcher."""

import ctypes
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Literal

__all__ = ["Launched", "arrow_without_pandas", "launched", "prepare_process", "torch_defaults"]

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


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Torch as it is when it has just been imported, whatever the caller has set, who has it back in the end.

    That is float32, the CPU, gradients and no autocast: by the caller's a run would be another, or end in a traceback.
    """
    torch = sys.modules.get("torch")
    if torch is None:  # nothing has been set
        yield
        return
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def arrow_without_pandas() -> None:
    """Let pyarrow do without pandas, which it imports with its first array wherever it is installed: 0.2 to 0.4 s.

    Where code of a user's imports pandas later, pyarrow learns of it then, and takes a Series for one again.
    """
    if "pandas" in sys.modules or any(isinstance(finder, _PandasLater) for finder in sys.meta_path):
        return
    import pyarrow as pa

    later = _PandasLater()
    sys.meta_path.insert(0, later)
    try:
        pa.array([])  # looks for pandas, and never again by itself
    finally:
        later.answer = "next"


class _PandasLater(MetaPathFinder):
    """Finds no pandas at first; later the installed one, and tells pyarrow of it when it is imported."""

    answer: Literal["none", "next", "pass"] = "none"

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Leave every other module to the next finder."""
        if fullname != "pandas" or self.answer == "pass":
            return None
        if self.answer == "none":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        self.answer = "pass"  # `importlib` asks this finder once more
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.answer = "next"
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._execute, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _execute(self, execute: Callable[[ModuleType], None], pandas: ModuleType) -> None:
        import pyarrow as pa

        execute(pandas)
        self.answer = "pass"
        pa.Table.from_pandas(pandas.DataFrame())  # looks for pandas once more


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
