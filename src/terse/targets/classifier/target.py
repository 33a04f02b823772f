"""Any image classifier as a target (paper 3.2), and the paper's digit classifiers (A.1) with what their dumps leave out."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from terse.errors import ShapeError
from terse.modes import eval_mode, frozen
from terse.targets.detector.modes import several_images
from terse.types import Evidence, Truth

__all__ = ["ClassificationTarget", "MNISTClassifier", "MNISTClassifierDeep", "objects_of_images"]

# Images that a CPU judges at once. A harvest's blocks have a thousand sizes: what oneDNN compiles for each of them, and
# the memory that such different sizes break up, came to gigabytes. No slower: the activations of few images fit a cache.
_PIECE = 64


class ClassificationTarget:
    """A module that takes images in [0, 1] and returns logits, one row an image.

    Args:
        module: the network.
        classes: the task's.
        pixels: makes of the images what the network takes; None gives them as they are.
        columns: the network's own index of each class; None is the classes in order.
        found: what a weights file held: `model`, `backbone` for a new last layer, or `nothing` where there was none.

    Source: paper 3.2, Image Classification.
    """

    def __init__(
        self,
        module: nn.Module,
        classes: tuple[str, ...],
        *,
        pixels: Callable[[Tensor], Tensor] | None = None,
        columns: Sequence[int] | None = None,
        found: str = "nothing",
    ) -> None:
        self.module = module
        self.classes = classes
        self.found = found
        self.columns = None if columns is None else tuple(columns)
        self._pixels = pixels or (lambda images: images)

    def evidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Evidence:
        """What the logits say of each image's class, in eval mode.

        Raises:
            ShapeError: the module's output is not one row of logits an image.
        """
        with eval_mode(self.module), frozen(self.module):
            logits = self._logits(images)
        rows = objects_of_images(truth)
        return Evidence.of_logits(logits, truth.labels[rows], truth, rows)

    def train_loss(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, ""]:
        """Mean cross-entropy, in train mode.

        Raises:
            ShapeError: the module's output is not one row of logits an image.
        """
        self.module.train()
        with several_images(len(images)):
            logits = self._logits(images)
        return functional.cross_entropy(logits, truth.labels[objects_of_images(truth)])

    def confidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, " n"]:
        """Softmax probability of the true class of each pasted object."""
        probabilities = self.predict(images)
        return probabilities[truth.image_index[truth.pasted], truth.labels[truth.pasted]]

    def predict(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Softmax probabilities."""
        with eval_mode(self.module), torch.no_grad():
            return self._logits(images).softmax(dim=1)

    def _logits(self, images: Tensor) -> Tensor:
        whole = images.device.type != "cpu" or self.module.training or torch.is_grad_enabled()
        return torch.cat(
            [self._forward(part) for part in torch.split(images, max(1, len(images)) if whole else _PIECE)]
        )

    def _forward(self, images: Tensor) -> Tensor:
        found = self.module(self._pixels(images).contiguous(memory_format=torch.channels_last))
        logits = getattr(found, "logits", found)  # beside others, as of Inception in train mode or of transformers
        if self.columns is not None and isinstance(logits, Tensor) and logits.ndim == 2:
            logits = logits[:, list(self.columns)]
        if not isinstance(logits, Tensor) or logits.shape != (len(images), len(self.classes)):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ShapeError(
                f"target: expected logits of the shape ({len(images)}, {len(self.classes)}), got {got}; "
                f"the classes are {', '.join(self.classes)}"
            )
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


def objects_of_images(truth: Truth) -> Int64[Tensor, " b"]:
    """The row of the object that gives each image its class: the pasted one, else the image's only one.

    Raises:
        ShapeError: an image without an object, or with several of which none is pasted.
    """
    rows = torch.arange(len(truth.labels), device=truth.labels.device)
    if len(rows) == truth.batch_size and torch.equal(truth.image_index, rows):
        return rows
    pasted = torch.zeros(truth.batch_size, dtype=torch.bool, device=rows.device)
    pasted[truth.image_index[truth.pasted]] = True
    rows = rows[truth.pasted | ~pasted[truth.image_index]]
    if not torch.equal(truth.image_index[rows], torch.arange(truth.batch_size, device=rows.device)):
        most, least = (of(torch.bincount(truth.image_index[rows], minlength=truth.batch_size)) for of in (max, min))
        raise ShapeError(
            f"truth: expected one object in each image of a classifier, got images with {int(least)} to {int(most)}; "
            "paste one object an image, and take real images of one class each"
        )
    return rows


class MNISTClassifier(nn.Module):
    """Two convolutions, two linear layers: the target of Fig. 7.

    A 2x2 max-pool after each convolution is missing in the dump, yet `in_f=980` needs it:
    40 -> 36 -> 18 -> 14 -> 7, and 20 * 7 * 7 = 980. It stands before the ReLU: the same numbers, a quarter
    of the work.

    Source: paper A.1, MNISTClassifier; the pooling is ours, as in_f=980 asks for it.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 10, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Conv2d(10, 20, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
            nn.Dropout2d(p=0.5),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(980, 50), nn.ReLU(inplace=True), nn.Linear(50, classes))

    def forward(self, images: Float[Tensor, "b 1 40 40"]) -> Float[Tensor, "b classes"]:
        """Logits."""
        logits: Tensor = self.head(self.features(images))
        return logits


class MNISTClassifierDeep(nn.Module):
    """Four strided convolutions with BatchNorm and swish: the target of Table 1, after Zhao et al. 2018.

    Padding 2 is missing in the dump, yet `in_f=576` needs it: 40 -> 20 -> 10 -> 5 -> 3, and 64 * 3 * 3 = 576.

    Source: paper A.1, MNISTClassifierDeep; the padding is ours.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for channels in (1, 64, 64, 64):
            blocks += [
                nn.Conv2d(channels, 64, kernel_size=5, stride=2, padding=2),
                nn.BatchNorm2d(64, eps=1e-5, momentum=0.1),
                nn.SiLU(inplace=True),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(576, 50), nn.SiLU(inplace=True), nn.Linear(50, classes))

    def forward(self, images: Float[Tensor, "b 1 40 40"]) -> Float[Tensor, "b classes"]:
        """Logits."""
        logits: Tensor = self.head(self.features(images))
        return logits
