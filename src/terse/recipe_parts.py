"""Settings of a run's parts: optimisers and phases, pool, objective, discriminator, drawing, process.

Settings of the paper are named beside ours.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from terse.config import (
    Config,
    Count,
    Fraction,
    NonNegative,
    Paper,
    Positive,
    SourcePath,
)
from terse.urls import url_of

__all__ = [
    "BLENDS",
    "ArtefactConfig",
    "Blend",
    "CheckpointConfig",
    "DiscriminatorConfig",
    "EdgeConfig",
    "GroupsConfig",
    "ObjectiveConfig",
    "OptimizerConfig",
    "PhaseConfig",
    "PoolConfig",
    "PretrainConfig",
    "RuntimeConfig",
]


class OptimizerConfig(Config):
    """An optimiser and its settings."""

    name: Literal["sgd", "adam"] = "sgd"
    """Which optimiser."""
    lr: Annotated[Positive, Paper(1e-2)] = 1e-2
    """Learning rate, the highest of its schedule."""
    momentum: Fraction = 0.9
    """SGD only; the paper has 0.9 (3.4) and 0.5 (A.1)."""
    weight_decay: Annotated[float, Field(ge=0), Paper(5e-4)] = 5e-4
    """Of all weights."""
    schedule: Literal["constant", "one_cycle", "cosine"] = "constant"
    """Of the learning rate over the phase; the paper's is constant."""
    schedule_over: Literal["phase", "run"] = "phase"
    """One schedule a cycle, or one over the phases of all cycles."""
    later_lr: Positive | None = None
    """The rate from cycle `later_from` on (Table 1: 1e-3 after 100 iterations)."""
    later_from: NonNegative = 100
    """The first cycle with `later_lr`."""
    max_grad_norm: Positive | None = None
    """Clip the gradient's norm; None clips nothing."""


class PhaseConfig(Config):
    """A phase that trains the target."""

    epochs: Annotated[NonNegative, Paper(30)] = 30
    """Passes over what `epoch` names."""
    batch_size: Annotated[Count, Paper(64)] = 64
    """Images of a step, real and synthetic together."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Of the target's weights."""
    real_per_synthetic: Annotated[float, Field(ge=0)] | Literal["all"] = "all"
    """Real images in an epoch for each synthetic one; `all` is all of them (paper 4.1), 1 is its photographs'."""
    steps: Count | None = None
    """Exactly so many steps instead of epochs: what equal budgets need."""
    epoch: Literal["pool", "real"] = "pool"
    """What an epoch goes over once: the pool, beside as many real images as `real_per_synthetic` says (ours), or all real
    images, the pool repeated to its share of them (paper A.2); composites alone and `all` real images know one epoch."""
    augment: bool | Literal["ssd"] = False
    """Flip and crop at random, real and synthetic images alike; `ssd`, for boxes alone, is SSD's own: photometric
    distortion, expansion, crops that keep a sampled overlap, flips."""
    photometric: bool = False
    """Change light, colour, sharpness and noise at random, real and synthetic images alike; the harvest does not."""
    evaluate_every: Count | None = None
    """Epochs between measurements on the validation images, for a curve; None measures at the end only."""


class PretrainConfig(PhaseConfig):
    """The phase before the first cycle, which makes the start."""

    composites: NonNegative = 0
    """Blind composites in an epoch beside the real images, drawn afresh each epoch; the paper's start has none."""


