"""How networks are run: device, memory layout, precision, threads, and the update after a loss.

The phases know nothing of these; what several processes share is `ranks`.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from terse.errors import RecipeError
from terse.process import launched, torch_defaults
from terse.recipe_parts import OptimizerConfig, RuntimeConfig
from terse.training.optimizers import clip_gradient
from terse.training.ranks import Ranks
from terse.training.scaling import Scales, require_float32
from terse.workers import usable_cores

__all__ = ["Engine", "process_kept"]

Network = TypeVar("Network", bound=nn.Module)

_ONE_RUN = threading.RLock()
_SMALL_BATCH_PX, _SMALL_IMAGE_PX = 1 << 18, 64


class Engine:
    """Where and how fast a run computes; never what it computes.

    `ranks` are this process and the others of the run; the one with rank 0 writes.

    Raises:
        RecipeError: no such device, or none on this machine.

    Source: ours.
    """

    def __init__(self, runtime: RuntimeConfig | None = None, ranks: Ranks | None = None) -> None:
        self._runtime = runtime or RuntimeConfig(device="cpu")
        self.ranks = ranks or Ranks()
        self.device = torch.device(_device(self._runtime.device, self.ranks))
        self.scales = Scales(self.device, on=self._runtime.precision == "float16")
        self._networks: list[nn.Module] = []
        self._narrow: tuple[torch.dtype | None] | None = None

    def prepare(self, module: Network) -> Network:
        """Move a player's network to the device and to channels-last layout, in place; the same object is returned.

        Call it once, where the player is built. Kernels for the two layouts round differently, so a network whose
        layout depended on the phases it went through would train to other weights after a resume. Loading a
        `state_dict` copies values only and keeps the layout. Channels-last is the faster one for convolutions.
        """
        if self._runtime.precision == "float16":
            require_float32(module)
        module.to(self.device)
        module.to(memory_format=torch.channels_last)
        self.ranks.align(module)
        self._networks.append(module)
        return module

    @property
    def rank(self) -> int:
        """The number of this process."""
        return self.ranks.number

    def align(self) -> None:
        """Give every network the weights and buffers of the first process: rounding drifts apart on some devices."""
        for module in self._networks:
            self.ranks.align(module)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Networks in bfloat16 where the machine has units for it, or as the recipe says; compositing stays outside."""
        dtype = self._dtype()
        if dtype is None:
            yield
            return
        try:
            with torch.autocast(self.device.type, dtype):
                yield
        finally:  # torch itself keeps weights from before an update while a caller's autocast is open
            torch.clear_autocast_cache()

    def _dtype(self) -> torch.dtype | None:
        """What networks run in; None is float32."""
        if self._narrow is None:
            self._narrow = (_narrow(self._runtime.precision, self.device, self._networks),)
        return self._narrow[0]

    def use_threads(self, pixels: int) -> None:
        """One thread for a small batch, all cores for a large one (measured: docs/decisions/002-threads.md)."""
        if self.device.type == "cpu":
            asked = self._runtime.threads or _threads_of_environment()
            cores = max(1, usable_cores() // launched().count_here)
            torch.set_num_threads(asked or (1 if pixels < _SMALL_BATCH_PX else cores))

    def use_threads_to_learn(self, images: int, side_px: int) -> None:
        """As `use_threads`, for a batch that weights learn from; small images in bfloat16 take one thread.

        Threads that share a gradient of weights in bfloat16 wait for each other by spinning, twice an image where
        feature maps are small: 30 times slower where one of them has no core for itself.
        """
        spins = side_px < _SMALL_IMAGE_PX and self._dtype() is torch.bfloat16
        self.use_threads(0 if spins else images * side_px**2)

    def update(
        self, player: str, loss: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer, settings: OptimizerConfig
    ) -> None:
        """One step of a player's optimiser down the gradient of the loss, clipped as the recipe says.

        The gradients of all processes are added: each gives a loss of the whole batch, whose gradient is that of its own
        images (`Ranks.mean`, `Ranks.rows`).
        """
        optimizer.zero_grad()
        self.scales.backward(player, loss)
        self.ranks.sum_gradients(module)
        self.scales.step(player, optimizer, partial(clip_gradient, module, settings))


@contextmanager
def process_kept() -> Iterator[None]:
    """Give the process back torch's threads and random numbers as they were: what calls a run may go on computing.

    Inside, torch is as it is when it has just been imported (`terse.process.torch_defaults`), and no other thread's run
    computes: all draw from the random numbers of the process, so it waits.

    Source: ours.
    """
    with _ONE_RUN:
        before = torch.get_num_threads()
        try:
            with torch_defaults(), torch.random.fork_rng(range(torch.cuda.device_count())):
                yield
        finally:
            torch.set_num_threads(before)


def _threads_of_environment() -> int:
    """What `OMP_NUM_THREADS` asks for at the outermost level (`4,2` is 4); 0 where it asks for nothing that is known."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def _device(name: str, ranks: Ranks) -> str:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not ranks.alone:
        name = f"cuda:{ranks.number_here}"
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not number.isdecimal()):
        raise RecipeError(f"runtime.device: expected cpu, cuda, cuda:N or mps, got {name!r}")
    if kind == "cuda" and not torch.cuda.device_count() > int(number or 0):
        raise RecipeError(f"runtime.device: expected a CUDA device to be there, got {name!r}; use cpu or auto")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise RecipeError(f"runtime.device: expected an MPS device to be there, got {name!r}; use cpu or auto")
    return name


def _narrow(precision: str, device: torch.device, networks: list[nn.Module]) -> torch.dtype | None:
    """What networks run in; None is float32.

    Not on a CPU with grouped convolutions: the gradient of a strided depthwise one, channels last, now and then
    holds uninitialised memory there (seen with torch 2.15), and bfloat16 makes them no faster.
    """
    if precision != "auto":
        return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    grouped = any(isinstance(part, nn.Conv2d) and part.groups > 1 for net in networks for part in net.modules())
    units = device.type == "cpu" and not grouped and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if units else None
