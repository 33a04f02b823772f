"""What the synthesizer minimises: Eq. 1 and its other forms, built from a target's evidence, and Eq. 3.

Eq. 2 is the discriminator's own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from terse.errors import RecipeError
from terse.protocols import Attackable
from terse.recipe import ObjectiveConfig
from terse.types import Evidence, Truth

__all__ = ["SynthesizerLoss", "diversity_loss", "fooling_loss", "synthesizer_loss", "target_loss_of"]

_UNIFORM_STD = 12**-0.5


@dataclass(frozen=True, slots=True)
class SynthesizerLoss:
    """The scalar to minimise, and its parts for the log."""

    total: Float[Tensor, ""]
    fooling: Float[Tensor, ""]
    realism: Float[Tensor, ""]
    diversity: Float[Tensor, ""]


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
    if isinstance(target, Attackable):
        evidence = target.evidence
        return lambda images, truth: _with_gradient(fooling_loss(evidence(images, truth), settings), images, "evidence")
    attack_loss = getattr(target, "attack_loss", None)
    if attack_loss is None:
        raise RecipeError(
            f"target: expected evidence or attack_loss for a synthesizer to learn against, got {name} without either "
            "(terse.protocols.Attackable); synthesis.kind=mined needs confidence and predict alone"
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


def _with_gradient(loss: Float[Tensor, " b"], images: Float[Tensor, "b c h w"], method: str) -> Float[Tensor, " b"]:
    if torch.is_grad_enabled() and images.requires_grad and not loss.requires_grad:
        raise RecipeError(
            f"target: expected {method} to be differentiable in the pixels, got no gradient; "
            "the learned arm cannot see what makes it fail, synthesis.kind=mined can"
        )
    return loss


def _mean(values: Float[Tensor, " b"], weight: Float[Tensor, " b"] | None) -> Float[Tensor, ""]:
    return values.mean() if weight is None else (values * weight).sum() / torch.clamp(weight.sum(), min=1)