class PoolConfig(Config):
    """How much the pool of hard examples grows."""

    per_class: Annotated[Count | None, Paper(500)] = None
    """Hard examples of each class a cycle (A.1)."""
    per_cycle: Annotated[Count | None, Paper(500)] = 500
    """Hard examples a cycle, spread evenly over the classes (4.1)."""
    uneven: Annotated[float, Field(ge=1)] = 1.0
    """A class may take so many times its even share of `per_cycle`: an easy class then holds nobody up."""
    candidates: Count = 20_000
    """At most so many composites are proposed in one cycle's harvest, the last batch being whole; those of a class that is full
    are neither drawn nor judged."""
    mix: tuple[Fraction, Fraction] | None = None
    """Learned arms with `harvest: after`: shares of base draws and of the network's in the harvest, as [0.3, 0.7]; both
    are judged alike. None takes the network's alone."""
    cells: Annotated[int, Field(ge=2)] | None = None
    """A class takes at most `uneven` times an even share from one cell of the poses, where every number of the first
    object's pose is in one of so many bins; at least one. None limits nothing."""
    choose: Literal["first", "farthest"] = "first"
    """Which of the eligible ones enter the pool: the first found, or of `spare` times as many those that are farthest
    apart in the target's features and in their poses."""
    spare: Annotated[float, Field(ge=1)] = 2.0
    """choose: farthest: so many times the wanted number are collected."""
    passes_per_wanted: Positive | None = None
    """At most so many judging passes for each composite wanted; base draws that nobody judges then fill the pool. What a rule
    looks at once before a harvest, to compare references or to find its cut, is counted beside it."""
    refresh: Count | None = None
    """Draw the pool afresh, and judge it again, after so many epochs of `fine_tune`; a cycle then trains on its newest
    draw alone. None, the paper, keeps every composite and adds to them."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.mix is not None and abs(sum(self.mix) - 1) > 1e-6:
            raise ValueError(f"mix: expected two shares that sum to 1, got {list(self.mix)}; for example [0.3, 0.7]")
        return self


class ObjectiveConfig(Config):
    """What the synthesizer minimises: w_realism L_realism - w_fooling L_T + w_diversity L_diversity (Eq. 3)."""

    fooling: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the target's loss; the paper does not state it."""
    realism: Annotated[float, Field(ge=0)] | Literal["auto"] = 1.0
    """Weight of the discriminator's verdict, which the paper does not state; `auto` keeps the length of its gradient
    at the raw pose at `realism_share` of the target's, in the non-saturating form."""
    realism_share: Positive = 0.5
    """Where `realism` is `auto`, the length of the verdict's gradient over that of the target's loss."""
    form: Annotated[Literal["cross_entropy", "hinge", "log_one_minus"], Paper("cross_entropy")] = "cross_entropy"
    """Of the target's loss: -log p (Eq. 1), min(margin, hinge_margin), or log(1 - p), which leaves alone what is wrong."""
    hinge_margin: float = 1.0
    """The hinge counts the lead of the best wrong logit over the true one up to here."""
    cap: Positive | None = None
    """The target's loss counts up to here a sample; None is the paper's unbounded loss."""
    realism_form: Literal["saturating", "non_saturating"] = "saturating"
    """log(1 - D) as in Eq. 2, or -log D (Goodfellow et al. 2014)."""
    diversity: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the distance of each pose component's law to the uniform one; 0 is the paper."""
    coverage: Annotated[float, Field(gt=0, le=1)] | None = None
    """Hold the entropy of the poses so that they cover this share of each range; None, the paper, holds nothing."""
    coverage_weight: Positive = 0.1
    """Weight of the entropy at the first step; it tunes itself towards `coverage`."""
    coverage_rate: Positive = 0.2
    """How fast the weight's logarithm moves for each unit of log coverage that is missing."""
    coverage_store: NonNegative = 2048
    """So many poses of the latest steps are neighbours beside the batch's own."""
    overlap: Annotated[float, Field(ge=0)] = 1.0
    """Several objects: weight of what other pastes hide of an object beyond the arm's largest overlap, 0.5."""
    visibility: Annotated[float, Field(ge=0)] = 1.0
    """Several objects: weight of what is missing of an object's visible share below `least_visible`."""
    least_visible: Fraction = 0.25
    """Several objects: an object of which less is seen costs the synthesizer, however hard it is."""
    max_pose_gradient: Positive | None = None
    """Clip the gradient of each composite at its raw pose, before the network; None, the paper, clips nothing."""

    @property
    def effective_realism_form(self) -> Literal["saturating", "non_saturating"]:
        """The form in use: `auto` has the non-saturating one, whose gradient does not vanish where D is sure."""
        return "non_saturating" if self.realism == "auto" else self.realism_form


