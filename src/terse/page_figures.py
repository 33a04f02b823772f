"""What was measured for the page of a run or a proof when it ended: the typed content of `page/page.json`. No torch."""

from __future__ import annotations

from pydantic import Field

from terse.results import Coverage, Figures, HardnessCounts, Record

__all__ = ["AfterCycle", "Failures", "Modes", "ObjectShapes", "Patched", "Realism", "ShownFigures"]


class Realism(Record):
    """How well the run's last discriminator tells composites, and untouched backgrounds, from real images."""

    composites_auc: float
    backgrounds_auc: float


class ObjectShapes(Record):
    """Objects by their boxes, as the model sees them on its canvas."""

    objects: int
    size: float | None = None
    """Median square root of the box's area over the image's side."""
    aspect: float | None = None
    """Median width over height."""
    cut: float | None = None
    """Share whose box touches the image's border."""
    distance: dict[str, float] = Field(default_factory=dict)
    """From the missed real objects, 0 (alike) to 1: the largest difference of the distribution functions of size and of
    aspect, the difference of the shares cut. Empty for these themselves, and where one side has no objects."""
    by_chance: float | None = None
    """Two samples of these numbers from one law stay nearer than this in 95 of 100 cases, by size or aspect."""


class Modes(Record):
    """The hard composites of one cycle under the model that they were found with."""

    composites: int
    """As many of each cycle, evenly spread, so that entropies compare."""
    pair_entropy: float
    """Of the pairs (true class, class that the model says), in bits, over the objects that it gets wrong."""
    pairs: int
    """How many different ones occur."""
    clusters: float | None = None
    """Exponential of the entropy of the composites' shares of the clusters of base composites."""


class AfterCycle(Record):
    """What a model got wrong after so many cycles, and what the next cycle pasted against it."""

    cycle: int
    """0 is the start."""
    real: ObjectShapes
    missed: ObjectShapes
    base: ObjectShapes
    """Of composites under random poses."""
    hard: ObjectShapes | None = None
    """Of the next cycle's hard composites; None where there are none."""
    modes: Modes | None = None


class Failures(Record):
    """A run's model after each of its cycles (paper, Fig. 4 and 11)."""

    after: list[AfterCycle]
    images: int
    """Real images looked at."""
    clusters: int
    """Of base composites, in the features of the start."""
    base_clusters: float | None = None
    """`Modes.clusters` of as many base composites."""


class Patched(Record):
    """The final target and the discriminator on test images with an artefact patch each, and without (paper 3.1, Fig. 5)."""

    images: int
    """Test images that have room for a patch; both figures are of these."""
    plain: Figures
    """AP, false alarms an image, the share of the patches' places that a false alarm covers, and the mean of the
    discriminator's logits where the run had one."""
    patched: Figures
    ap50_change: tuple[float, float] | None = None
    """95 % interval of the change of AP50, by pseudo-values over blocks of images."""
    auc: float | None = None
    """How well the discriminator tells the same images with and without a patch; 0.5 is not at all."""


class ShownFigures(Record):
    """What was measured of the pool for the page, each by the name that the page gives it."""

    hardness: dict[str, HardnessCounts] = Field(default_factory=dict)
    coverage: dict[str, Coverage] = Field(default_factory=dict)
    realism: Realism | None = None
    failures: Failures | None = None
    """Where the target of every cycle was kept (`checkpoint.each_cycle`)."""
    patched: Patched | None = None
    seed: int | None = None
    """Of a proof: whose runs the pictures are of."""
