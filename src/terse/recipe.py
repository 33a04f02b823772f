"""The recipe: everything that describes a run, and nothing that a run finds out.

Settings of the paper are named beside ours; the built-in recipes under `recipes/` say which one they take.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from terse import registry
from terse.config import (
    Component,
    Config,
    Family,
    Names,
    NonNegative,
    Paper,
    extras_of,
    known_kind,
)
from terse.errors import RecipeError
from terse.paper_numbers import PaperName
from terse.recipe_files import read_settings
from terse.recipe_parts import (
    ArtefactConfig,
    CheckpointConfig,
    EdgeConfig,
    GroupsConfig,
    ObjectiveConfig,
    PhaseConfig,
    PoolConfig,
    PretrainConfig,
    RuntimeConfig,
)
from terse.recipe_rules import check_together
from terse.validation import overlay, validate
from terse.yaml_text import read_yaml_file, write_yaml

if TYPE_CHECKING:  # what the components build; none of it is imported with a recipe
    from terse.evaluation.hardness import HardnessRule
    from terse.poses import PoseFamily
    from terse.protocols import Judges, Proposer
    from terse.sources.annotations import Annotations
    from terse.sources.run_data import RunData

__all__ = [
    "NOT_COMPARED",
    "Recipe",
    "as_recipe",
    "begun_with",
    "dump_recipe",
    "extras_needed",
    "load_recipe",
]

_NAME_BYTES = 200
_OF_FINE_TUNE = ("batch_size", "optimizer", "augment", "photometric")

NOT_COMPARED = ("runtime", "checkpoint", "description", "paper")
"""Keys that may change when a run goes on: they do not change what it finds."""


Source = Annotated[Component["Annotations"], Family("source")]
SourceOrFraction = Annotated[Component["Annotations"] | float, Family("source", or_fraction=True)]


def _plain_name(name: str) -> str:
    plain = name.isprintable() and not {"/", "\\"} & set(name) and name.strip(". ") and not name.startswith(("~", "-"))
    if not plain or len(name.encode()) > _NAME_BYTES:
        raise ValueError(
            f"expected one plain part of a path, without slashes, of at most {_NAME_BYTES} bytes, got {name!r}"
        )
    return name


class Recipe(Config):
    """One run, whole."""

    name: Annotated[str, AfterValidator(_plain_name)] = "recipe"
    """Names the folder of its runs."""
    description: str = ""
    """A sentence that `terse recipes` lists."""
    paper: tuple[PaperName, ...] = ()
    """Tables and figures whose numbers a page shows beside ours; a recipe over this one does not take them over."""
    task: Annotated[str, known_kind("task")]
    """classification, detection, or another that an installed package registers."""
    primary: str | None = None
    """The metric that chooses the kept cycle, that a proof compares and that heads a page; None takes the task's."""
    seed: NonNegative = 0
    """Of what a run draws at random; which images val and test hold out does not depend on it."""
    cycles: Annotated[NonNegative, Paper(5)] = 5
    """Rounds of finding what the target fails and training it on that."""
    data: Annotated[Component["RunData"], Family("data")] | None = None
    """A source that supplies foregrounds, backgrounds and real images at once (digits, drawn scenes)."""
    foregrounds: Source | None = None
    """Objects with masks, or cut-outs, that are pasted."""
    backgrounds: Source | None = None
    """What is pasted on."""
    train: Source | None = None
    """Real images with labels, which the target learns beside the composites."""
    val: SourceOrFraction | None = None
    """A source, or the fraction of train that is held out."""
    test: SourceOrFraction | None = None
    """What proves the model; val only chooses it."""
    classes: Names | None = None
    """The task's classes, in the order of the labels; None takes the foregrounds'."""
    judged: Names | None = None
    """Classes that count in val and test; None counts all. The target may know more than composites are made of."""
    canvas_px: Annotated[int, Field(ge=1, le=16_384)] = 300
    """Side of the square canvas that composites are drawn on."""
    cleanup: bool = True
    """Leave out foregrounds whose mask and box disagree (Table 2, column 2)."""
    target: Annotated[Component["Judges"], Family("target")]
    """The model that is to get better."""
    synthesis: Annotated[Component["Proposer | None"], Family("synthesis")]
    """How composites are proposed, and which of them are kept (the arm)."""
    poses: Annotated[Component["PoseFamily"] | tuple[Component["PoseFamily"], ...], Family("pose", or_list=True)]
    """One family, or a list of them in the order in which they act on a foreground."""
    edges: EdgeConfig | None = None
    """None blends the warped mask as it is (digits)."""
    artefacts: ArtefactConfig = ArtefactConfig(count=0)
    """Foreground-shaped patches of other backgrounds, so that the rims of pastes give nothing away (A.2)."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What the network of the arm `learned` minimises (Eq. 3)."""
    hardness: Annotated[Component["HardnessRule"], Family("hardness")]
    """Which composites count as failed by the target."""
    pool: PoolConfig = PoolConfig()
    """How many hard composites each cycle keeps, and of how many that are looked at."""
    alternation: Literal["phase", "batch"] = "phase"
    """A cycle trains the synthesizer, then harvests, then trains the target (A.1, A.2); or each step updates synthesizer,
    discriminator and target in turn (3.4), and a running threshold spreads the harvest over the cycle."""
    pretrain: PretrainConfig | None = None
    """How the start is trained from real images; None starts from the target's own weights. Of batch_size, optimizer, augment
    and photometric it takes over from `fine_tune` what it does not name."""
    fine_tune: PhaseConfig = PhaseConfig()
    """How each cycle trains the target on real images and the pool."""
    test_groups: GroupsConfig = GroupsConfig()
    """What the test images' own fields say of them: figures by group, intervals that count clusters."""
    keep: Literal["best", "last"] = "best"
    """The target that is kept: of the cycle that is best on val, the start included, or of the last one."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """What a run saves under way."""
    runtime: RuntimeConfig = RuntimeConfig()
    """Where and how fast a run computes, and where its figures go."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The optional fields of the truth that the task's targets learn from."""
        found: tuple[str, ...] = registry.lookup("task", self.task).needs
        return found

    @property
    def for_sets_alone(self) -> bool:
        """Whether nothing is trained and nothing named to train on: `terse generate` pastes what it names, no run begins."""
        return not (self.cycles or self.pretrain or self.train or self.data)

    @model_validator(mode="before")
    @classmethod
    def _start_as_fine_tuned(cls, settings: Any) -> Any:
        """`pretrain: {steps: 600}` over a detector's recipe: not with the digits' optimiser, which is the default."""
        first, later = (
            settings.get(name) if isinstance(settings, Mapping) else None for name in ("pretrain", "fine_tune")
        )
        if not isinstance(first, Mapping) or not isinstance(later, Mapping):
            return settings
        return {**settings, "pretrain": {**{key: later[key] for key in _OF_FINE_TUNE if key in later}, **first}}

    @model_validator(mode="after")
    def _together(self) -> Self:
        check_together(self)
        return self