class DiscriminatorConfig(Config):
    """The third player: how it is built and trained (paper 3.3, A.2)."""

    lr: Annotated[Positive, Paper(1e-4)] = 1e-4
    """Of Adam, constant."""
    batch_size: Annotated[Count, Paper(16)] = 16
    """Real images of a step, and as many composites."""
    weight_sigma: Positive = 0.02
    """Of its first weights; the paper's "variance of 0.02" is 0.1414, its source has 0.02."""
    scales: Annotated[Count, Paper(1)] = 1
    """Networks, each on the image halved once more."""
    width: Annotated[Count, Paper(64)] = 64
    """Channels of the first layer."""
    input_px: Annotated[int, Field(ge=96)] | None = None
    """Side that images are shrunk to for it; None keeps the canvas. A quarter of the pixels is a quarter of the time."""
    warm_up_steps: Annotated[NonNegative, Paper(0)] = 0
    """Steps before the first cycle."""


class GroupsConfig(Config):
    """What the test images' own fields (in a COCO file) say of them, for a proof."""

    by: tuple[str, ...] = ()
    """Figures for each value of these fields, such as `condition`."""
    clusters: str | None = None
    """The field that tells what was filmed or photographed together, such as `video`: intervals then count the chance
    of these, class by class, instead of single images'. It takes two of a class at least to show any."""


class ArtefactConfig(Config):
    """Foreground-shaped patches of other backgrounds, pasted into backgrounds (paper 3.1, Fig. 5)."""

    count: NonNegative = 1
    """Patches an image; 0 turns them off (Table 2, columns 1 to 3)."""
    probability: Fraction = 0.5
    """Share of images, real and synthetic alike, that get patches."""


Blend = Literal["alpha", "gaussian", "box", "motion", "none", "poisson"]
"""How a paste is blended; all but the paper's `alpha` are drawn by the raster path (`compositing.blend`)."""
BLENDS: tuple[Blend, ...] = get_args(Blend)


class EdgeConfig(Config):
    """How a warped mask becomes the alpha that is blended (A.2, custom spatial transformer)."""

    binarise: bool = True
    """Keep alpha > 1 - 1e-4, straight-through gradient; the paper's own step is below float32 noise."""
    blur_sigma_px: Annotated[float, Field(ge=0)] = 1.0
    """Gaussian blur of the binary mask; 0 leaves it hard. Without `binarise` there is none, and it must be 0."""

    @field_validator("blur_sigma_px")
    @classmethod
    def _of_binary(cls, sigma_px: float, info: ValidationInfo) -> float:
        if sigma_px and not info.data.get("binarise", True):
            raise ValueError(f"expected 0 with binarise: false, got {sigma_px:g}; the blur is of a binary mask")
        return sigma_px


class CheckpointConfig(Config):
    """When a run writes its state."""

    every_steps: Count = 200
    """Steps inside a phase; a kill loses at most so many."""
    every_seconds: Positive = 120.0
    """Nor does it lose more than so much time, and one step."""
    each_cycle: bool = False
    """Keep the target after every cycle, `cycles/target-N.pth`; the page then shows what each one missed (Fig. 4, 11)."""


def _a_url(path: Path) -> Path:
    if url_of(path) is None:
        raise ValueError(f"expected a URL such as s3://bucket/pool, got {path}; the run's own pool is in its folder")
    return path


class RuntimeConfig(Config):
    """Where and how fast; never what is computed."""

    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes CUDA where there is one."""
    threads: NonNegative = 0
    """CPU threads of one process; 0 lets terse choose."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the networks; auto is bfloat16 where the CPU or GPU has units for it. float16, for GPUs without, scales gradients.
    Compositing is always float32."""
    workers: NonNegative = 0
    """Threads that decode images ahead of the step; 0 decodes in the step."""
    track: tuple[Literal["tensorboard", "mlflow"], ...] = ()
    """Where `terse train` sends its figures as well (extra `tracking`)."""
    publish: Annotated[SourcePath, AfterValidator(_a_url)] | None = None
    """A URL that a run's pool is sent to, shard by shard, when each is on the disk: `s3://BUCKET/POOL` (extra `s3`)."""
