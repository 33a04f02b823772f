"""What the synthesizer minimises: Eq. 1 and its other forms, built from a target's evidence, and Eq. 3.

Eq. 2 is the discriminator's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.errors import RecipeError
from terse.protocols import is_attackable
from terse.recipe_parts import ObjectiveConfig
from terse.types import Evidence, Truth

__all__ = [
    "RealismWeight",
    "SynthesizerLoss",
    "clip_composites",
    "crowding_loss",
    "diversity_loss",
    "fooling_loss",
    "synthesizer_loss",
    "target_loss_of",
]

_ROOT = 1e-5  # added under the fourth root of diversity, which then has a gradient at 0
_MEDIAN_RATE = 0.05  # of a step in the running medians
_WEIGHTS = (0.01, 100.0)  # the least and the most that realism may weigh


@dataclass(frozen=True, slots=True)
class SynthesizerLoss:
    """The parts of what the synthesizer minimises: means over the batch, with their gradients."""

    fooling: Float[Tensor, ""]  # L_T, which it maximises
    realism: Float[Tensor, ""]
    spread: Float[Tensor, ""]  # diversity, entropy and crowding, weighted
    fooling_weight: float
    realism_weight: float  # 1 where `RealismWeight` finds it from the gradients

    @property
    def total(self) -> Float[Tensor, ""]:
        """The scalar to minimise."""
        return self.realism_weight * self.realism - self.fooling_weight * self.fooling + self.spread


def target_loss_of(
    target: object, settings: ObjectiveConfig
) -> Callable[[Float[Tensor, "b c h w"], Truth], Float[Tensor, " b"]]:
    """How a target's loss L_T of each composite is computed; the synthesizer maximises it.

    From the target's evidence, in the form of the settings, or by its own `attack_loss`, which is the paper's form.

    Raises:
        RecipeError: the target has neither, or `attack_loss` alone where another form is asked for; at the call, the
            loss does not depend on the pixels.

    Source: paper Eq. 1; the other forms are ours.
    """
    name = type(target).__name__
    if is_attackable(target):
        evidence = target.evidence
        return lambda images, truth: _with_gradient(fooling_loss(evidence(images, truth), settings), images, "evidence")
    attack_loss = getattr(target, "attack_loss", None)
    if attack_loss is None:
        raise RecipeError(
            f"target: expected evidence or attack_loss for a synthesizer to learn against, got {name} without either "
            "(terse.protocols.Attackable); synthesis.kind=mined and synthesis.feedback=critic need confidence and predict alone"
        )
    if settings.form != "cross_entropy":
        raise RecipeError(
            f"objective.form: expected cross_entropy for {name}, whose attack_loss is one value an image, "
            f"got {settings.form!r}, which needs evidence (terse.protocols.Attackable)"
        )
    return lambda images, truth: _with_gradient(attack_loss(images, truth), images, "attack_loss")


def fooling_loss(evidence: Evidence, settings: ObjectiveConfig) -> Float[Tensor, " b"]:
    """L_T of each composite: the form of each match plus lambda times its box error, averaged over the matches.

    `cross_entropy` is -log p, `hinge` min(margin, c), `log_one_minus` log(1 - p), each on logits. An image without a
    match counts 0: hiding an object earns nothing.

    Source: paper Eq. 1 (`cross_entropy`); averaging over the matches and the other forms are ours.
    """
    if settings.form == "cross_entropy":
        value = -evidence.log_p
    elif settings.form == "hinge":
        value = evidence.margin.clamp(max=settings.hinge_margin)
    else:
        value = evidence.log_wrong
    value = evidence.box_weight * evidence.box_error + value
    images = torch.arange(evidence.batch_size, device=value.device)
    if torch.equal(evidence.image_index, images):  # one match an image, in order: a classifier's
        return value
    # A masked sum, not index_add: deterministic on CUDA too.
    mine = evidence.image_index[None] == images[:, None]
    return torch.where(mine, value[None], 0.0).sum(1) / mine.sum(1).clamp(min=1)


def synthesizer_loss(
    attack: Float[Tensor, " b"],
    realism: Float[Tensor, " b"] | None,
    unit_poses: Float[Tensor, "n k"],
    settings: ObjectiveConfig,
    weight: Float[Tensor, " b"] | None = None,
    entropy: Float[Tensor, ""] | None = None,
    crowding: Float[Tensor, ""] | None = None,
) -> SynthesizerLoss:
    """w_realism L_realism - w_fooling L_T + w_diversity L_diversity - alpha H, means over the batch.

    Args:
        attack: the target's loss of each composite, L_T of Eq. 1.
        realism: the discriminator's verdict on each composite, None without one.
        unit_poses: of each paste, scaled so that each component's range is [0, 1].
        settings: weights; `cap` bounds what one composite can contribute to fooling.
        weight: what each composite counts; 0 for one whose object is hardly visible.
        entropy: -alpha H of `PoseEntropy`, where coverage is held.
        crowding: `crowding_loss`, where a composite holds several objects.

    Source: paper Eq. 3; the cap, the weights, diversity, entropy and crowding are ours.
    """
    bounded = attack if settings.cap is None else attack.clamp(max=settings.cap)
    nothing = attack.new_zeros(())
    spread = settings.diversity * diversity_loss(unit_poses) if settings.diversity else nothing
    return SynthesizerLoss(
        fooling=_mean(bounded, weight),
        realism=nothing if realism is None else _mean(realism, weight),
        spread=sum((part for part in (entropy, crowding) if part is not None), spread),
        fooling_weight=settings.fooling,
        realism_weight=1.0 if settings.realism == "auto" else settings.realism,
    )


def diversity_loss(unit_poses: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """The squared distance of each component's quantiles from a uniform law's: 1 where all poses are the middle one.

    0 for evenly spread poses; two points at the ends, whose variance is larger than a uniform law's, give 1 as well.
    Of the components, the power mean of order 4: the worst covered one is what collapses.

    Source: ours (the squared 2-Wasserstein distance times 12); the paper names a diversity metric as future work (5).
    """
    count = len(unit_poses)
    uniform = (torch.arange(count, device=unit_poses.device, dtype=unit_poses.dtype) + 0.5) / count
    apart = 12 * (unit_poses.sort(dim=0).values - uniform[:, None]).square().mean(dim=0)
    worst: Tensor = (apart.pow(4).mean() + _ROOT**4).pow(0.25)
    return worst - _ROOT


def crowding_loss(
    hidden: Float[Tensor, " n"], seen: Float[Tensor, " n"], settings: ObjectiveConfig, max_overlap: float
) -> Float[Tensor, ""]:
    """What objects of one composite cost each other: overlap and visibility beyond their limits, means over objects.

    An object that another hides is missed by every target, and teaches nothing.

    Args:
        hidden: of each object, the share on the canvas that later pastes hide (`visible_shares`).
        seen: of each object, the share seen of all of it.
        settings: weights, and the least share that is free.
        max_overlap: the most of `hidden` that is free.

    Source: ours.
    """
    overlap = (hidden - max_overlap).clamp(min=0).mean()
    visibility = (settings.least_visible - seen).clamp(min=0).mean()
    return settings.overlap * overlap + settings.visibility * visibility


def clip_composites(
    raw: Float[Tensor, "n k"],
    most: float | None,
    composite: Int64[Tensor, " n"],
    composites: int,
    scale: float = 1.0,
) -> None:
    """Have the gradient of each composite at its raw poses, where all components have one unit, clipped to a length.

    The length is of the composite's own loss, over all that it pastes; the mean over the composites divides it. `composite`
    tells each paste's, `composites` how many the mean is over; `raw` may hold a part of them. `scale` is what the loss is
    multiplied by.

    Source: ours; measured on digits: median 0.54, mean 3.8, maximum 135, so that a few composites decide a step.
    """
    if most is None or not raw.requires_grad:
        return
    longest = scale * most / composites
    count = int(composite.max()) + 1 if len(raw) else 0

    def clip(gradient: Tensor) -> Tensor:
        squares = raw.new_zeros(count, dtype=torch.float32).index_add(0, composite, gradient.float().square().sum(1))
        length = squares.sqrt().clamp(min=longest)
        return gradient * (longest / length).to(gradient.dtype)[composite, None]

    raw.register_hook(clip)  # type: ignore[no-untyped-call]


class RealismWeight:
    """The weight at which realism's gradient at the raw pose is a set share of the target's (`objective.realism: auto`).

    From running medians of the gradients' lengths over the pastes that have one: the tail of a few composites
    moves a mean a hundredfold.

    Source: ours.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._medians = torch.zeros(2, dtype=torch.float64)  # of log lengths: fooling, realism
        self._steps = 0

    def of(self, fooling: Float[Tensor, "b k"], realism: Float[Tensor, "b k"]) -> float:
        """The weight, after this step's gradients."""
        lengths = [gradient.detach().cpu().double().norm(dim=1) for gradient in (fooling, realism)]
        if all(bool((length > 0).any() & length.isfinite().all()) for length in lengths):
            found = torch.stack([length[length > 0].median().log() for length in lengths])
            self._steps += 1
            self._medians += (found - self._medians) * max(_MEDIAN_RATE, 1 / self._steps)
        ratio = self._share * math.exp(float(self._medians[0] - self._medians[1]))
        return min(max(ratio, _WEIGHTS[0]), _WEIGHTS[1])

    def scalar(
        self,
        loss: SynthesizerLoss,
        raw: Float[Tensor, "b k"],
        gathered: Callable[[Tensor], Tensor] = lambda rows: rows,
        scale: float = 1.0,
    ) -> Float[Tensor, ""]:
        """A scalar whose gradient is that of the weighted parts; one backward pass through each player.

        `gathered` gives the rows of the whole batch, where `raw` is a part of it; the gradients are found at a `scale`, so
        that float16 holds them, and a step that it does not hold leaves the medians alone.
        """
        fooling, realism = (
            torch.autograd.grad(part * scale, raw, retain_graph=True)[0] / scale
            for part in (loss.fooling, loss.realism)
        )
        fooling = -loss.fooling_weight * fooling
        wanted = fooling + self.of(gathered(fooling), gathered(realism)) * realism
        return (raw * wanted.detach()).sum() + loss.spread

    def state(self) -> dict[str, Tensor]:
        """The medians and how many steps they are of."""
        return {"medians": self._medians.clone(), "steps": torch.tensor(self._steps)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on with what `state` gave."""
        self._medians, self._steps = state["medians"].clone(), int(state["steps"])


def _with_gradient(loss: Float[Tensor, " b"], images: Float[Tensor, "b c h w"], method: str) -> Float[Tensor, " b"]:
    if torch.is_grad_enabled() and images.requires_grad and not loss.requires_grad:
        raise RecipeError(
            f"target: expected {method} to be differentiable in the pixels, got no gradient; "
            "the learned arm cannot see what makes it fail, synthesis.kind=mined can"
        )
    return loss


def _mean(values: Float[Tensor, " b"], weight: Float[Tensor, " b"] | None) -> Float[Tensor, ""]:
    return values.mean() if weight is None else (values * weight).sum() / torch.clamp(weight.sum(), min=1)