def extras_needed(name: str) -> tuple[str, ...]:
    """The extras that a recipe's components need, by name."""
    return extras_of(Recipe, read_settings(Recipe, name)[0])


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a built-in name or a file, with `key=value` overrides.

    Raises:
        RecipeError: no such recipe, not YAML, or a setting that is refused; the setting is named.
    """
    settings, folder = read_settings(Recipe, str(name))
    settings = overlay(Recipe, settings, overrides)
    settings.setdefault("name", Path(name).stem)
    return validate(Recipe, settings, folder)


def as_recipe(recipe: Recipe | str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe itself, or that of a built-in name or a file, with overrides.

    Raises:
        RecipeError: as `load_recipe`, or overrides beside a Recipe object.
    """
    if not isinstance(recipe, Recipe):
        return load_recipe(recipe, overrides)
    if overrides:
        raise RecipeError("overrides: expected none beside a Recipe object, got some; use recipe.model_copy")
    return recipe


def begun_with(path: Path) -> dict[str, Any]:
    """The settings that a run or a proof was begun with, by its `recipe.yaml`; those of a younger version at their defaults.

    What this version does not take stays as it is written, to be compared by what differs.

    Raises:
        RecipeError: the file cannot be read.
    """
    settings = read_yaml_file(path)
    try:
        return validate(Recipe, settings, None).model_dump(mode="json")
    except RecipeError:
        return settings


def dump_recipe(recipe: Recipe) -> str:
    """The YAML text of a resolved recipe; loading it gives an equal object."""
    return write_yaml(recipe.model_dump(mode="json"))
