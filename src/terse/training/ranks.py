"""The processes of one run: which part of every batch is this one's, and what they tell one another.

Every process holds all players and goes through the same steps. What is random is drawn for the whole batch by each;
a process then computes its own images, and what the others found is put together in the order of the batch. So nothing
that is decided depends on the number of processes, and no network is wrapped: gradients are summed after `backward`.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, distributed, nn

from terse.errors import RecipeError, RunError, TerseError
from terse.placements import Placements
from terse.process import Launched, launched
from terse.types import Truth

__all__ = ["RankLost", "Ranks", "Share", "speaks_of"]

Value = TypeVar("Value")
Rows = TypeVar("Rows", Placements, Truth)


class RankLost(RunError):
    """Another process of the run ended, so that this one cannot go on.

    Source: ours.
    """

    def __init__(self) -> None:
        super().__init__(
            "processes: expected all processes of the run to live, got one that ended; its own message, if it could write "
            "one, says why; start them again with `resume`, which goes on from the last checkpoint with any number of them"
        )


@dataclass(frozen=True, slots=True)
class Share:
    """The images of a batch that one process computes: every so manieth, beginning with its own number.

    Where a batch has less than two images for each process, the first ones share it: BatchNorm cannot train on one. The
    others then compute what the first does, and count nothing.

    Attributes:
        number: of the process.
        sharing: how many share the batch.
        total: how many images the batch has.

    Source: ours.
    """

    number: int
    sharing: int
    total: int

    @classmethod
    def of_all(cls, total: int) -> "Share":
        """Of one process: all of them."""
        return cls(0, 1, total)

    @property
    def counts(self) -> bool:
        """Whether anything depends on what this process finds."""
        return self.number < self.sharing

    @property
    def rows(self) -> Int64[np.ndarray, " own"]:
        """Which images of the batch."""
        return self._of(self.number if self.counts else 0)

    def _of(self, number: int) -> Int64[np.ndarray, " of_one"]:
        return np.arange(number, self.total, self.sharing)

    def whole(self, parts: Sequence[Rows]) -> Rows:
        """The batch in its own order, from the part of each process."""
        joined: Any = type(parts[0]).join(parts[: self.sharing])
        found: Rows = joined.take(self._order)
        return found

    def whole_array(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The same of arrays with a row an image."""
        joined: np.ndarray = np.concatenate(parts[: self.sharing])[self._order]
        return joined

    @property
    def _order(self) -> Int64[np.ndarray, " total"]:
        """Where each image of the batch stands when the parts are put one behind the other."""
        return np.argsort(np.concatenate([self._of(number) for number in range(self.sharing)]))


