"""The recipe's `synthesis: {kind: learned}`: the paper's synthesizer and how it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from terse.config import Component, Config, Count, Fraction, InputPath, NonNegative, Paper, Positive
from terse.errors import RecipeError
from terse.recipe_parts import DiscriminatorConfig, OptimizerConfig
from terse.registry import register
from terse.synthesis.scene import SceneConfig

if TYPE_CHECKING:
    from terse.protocols import Proposer
    from terse.synthesis.materials import Materials

__all__ = ["CriticConfig", "LearnedConfig"]


class CriticConfig(Config):
    """The critic: which base candidates it has judged, and how near the harvest stays to mining's law.

    Source: ours.
    """

    features: Literal["cut_outs", "backbone"] = "cut_outs"
    """What it knows of images: a small network trained on the cut-outs' classes, or the map of `backbone`, frozen."""
    feature_steps: NonNegative = 1000
    """cut_outs: steps of that network, of 64 cut-outs each; no pass of the target."""
    channels: Count = 16
    """backbone: its map is projected to so many."""
    batch_size: Count = 256
    """Candidates judged in one step of the harvest, on average."""
    judged: Annotated[float, Field(ge=0.001, lt=1)] = 0.05
    """Share of the base candidates that is judged; a block holds `batch_size / judged` of them."""
    explore: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The least probability of being judged, over the mean one."""
    beta: Positive = 0.5
    """The probability grows with this power of the critic's score."""
    drift: Fraction = 0.1
    """How far the harvest may be from mining's law (total variation); 0 is mining's law exactly, and saves nothing."""
    first_fit: Count = 1000
    """Verdicts before the critic is first fitted, and the fewest between two fits."""
    refit: Fraction = 0.25
    """It is fitted anew when the verdicts have grown by this share."""
    forget: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A verdict's weight falls to this share with each cycle, since the target moves."""
    most_verdicts: Count = 50_000
    """The newest that are remembered."""


