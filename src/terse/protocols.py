"""What each player and each source must be able to do. Structural: nothing has to inherit from these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt64

from terse.errors import RecipeError
from terse.placements import Placements
from terse.requests import Limits, Requests

if TYPE_CHECKING:
    from torch import Tensor, nn

    from terse.types import Backgrounds, Composites, Evidence, Foregrounds, Truth

__all__ = [
    "Attackable",
    "BackgroundBank",
    "Chooses",
    "Counts",
    "ForegroundBank",
    "Judges",
    "KnowsBoxes",
    "KnowsHulls",
    "Prefetches",
    "Proposer",
    "RealImages",
    "Renders",
    "Target",
    "Trainable",
    "counted_loss",
    "is_attackable",
    "is_judge",
    "is_trainable",
    "network_of",
    "trainable",
]


@runtime_checkable
class Judges(Protocol):
    """A model that can be asked: all that a harvest, a measurement or a report needs. A black box is enough.

    Images are float32 RGB (or grey) in [0, 1], NCHW; the target normalises by itself. A call leaves weights, buffers
    and modes as it found them.
    """

    def confidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, " n_pasted"]:
        """P of the truth for each pasted object, in the order of `truth`; no gradient, eval mode."""
        ...

    def predict(self, images: Float[Tensor, "b c h w"]) -> Any:
        """Classifiers: probabilities (b, classes). Detectors: a list of dicts boxes, labels, scores.

        Boxes are xyxy in pixels of `images`; labels index the task's classes. No gradient, eval mode.
        """
        ...


@runtime_checkable
class Attackable(Protocol):
    """A model that a synthesizer can learn against."""

    def evidence(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Evidence:
        """What the model says of the pasted objects alone, differentiable in the pixels.

        Runs in eval mode whatever mode the module is in: no dropout, BatchNorm untouched, no sampling. An image's
        evidence does not depend on the rest of the batch.
        """
        ...


@runtime_checkable
class Trainable(Protocol):
    """A model that a run can train. The run owns the loop, the optimiser, the precision and the mode."""

    module: nn.Module

    def train_loss(self, images: Float[Tensor, "b c h w"], truth: Truth) -> Float[Tensor, ""]:
        """The model's own scalar over all objects; the module is in train mode."""
        ...


@runtime_checkable
class Counts(Protocol):
    """A trainable model whose loss is a mean over something else than the images of the batch.

    Several processes have to know over how much: the loss of a batch is not the mean of their means otherwise.
    """

    def counted_loss(self, images: Float[Tensor, "b c h w"], truth: Truth) -> tuple[Float[Tensor, ""], float]:
        """`train_loss`, and how many anchors, pixels or points it is a mean over; 0 where there were none."""
        ...


def counted_loss(target: Trainable, images: Float[Tensor, "b c h w"], truth: Truth) -> tuple[Float[Tensor, ""], float]:
    """A target's training loss, and what it is a mean over: the images, where the target does not say otherwise."""
    if _is_counted(target):
        return target.counted_loss(images, truth)
    return target.train_loss(images, truth), float(len(images))


@runtime_checkable
class Target(Judges, Trainable, Protocol):
    """The model that a run improves; where the arm learns it is `Attackable` too, or has `attack_loss`.

    `attack_loss(images, truth)` returns one value of the model's own an image, differentiable in the pixels, in eval
    mode: the paper's form of the objective only.
    """


def is_judge(model: object) -> TypeGuard[Judges]:
    """Whether it has what `Judges` has.

    The four of these ask for attributes, since from Python 3.12 on `isinstance` no longer sees what `__getattr__` gives:
    a wrapper's methods, or the `module` of a target that is itself an `nn.Module`.
    """
    return _has(model, "confidence", "predict")


def is_attackable(model: object) -> TypeGuard[Attackable]:
    """Whether it has what `Attackable` has."""
    return _has(model, "evidence")


def is_trainable(model: object) -> TypeGuard[Trainable]:
    """Whether it has what `Trainable` has."""
    return _has(model, "module", "train_loss")


def _is_counted(model: object) -> TypeGuard[Counts]:
    """Whether it has what `Counts` has."""
    return _has(model, "counted_loss")


def _has(model: object, *names: str) -> bool:
    return all(hasattr(model, name) for name in names)