class Ranks:
    """This process and the others of its run; alone by default.

    Attributes:
        number: of this process; the one with 0 writes and speaks.
        count: how many there are.
        number_here: of this process among those on its machine.

    Source: ours; the averaging of gradients after Goyal et al. 2017.
    """

    def __init__(self, where: Launched | None = None) -> None:
        where = where or Launched()
        self.number, self.count, self.number_here = where.rank, where.count, where.rank_here

    @classmethod
    def join(cls, device: str) -> "Ranks":
        """The processes that `torchrun` or `accelerate launch` began this one with, connected to each other.

        Raises:
            RecipeError: a device that processes cannot share.
            RankLost: they cannot be reached.
        """
        ranks = cls(launched())
        if ranks.count > 1 and not distributed.is_initialized():
            if device == "mps":
                raise RecipeError("runtime.device: expected cpu or cuda for several processes, got mps")
            cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
            with _lost(), _stdout_is_ours():
                distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        return ranks

    @staticmethod
    def leave() -> None:
        """End the connection, where there is one."""
        if distributed.is_initialized():
            distributed.destroy_process_group()

    @property
    def alone(self) -> bool:
        """Whether this process is the only one."""
        return self.count == 1

    def share(self, total: int) -> Share:
        """Which images of a batch are this process's."""
        return Share(self.number, 1 if self.alone else max(1, min(self.count, total // 2)), total)

    def wait(self) -> None:
        """Until all processes are here."""
        if not self.alone:
            with _lost():
                distributed.barrier()

    def any(self, flag: bool) -> bool:
        """Whether it is so for one of the processes."""
        if self.alone:
            return flag
        told = torch.tensor(int(flag))
        with _lost():
            distributed.all_reduce(told)
        return bool(told)

    def each(self, value: Value) -> list[Value]:
        """What every process gives, in the order of their numbers."""
        found: list[Any] = [value]
        if not self.alone:
            found *= self.count
            with _lost():
                distributed.all_gather_object(found, value)
        return found

    def first(self, value: Value) -> Value:
        """What the first process gives."""
        found: list[Any] = [value]
        if not self.alone:
            with _lost():
                distributed.broadcast_object_list(found)
        return found[0]  # type: ignore[no-any-return]

    def mean(self, loss: Float[Tensor, ""], weight: float, share: Share) -> Float[Tensor, ""]:
        """The loss of the whole batch, whose gradient here is that of this process's images.

        Args:
            loss: a mean over this process's images.
            weight: what the mean is over: how many images, or matched anchors, or pixels.
            share: of the batch.

        The mean of the processes' means is not the mean of the batch where these weights differ.
        """
        if self.alone:
            return loss
        mine = weight if share.counts else 0.0
        # A mean over nothing is a sum over nothing, divided by one.
        told = torch.tensor(
            [mine, float(loss.detach()) * (max(mine, 1.0) if share.counts else 0.0)], dtype=torch.float64
        )
        with _lost():
            distributed.all_reduce(told)
        total, value = max(1.0, float(told[0])), float(told[1])
        own = loss * ((max(mine, 1.0) if share.counts else 0.0) / total)
        return own + (value / total - own.detach())

    def rows(
        self, own: Shaped[Tensor, "n ..."], share: Share, image_index: Int64[np.ndarray, " n"] | None = None
    ) -> Shaped[Tensor, "m ..."]:
        """The rows of the whole batch in its order; the gradient goes through those of this process.

        A loss of them has the right value everywhere, and its gradients sum to the right one: also a loss that sees
        several images at once.

        Args:
            own: one row an image, or several.
            share: of the batch.
            image_index: the image of each row in this process's part; None is one row an image.
        """
        if self.alone:
            return own
        index = np.arange(len(own)) if image_index is None else image_index
        images = [share._of(number)[part] for number, part in enumerate(self.each(index)[: share.sharing])]
        most = max(len(part) for part in images)
        kept = own if share.counts else own[:0]
        padded = torch.cat([kept, own.new_zeros(most - len(kept), *own.shape[1:])])
        parts = [torch.empty_like(padded, memory_format=torch.contiguous_format) for _ in range(self.count)]
        with _lost():
            distributed.all_gather(parts, padded.detach().contiguous())
        if share.counts:
            parts[self.number] = padded
        joined = torch.cat([part[: len(rows)] for part, rows in zip(parts, images, strict=False)])
        order = torch.from_numpy(np.argsort(np.concatenate(images), kind="stable")).to(joined.device)
        # What does not count still takes part in `backward`.
        return joined[order] if share.counts or not own.requires_grad else joined[order] + 0.0 * own.sum()

    def mixed_rows(self, own: Float[Tensor, "n ..."], share: Share) -> Float[Tensor, "m ..."]:
        """`rows` in any order: of several an image, for what does not depend on it."""
        return self.rows(own, share, np.zeros(len(own), dtype=np.int64))

    def sum_gradients(self, module: nn.Module) -> None:
        """Add the gradients of all processes, and take the mean of what BatchNorm saw; the same bits everywhere."""
        if self.alone:
            return
        wanted = [p for p in module.parameters() if p.requires_grad]
        norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        seen = [b for part in norms for b in (part.running_mean, part.running_var) if b is not None]
        wide = [buffer.double() for buffer in seen]  # a mean of equal numbers is that number, to the last bit
        there = torch.tensor([float(p.grad is not None) for p in wanted])
        with _lost():
            distributed.all_reduce(there)
            for p, some in zip(wanted, there.tolist(), strict=True):
                if some and p.grad is None:
                    p.grad = torch.zeros_like(p)
            gradients = [p.grad for p in wanted if p.grad is not None]
            for group in _by_kind([*gradients, *wide]):
                flat = torch.cat([one.detach().reshape(-1) for one in group])
                distributed.all_reduce(flat)
                for one, part in zip(group, torch.split(flat, [one.numel() for one in group]), strict=True):
                    one.detach().copy_(part.view_as(one))
        for buffer, total in zip(seen, wide, strict=True):
            buffer.copy_(total / self.count)

    def align(self, module: nn.Module) -> None:
        """Give the network the weights and buffers that it has in the first process."""
        if not self.alone:
            with _lost(), torch.no_grad():
                for value in (*module.parameters(), *module.buffers()):
                    copy = value.detach().contiguous()
                    distributed.broadcast(copy, src=0)
                    value.copy_(copy)


def _by_kind(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors of one type on one device together."""
    kinds: dict[Any, list[Tensor]] = {}
    for one in tensors:
        kinds.setdefault((one.dtype, one.device), []).append(one)
    return list(kinds.values())


@contextmanager
def _lost() -> Iterator[None]:
    """A connection that breaks means that a process ended."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost from error


@contextmanager
def _stdout_is_ours() -> Iterator[None]:
    """What gloo prints when it connects (torch 2.9) goes to stderr: stdout holds the run's answer."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def speaks_of(error: TerseError) -> bool:
    """Whether this process is the one to say it: the first with this message, and of a lost one none but the first.

    Source: ours.
    """
    where = launched()
    if not distributed.is_available() or not distributed.is_initialized():
        return where.rank == 0
    store: Any = distributed.distributed_c10d._get_default_store()
    try:
        if isinstance(error, RankLost):
            return int(store.add("messages", 1)) == 1
        store.add("messages", 1)
        return int(store.add(hashlib.sha256(str(error).encode()).hexdigest(), 1)) == 1
    except RuntimeError:  # the store was lost with the process that held it
        return True