@register("synthesis", "learned")
class LearnedConfig(SceneConfig, Component["Proposer"]):
    """A network that learns where and how to paste so that the target fails (paper 3.1)."""

    learns: ClassVar[bool] = True
    """It needs a run; `generate` of a recipe alone takes uniform poses."""
    judges: ClassVar[bool] = True
    """It asks the target which composites to keep."""
    kind: Literal["learned"] = "learned"
    network: Literal["digits", "photographs"] = "digits"
    """digits is A.1's, photographs A.2's."""
    backbone: str = "vgg16_bn"
    """Photographs: a torchvision classifier's features, vgg16_bn (paper), mobilenet_v2 or resnet18 for example."""
    backbone_until: Literal["pool4", "conv5"] = "pool4"
    """Photographs, VGG: where it ends; the dump has pool4, the text conv5."""
    backbone_weights: InputPath | None = None
    """Photographs: the backbone's ImageNet weights; None draws them."""
    backbone_input: Literal["torch", "caffe"] = "torch"
    """Photographs: the input scale of these weights: torchvision's, or Caffe's (VGG of SSD and HED)."""
    train_backbone: bool = True
    """Photographs: False freezes the backbone, several times faster on a CPU."""
    input_px: Annotated[Count | None, Paper(300)] = None
    """Photographs: side to which the synthesizer's inputs are resized; null takes the canvas."""
    branch_channels: Annotated[Count, Paper(256)] = 256
    """Photographs: width of the branches."""
    optimizer: OptimizerConfig = OptimizerConfig(name="adam", lr=1e-3)
    """Adam; the paper has 1e-3 on digits, 1e-4 on photographs, weight decay 5e-4."""
    batch_size: Annotated[Count, Paper(1024)] = 1024
    """Composites of a step of the synthesizer."""
    steps: Annotated[NonNegative, Paper(1000)] = 100
    """Steps of one synthesizer phase, before the harvest closes."""
    max_steps: Count = 1000
    """With the harvest during training: at most so many, should the quota not fill."""
    harvest: Literal["during", "after"] = "during"
    """Hard examples are taken from the training's own batches (A.1), or drawn afterwards (A.2)."""
    harvest_from: NonNegative = 0
    """With the harvest during training: the first step whose batch counts; 0 is the paper."""
    restart: bool = False
    """A new network every cycle; the paper goes on with the old one."""
    dropout: Annotated[Fraction | None, Paper(0.5)] = None
    """Of the synthesizer, in training, harvest and `generate` alike; 0.5 in A.1's dump. None takes 0 where `noise_size`
    or a random base tells the composites apart, else 0.5."""
    statistics_pairs: Count = 1000
    """So many pairs give BatchNorm's running statistics anew after each phase of the synthesizer."""
    noise_size: NonNegative = 0
    """Length of a noise vector beside the features; 0 is the paper, whose only noise is dropout. With base: random the
    random pose is the noise, and there is no other."""
    base: Literal["centre", "random"] = "centre"
    """What the network's output is added to: the middle of the ranges (paper), or a uniformly random pose, which
    the head then sees as its noise: training starts from blind pasting, and moves away from it where that pays."""
    feedback: Annotated[Literal["gradient", "critic"], Paper("gradient")] = "gradient"
    """What the synthesizer learns from: the target's gradient, or its verdicts alone, by a critic that says which base
    candidates are worth judging. A critic needs no gradient: black boxes and detectors cost forward passes only. It has
    no phase of its own: steps, optimiser, noise and base are the gradient's."""
    critic: CriticConfig = CriticConfig()
    """feedback: critic."""
    discriminator: DiscriminatorConfig | bool = False
    """Pit the composites against a discriminator (paper 3.3); its settings, or true for the paper's."""

    @model_validator(mode="after")
    def _one_noise(self) -> LearnedConfig:
        if self.base == "random" and self.noise_size:
            raise ValueError(
                f"noise_size: expected 0 with base: random, whose random pose is the network's noise, got {self.noise_size}; "
                "base: centre takes it"
            )
        return self

    @model_validator(mode="after")
    def _several(self) -> LearnedConfig:
        if not self.several or self.feedback == "critic":
            return self
        if self.network == "digits":
            raise ValueError(
                f"objects: expected [1, 1] and no occluders with network: digits, got {list(self.objects)} and "
                f"{list(self.occluders)}; network: photographs sees what stands already"
            )
        if self.dropout_rate:
            raise ValueError(
                f"dropout: expected 0 with several pastes an image, got {self.dropout_rate:g}; "
                "base: random or a noise_size tells the composites apart"
            )
        return self

    def build(self, materials: Materials) -> Proposer:
        """The proposer with a fresh network.

        Raises:
            RecipeError: a critic beside a discriminator, or the network of digits for other images.
        """
        if self.feedback == "critic":
            return self._critic_for(materials)
        from terse.synthesis.learned.proposer import LearnedProposer

        return LearnedProposer(materials, self.network_for(materials), self)

    def _critic_for(self, materials: Materials) -> Proposer:
        from terse.synthesis.learned.critic_proposer import CriticProposer
        from terse.synthesis.learned.frozen import CutOutFeatures, MapFeatures

        if self.discriminator:
            raise RecipeError(
                "synthesis.discriminator: expected false beside synthesis.feedback: critic, got one; "
                "a critic moves no pose, so realism has nobody to teach"
            )
        critic = self.critic

        def frozen() -> CutOutFeatures | MapFeatures:
            if critic.features == "cut_outs":
                return CutOutFeatures(materials, critic.feature_steps)
            import torch

            network = self.model_copy(update={"network": "photographs", "train_backbone": False})
            with torch.random.fork_rng():
                torch.manual_seed(materials.seed)  # of weights that no file gives
                photographs = network.network_for(materials).to(materials.device)
            return MapFeatures(photographs.low_level, critic.channels, materials.seed)

        return CriticProposer(materials, critic, frozen, self.scene_limits)

    @property
    def messages(self) -> tuple[str, ...]:
        """What a user should know of these settings before a run begins."""
        drawn = self.feedback == "gradient" and self.network == "photographs" and self.backbone_weights is None
        if not drawn:
            return ()
        return (
            (
                f"synthesis.backbone_weights: none are named, so the synthesizer's {self.backbone} begins with random "
                "weights; the paper's begins with ImageNet's"
            ),
        )

    @property
    def discriminator_settings(self) -> DiscriminatorConfig:
        """The discriminator's settings, the paper's where the recipe says no more than true."""
        return self.discriminator if isinstance(self.discriminator, DiscriminatorConfig) else DiscriminatorConfig()

    @property
    def dropout_rate(self) -> float:
        """The dropout in use."""
        if self.dropout is not None:
            return self.dropout
        return 0.0 if self.noise_size or self.base == "random" else 0.5

    def network_for(self, materials: Materials) -> Any:
        """A fresh network."""
        noise_size = materials.poses.joint.size if self.base == "random" else self.noise_size
        if self.network == "digits":
            import numpy as np

            from terse.synthesis.learned.digits import INPUT_SHAPE, DigitSynthesizer

            first = np.zeros(1, np.int64)
            cut, background = materials.foregrounds.fetch(first), materials.backgrounds.fetch(first)
            for images in (cut.images * cut.alpha, background.images):
                shape = tuple(images.shape[1:])
                if shape != INPUT_SHAPE:
                    raise RecipeError(
                        f"synthesis.network: expected photographs for images of {_shape(shape)}, got digits, which takes "
                        f"{_shape(INPUT_SHAPE)} (channels, height, width)"
                    )
            return DigitSynthesizer(materials.poses.joint.size, noise_size, dropout=self.dropout_rate)
        from terse.synthesis.learned.photographs import PhotoSynthesizer

        return PhotoSynthesizer(
            pose_size=materials.poses.joint.size,
            backbone=self.backbone,
            until=self.backbone_until,
            weights=self.backbone_weights,
            backbone_input=self.backbone_input,
            input_px=self.input_px or materials.canvas_px,
            branch_channels=self.branch_channels,
            dropout=self.dropout_rate,
            noise_size=noise_size,
            occupancy=self.several,
            train_backbone=self.train_backbone,
        )


def _shape(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))