def trainable(target: object) -> Target:
    """The target, seen to be one that can be trained.

    Raises:
        RecipeError: it only judges; what is missing is named.
    """
    missing = [name for name in ("module", "train_loss", "confidence", "predict") if not hasattr(target, name)]
    if missing:
        raise RecipeError(
            f"target: expected a model that can be trained, got {type(target).__name__} without "
            f"{' and '.join(missing)} (terse.protocols.Target); for a model that only judges, `terse train` and `terse generate RUN --cycle` make images"
        )
    return target  # type: ignore[return-value]


def network_of(target: object) -> nn.Module | None:
    """The module that holds the target's weights; None for a black box."""
    return getattr(target, "module", None)


@runtime_checkable
class ForegroundBank(Protocol):
    """Cut-outs, indexed once and fetched by number."""

    keys: Sequence[str]  # stable names, `<source>:<image>:<annotation>`; a placement stores these
    labels: Int64[np.ndarray, " n"]
    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Foregrounds:
        """The cut-outs of these numbers, in this order."""
        ...


@runtime_checkable
class KnowsHulls(Protocol):
    """Foregrounds whose outermost points come without torch."""

    def hulls(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b points 2"]:
        """As `fetch(indices).hull`."""
        ...


@runtime_checkable
class BackgroundBank(Protocol):
    """Images to paste on, indexed once and fetched by number."""

    keys: Sequence[str]

    def __len__(self) -> int: ...

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Backgrounds:
        """The backgrounds of these numbers, in this order."""
        ...


@runtime_checkable
class KnowsBoxes(Protocol):
    """Backgrounds whose objects' boxes come without decoding an image."""

    def boxes(self, index: int) -> Float64[np.ndarray, "k 4"]:
        """Half-open xyxy in fractions of the background; of crowds and ignored objects none."""
        ...


@runtime_checkable
class RealImages(Protocol):
    """Annotated real images: to train on, to validate and to test on."""

    def __len__(self) -> int: ...

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b c h w"], Truth]:
        """Images and truth of these numbers, in this order."""
        ...


@runtime_checkable
class Prefetches(Protocol):
    """Images that can be decoded ahead of the step that wants them."""

    def prefetch(self, indices: Int64[np.ndarray, " b"]) -> None:
        """Start decoding these in the background, and do not wait."""
        ...


@runtime_checkable
class Renders(Protocol):
    """Placements to composites."""

    def __call__(self, placements: Placements) -> Composites:
        """Draw every placement."""
        ...


@runtime_checkable
class Proposer(Protocol):
    """Who proposes placements: an arm of a comparison.

    `keeps_hard` says whether the harvest filters by the target's verdict; `module` is None where nothing
    is learned. `limits` says how many objects and distractors, and which blends: training draws requests so, and
    `generate` has them as defaults and sets what it was asked for.
    """

    limits: Limits
    keeps_hard: bool
    batch_size: int  # composites looked at together in the harvest

    @property
    def module(self) -> nn.Module | None:
        """The network, where something is learned."""
        ...

    def requests(self, seeds: UInt64[np.ndarray, " b"]) -> Requests:
        """What training asks for: backgrounds, and classes equally often, as functions of each seed."""
        ...

    def propose(self, requests: Requests) -> Placements:
        """One placement a request, in order; every random number of an image is a function of its seed."""
        ...


@runtime_checkable
class Chooses(Proposer, Protocol):
    """A proposer that says which of its candidates are worth judging, and learns from the verdicts.

    It is kept with the run's state.
    """

    def choose(self, count: int, *step: int | str) -> Any:
        """About so many candidates of a step, named by its run's seed, cycle, phase and number; they have `placements`."""
        ...

    def told(
        self, candidates: Any, hard: Bool[np.ndarray, " n"], hardness: Float64[np.ndarray, " n"], cycle: int
    ) -> Bool[np.ndarray, " n"]:
        """The verdicts on candidates; which of them enter the pool."""
        ...

    def figures(self, cycle: int) -> dict[str, float]:
        """What the cycle's verdicts say of the base and of the choice, by the names of a cycle's row."""
        ...

    def state(self) -> Any:
        """What it needs to go on."""
        ...

    def restore(self, state: Any) -> None:
        """Go on from a state."""
        ...
