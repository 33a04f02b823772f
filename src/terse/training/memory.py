"""Batches that do not fit into the device's memory: taken in pieces, whose gradients add up."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from terse.errors import RunError
from terse.types import Truth

__all__ = ["Memory"]

Result = TypeVar("Result")


class Memory:
    """How many images of a batch a player takes at once; halved where memory runs out, for the rest of the run.

    The batch of a step stays what the recipe says. BatchNorm and dropout see one piece after the other. The sizes are kept
    with the state: a resumed run takes the same pieces. On a GPU the gradients are found here too, not after the other
    terms of the loss, so that running out of memory shows here and can be answered.

    Args:
        say: tells the user.
        scale: what a player's loss is multiplied by before its gradient is found here; the gradient is divided by it.

    Source: ours.
    """

    def __init__(self, say: Callable[[str], None], scale: Callable[[str], float] = lambda _: 1.0) -> None:
        self._say, self._scale = say, scale
        self._sizes: dict[str, int] = {}

    def mean(
        self,
        player: str,
        loss: Callable[[Tensor, Truth], tuple[Tensor, float]],
        module: nn.Module,
        images: Float[Tensor, "b c h w"],
        truth: Truth,
    ) -> tuple[Float[Tensor, ""], float]:
        """A loss of the batch, differentiable in the module's parameters, and how many it is a mean over.

        Args:
            player: whose memory it is.
            loss: of some images: the loss, and how many images, anchors or pixels it is a mean over; pieces are weighed by it.
            module: what learns.
            images: the batch.
            truth: of the images.

        Raises:
            RunError: one image alone does not fit.
        """
        parameters: list[Tensor] = [parameter for parameter in module.parameters() if parameter.requires_grad]

        def in_pieces(size: int) -> tuple[Tensor, float]:
            total, every, one_piece = images.new_zeros(()), 0.0, size >= len(images)
            # What the loss does not use has no gradient, and so does not decay.
            sums: list[Tensor | None] = [None] * len(parameters)
            for rows in _pieces(len(images), size):
                part, count = loss(*_piece(images, truth, rows))
                weight = 1.0 if one_piece else max(count, 1.0)  # a mean over nothing is a sum divided by one
                found = _gradients(part * weight, parameters, self._scale(player), weight)
                total, every = total + part.detach() * weight, every + count
                sums = [_sum(kept, more) for kept, more in zip(sums, found, strict=True)]
            share = 1.0 if one_piece else 1 / max(every, 1.0)
            used = [(one * share, weight) for one, weight in zip(sums, parameters, strict=True) if one is not None]
            return _known(total * share, [one for one, _ in used], [weight for _, weight in used]), every

        return self._fitting(player, len(images), module, lambda: loss(images, truth), in_pieces, images.is_cuda)

    def rows(
        self,
        player: str,
        loss: Callable[[Tensor, Truth], Tensor],
        images: Float[Tensor, "b c h w"],
        truth: Truth,
    ) -> Float[Tensor, " b"]:
        """A loss of each image, differentiable in the pixels; images must not meet in it.

        Raises:
            RunError: one image alone does not fit.
        """

        def in_pieces(size: int) -> Tensor:
            values: list[Tensor] = []
            gradients: list[Tensor] = []
            for rows in _pieces(len(images), size):
                some, of_some = _piece(images.detach(), truth, rows)
                value = loss(some.requires_grad_(), of_some)
                (found,) = _gradients(value.sum(), [some], self._scale(player))
                gradients.append(torch.zeros_like(some) if found is None else found)
                values.append(value.detach())
            return _known(torch.cat(values), [torch.cat(gradients)], [images])

        eager = images.is_cuda and images.requires_grad
        return self._fitting(player, len(images), None, lambda: loss(images, truth), in_pieces, eager)

    def _fitting(
        self,
        player: str,
        count: int,
        module: nn.Module | None,
        whole: Callable[[], Result],
        in_pieces: Callable[[int], Result],
        eager: bool,
    ) -> Result:
        """The result with as many images at once as fit; what a failed try changed is put back before the next."""
        buffers = [] if module is None else [buffer.clone() for buffer in module.buffers()]
        drawn = _random_state()
        while True:
            size = min(count, self._sizes.get(player, count))
            try:
                return in_pieces(size) if eager or size < count else whole()
            except torch.OutOfMemoryError as error:
                reason = str(error).partition("\n")[0]
            # Here, where the traceback no longer holds the failed try's tensors.
            if size <= 1:
                raise RunError(
                    f"runtime.device: expected memory for one image of the {player}'s step, got: {reason}; "
                    "a smaller canvas_px or a smaller model needs less"
                )
            self._sizes[player] = size // 2
            self._say(
                f"{player}: out of memory with {size} images at once; going on with {size // 2} at once, "
                f"and {count} a step as before"
            )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if module is not None:
                for buffer, kept in zip(module.buffers(), buffers, strict=True):
                    buffer.copy_(kept)
            torch.set_rng_state(drawn[0])
            torch.cuda.set_rng_state_all(drawn[1])

    def state(self) -> dict[str, int]:
        """The sizes that were found, by player."""
        return dict(self._sizes)

    def restore(self, state: dict[str, int]) -> None:
        """Go on with the sizes of a checkpoint."""
        self._sizes = dict(state)


def _pieces(count: int, size: int) -> Iterator[range]:
    """At most so many in each, and as even as can be: BatchNorm cannot train on an image that is left alone."""
    number = max(1, -(-count // size))
    for piece in range(number):
        yield range(piece * count // number, (piece + 1) * count // number)


def _piece(images: Tensor, truth: Truth, rows: range) -> tuple[Tensor, Truth]:
    if len(rows) == len(images):
        return images, truth
    return images[rows.start : rows.stop], truth.take(rows)


def _sum(kept: Tensor | None, more: Tensor | None) -> Tensor | None:
    return more if kept is None else kept if more is None else kept + more


def _gradients(loss: Tensor, inputs: list[Tensor], scale: float, weight: float = 1.0) -> tuple[Tensor | None, ...]:
    """Of a loss with a weight, by way of the scaled loss without it: a sum over many anchors would leave float16."""
    factor = 1.0 if scale == 1.0 else scale / weight
    with torch.autocast(loss.device.type, enabled=False):
        found = torch.autograd.grad(loss if factor == 1.0 else loss.float() * factor, inputs, allow_unused=True)
    return tuple(one if one is None or factor == 1.0 else one / factor for one in found)


def _random_state() -> tuple[Tensor, list[Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


class _Known(torch.autograd.Function):
    """A value whose gradients are known already; of a row of values, each of its own row."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *gradients_and_inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*gradients_and_inputs[:count])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = outer
        found = [
            gradient * (weight.view(-1, *[1] * (gradient.dim() - 1)) if weight.dim() else weight)
            for gradient in ctx.saved_tensors
        ]
        return (None, None, *[None] * len(found), *found)


def _known(value: Tensor, gradients: list[Tensor], inputs: list[Tensor]) -> Tensor:
    made: Tensor = _Known.apply(value, len(gradients), *gradients, *inputs)
    return made
