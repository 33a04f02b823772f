"""What each player minimises (Eq. 1 to 3); Eq. 1 itself is each target's, Eq. 2 the discriminator's."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from terse.recipe import ObjectiveConfig

__all__ = ["SynthesizerLoss", "diversity_loss", "synthesizer_loss"]

_UNIFORM_STD = 12**-0.5


@dataclass(frozen=True, slots=True)
class SynthesizerLoss:
    """The scalar to minimise, and its parts for the log."""

    total: Float[Tensor, ""]
    fooling: Float[Tensor, ""]
    realism: Float[Tensor, ""]
    diversity: Float[Tensor, ""]


def synthesizer_loss(
    attack: Float[Tensor, " b"],
    realism: Float[Tensor, " b"] | None,
    unit_poses: Float[Tensor, "b k"],
    settings: ObjectiveConfig,
    weight: Float[Tensor, " b"] | None = None,
) -> SynthesizerLoss:
    """w_realism L_realism - w_fooling L_T + w_diversity L_diversity, means over the batch.

    Args:
        attack: the target's loss of each composite, L_T of Eq. 1.
        realism: the discriminator's verdict on each composite, None without one.
        unit_poses: poses scaled so that each component's range is [0, 1].
        settings: weights; `cap` bounds what one composite can contribute to fooling.
        weight: what each composite counts; 0 for one whose object is hardly visible.

    Source: paper Eq. 3; the cap, the weights and the diversity term are ours.
    """
    bounded = attack if settings.cap is None else attack.clamp(max=settings.cap)
    fooling = _mean(bounded, weight)
    real = attack.new_zeros(()) if realism is None else _mean(realism, weight)
    spread = diversity_loss(unit_poses) if settings.diversity else attack.new_zeros(())
    total = settings.realism * real - settings.fooling * fooling + settings.diversity * spread
    return SynthesizerLoss(total, fooling.detach(), real.detach(), spread.detach())


def diversity_loss(unit_poses: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """How far each component's spread over the batch falls short of a uniform one's: 0 for none, 1 for a collapse.

    Source: ours; the paper names a diversity metric as future work (5).
    """
    spread = (unit_poses.var(dim=0, correction=0) + 1e-12).sqrt()
    return (1 - spread / _UNIFORM_STD).clamp(min=0).mean()


def _mean(values: Float[Tensor, " b"], weight: Float[Tensor, " b"] | None) -> Float[Tensor, ""]:
    return values.mean() if weight is None else (values * weight).sum() / torch.clamp(weight.sum(), min=1)
