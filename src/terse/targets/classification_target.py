"""Any image classifier as a target: cross-entropy (paper 3.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from terse.errors import ShapeError
from terse.modes import eval_mode
from terse.types import Evidence, Truth

__all__ = ["ClassificationTarget"]


class ClassificationTarget:
    """A module that takes images in [0, 1] and returns logits, one row an image.

    Source: paper 3.2, Image Classification.
    """

    def __init__(self, module: nn.Module, classes: tuple[str, ...]) -> None:
        self.module = module
        self.classes = classes

    def evidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Evidence:
        """What the logits say of each image's class, in eval mode.

        Raises:
            ShapeError: the module's output is not one row of logits an image.
        """
        with eval_mode(self.module):
            logits = self._logits(images)
        return Evidence.of_logits(logits, truth.labels, truth, torch.arange(len(images), device=images.device))

    def train_loss(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, ""]:
        """Mean cross-entropy, in train mode.

        Raises:
            ShapeError: the module's output is not one row of logits an image.
        """
        self.module.train()
        return functional.cross_entropy(self._logits(images), truth.labels)

    def confidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, " n"]:
        """Softmax probability of the true class of each pasted object."""
        probabilities = self.predict(images)
        return probabilities.gather(1, truth.labels[:, None])[:, 0][truth.pasted]

    def predict(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Softmax probabilities."""
        with eval_mode(self.module), torch.no_grad():
            return self._logits(images).softmax(dim=1)

    def _logits(self, images: Tensor) -> Tensor:
        logits = self.module(images.contiguous(memory_format=torch.channels_last))
        if not isinstance(logits, Tensor) or logits.shape != (len(images), len(self.classes)):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ShapeError(
                f"target: expected logits of the shape ({len(images)}, {len(self.classes)}), got {got}; "
                f"the classes are {', '.join(self.classes)}"
            )
        return logits.float()
