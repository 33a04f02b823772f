"""What a run, a proof and a page ask of the task: the one place that says what counts and how it is measured.

A new task is one file: a subclass of `Task` with `@register("task", KIND)`, in this folder or in a package that names
its module in the entry-point group `terse.task`. No module outside this folder asks for a task's name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from terse import registry
from terse.errors import RecipeError
from terse.tasks.groups import Figures, fields_of, named_by

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Int64
    from torch import Tensor

    from terse.protocols import Judges, RealImages
    from terse.recipe import Recipe
    from terse.recipe_parts import GroupsConfig
    from terse.tasks.answers import Answers
    from terse.types import Truth

__all__ = ["Details", "Metric", "Task", "known_metrics", "metric_of", "task", "task_of"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that `measure` gives, and how readers are told of it.

    Attributes:
        name: its key in `result.json`.
        heading: in tables and on axes.
        short: inside a sentence.
        larger_is_better: False for an error.
    """

    name: str
    heading: str
    short: str
    larger_is_better: bool = True

    def gain(self, before: float, after: float) -> float:
        """How much better `after` is; negative where it is worse."""
        return after - before if self.larger_is_better else before - after

    def better(self, before: float, after: float) -> bool:
        """Whether `after` is better; NaN is worse than every number."""
        return self.gain(before, after) > 0 or (math.isnan(before) and not math.isnan(after))


@dataclass(frozen=True, slots=True)
class Details:
    """What a proof measures beside a task's figures.

    Attributes:
        units: values whose mean is the primary metric.
        halves: the primary metric on half-samples of the test's clusters.
        groups: figures by field and value.
    """

    units: list[float]
    halves: list[float] = field(default_factory=list)
    groups: dict[str, dict[str, Figures]] = field(default_factory=dict)


class Task(ABC):
    """What depends on the task.

    Attributes:
        metrics: what `measure` gives, in the order of a table; further keys are shown under their own names.
        primary: the metric that chooses the kept cycle, that a proof compares and that heads a page.
        progress: the names of the metrics on a line of progress.
        default_arms: the arms of a proof whose user names none.
        predicts_boxes: `predict` gives boxes, labels and scores, so that `terse check` can search backgrounds.
        audits_pastes: a proof looks for pasted objects by their rims.
        one_object: an image has one object, so that arms may paste no more.
        needs: the optional fields of the truth that targets learn from: `masks`, `keypoints`.
        counts_groups: `details` heeds the recipe's `test_groups`; of a task that does not, they are refused.
    """

    metrics: ClassVar[tuple[Metric, ...]]
    primary: Metric
    progress: tuple[str, ...]
    default_arms: ClassVar[tuple[str, ...]] = ("none", "random", "mined", "learned")
    predicts_boxes: ClassVar[bool] = False
    audits_pastes: ClassVar[bool] = False
    one_object: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    counts_groups: ClassVar[bool] = False

    @abstractmethod
    def measure(self, target: Judges, images: RealImages, device: torch.device | str) -> dict[str, Any]:
        """The figures of a target on annotated images, JSON values; `primary` is one, None where nothing counts.

        `by_class` and `by_size`, where given, hold such figures of each class and size, with its number of `objects`.
        """

    @abstractmethod
    def units(self, target: Judges, images: RealImages, device: torch.device | str) -> list[float]:
        """Values whose mean is the primary metric, so that the chance of the images can be counted.

        Of the same images in the same order for every target: one an image, or one a block of images.
        """

    def details(self, target: Judges, images: RealImages, device: torch.device | str, groups: GroupsConfig) -> Details:
        """What a proof measures of a target beside `measure`; `units` alone, where a task says no more.

        Raises:
            RecipeError: as `check_groups`.
        """
        self.check_groups(images, groups)
        return Details(self.units(target, images, device))

    def check_groups(self, images: RealImages, groups: GroupsConfig) -> None:
        """See that a proof on these test images can count what `test_groups` names.

        Raises:
            RecipeError: the task counts no groups, or no image has a field of that name.
        """
        named = named_by(groups)
        if named and not self.counts_groups:
            raise RecipeError(
                f"test_groups: expected none with the task {type(self).__name__}, which counts neither groups nor clusters, "
                f"got {', '.join(named)}"
            )
        fields_of(images, groups)

    def flaw(self, predicted: Any, images: int, classes: Sequence[str]) -> str:
        """What is wrong with `predicted`, from `predict` of so many images: `RULE, got VALUE`; empty where nothing is."""
        return ""

    @abstractmethod
    def image_confidence(self, predicted: Any, labels: Sequence[Int64[Tensor, " _"]]) -> list[float]:
        """For each image the highest probability that `predicted`, from `predict`, gives to one of its labels."""

    def said(self, predicted: Any, truth: Truth) -> Int64[np.ndarray, " n"] | None:
        """The class that `predicted`, from `predict`, gives to each object of the truth, NOTHING (-1) where it gives none.

        None where the task has no such answer; the page then shows no failures by cycle.
        """
        return None

    @abstractmethod
    def answers(self, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]) -> Answers:
        """The images to which two targets answer differently, both targets on the CPU."""


def task(kind: str) -> Task:
    """A task by its kind.

    Raises:
        RecipeError: no such task; the nearest one is named.
    """
    found: Task = registry.lookup("task", kind)()
    return found


def task_of(recipe: Recipe) -> Task:
    """The task of a recipe, whose `primary` counts where it names one."""
    found = task(recipe.task)
    if recipe.primary is not None:
        found.primary = next(metric for metric in found.metrics if metric.name == recipe.primary)
        found.progress = tuple(dict.fromkeys((recipe.primary, *found.progress)))
    return found


def known_metrics() -> dict[str, Metric]:
    """The metrics of every registered task by name."""
    return {metric.name: metric for kind in registry.kinds("task") for metric in task(kind).metrics}


def metric_of(name: str) -> Metric:
    """A metric by its key in `result.json`; one that no task declares is shown under that name, larger is better."""
    plain = name.replace("_", " ")
    return known_metrics().get(name) or Metric(name, plain, plain)
