"""Numbers that move with the pose: mean error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from terse.registry import register
from terse.tasks.answers import Answer, Answers, Box, Change
from terse.tasks.groups import Figures, by_value, fields_of, half_samples
from terse.tasks.task import Details, Metric, Task

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Int64
    from torch import Tensor

    from terse.protocols import Judges, RealImages
    from terse.recipe_parts import GroupsConfig
    from terse.types import Truth

__all__ = ["Regression"]

_ERROR = Metric("mean_error", "Mean error", "mean error", larger_is_better=False)
_BATCH = 64
_MOST_LOOKED_AT, _MOST_SHOWN = 64, 8
_DOT = 0.012  # radius of a drawn point, and length of a drawn direction, over the image's side
_ARROW = 0.2


@register("task", "regression")
class Regression(Task):
    """Images with one object each; `predict` gives points `(b, k, 2)` of the target's `quantity`.

    A centre and keypoints are fractions of width and height, and errors are in the same unit; an angle is a vector of
    length 1 and its error is in degrees (`terse.targets.regression.quantities`). A target without `quantity` says centres.

    Source: ours; the paper names other tasks as future work (5).
    """

    metrics = (_ERROR, Metric("within", "Share within the tolerance", "share within the tolerance"))
    primary = _ERROR
    progress = ("mean_error", "within")
    one_object = True
    needs = ("keypoints",)
    counts_groups = True

    def measure(self, target: Judges, images: RealImages, device: torch.device | str) -> dict[str, Any]:
        """`mean_error` of the points that are known, and `within`, the share of them within the target's tolerance."""
        found, _ = _errors_of(target, images, device)
        return {**_figures(found, _tolerance(target)), "images": len(images)}

    def units(self, target: Judges, images: RealImages, device: torch.device | str) -> list[float]:
        """Of each image that has a known point, the mean error, or the share of its points within the tolerance.

        Where images have different numbers of known points, which all count alike, an image with more of them counts more: the
        metric, and how far the image moves it.
        """
        return self._units(_errors_of(target, images, device)[0], _tolerance(target))

    def _units(self, found: Sequence[Sequence[float]], tolerance: float) -> list[float]:
        known = [one for one in found if one]
        if self.primary.name == "within":
            known = [[float(error <= tolerance) for error in one] for one in known]
        if not known:
            return []
        points = sum(map(len, known))
        mean = sum(map(sum, known)) / points
        return [mean + (sum(one) - mean * len(one)) * len(known) / points for one in known]

    def details(self, target: Judges, images: RealImages, device: torch.device | str, groups: GroupsConfig) -> Details:
        """Images' figures, the primary metric on half-samples, and the metrics by the images' fields.

        Raises:
            RecipeError: no image has a field of that name.
        """
        import numpy as np

        fields, tolerance = fields_of(images, groups), _tolerance(target)
        if not fields:
            return Details(self.units(target, images, device))
        found, truth = _errors_of(target, images, device)

        def figures(rows: np.ndarray) -> Figures:
            return {**_figures([found[row] for row in rows], tolerance), "images": len(rows)}

        def metric(chosen: np.ndarray) -> float:
            value = figures(np.flatnonzero(chosen))[self.primary.name]
            assert value is not None  # the images of a cluster have known points
            return value

        halves = half_samples(metric, truth, fields[groups.clusters]) if groups.clusters else []
        return Details(
            self._units(found, tolerance), halves, {name: by_value(fields[name], figures) for name in groups.by}
        )

    def image_confidence(self, predicted: Any, labels: Sequence[Int64[Tensor, " _"]]) -> list[float]:
        """0: a regressor gives no probability without the truth."""
        return [0.0] * len(labels)

    def answers(self, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]) -> Answers:
        """The images whose error changed most, for better or worse.

        Source: paper, Fig. 9.
        """
        import numpy as np

        from terse.evaluation.predictions import spread

        rows = spread(len(images), _MOST_LOOKED_AT)
        ranked: list[tuple[float, Change]] = []
        for row in rows.tolist():
            image, truth = images.fetch(np.array([row]))
            old, new = (_answer(target, image, truth, classes) for target in (before, after))
            if old is not None and new is not None:
                ranked.append((old[0] - new[0], Change(row, f"image {row}", old[1], new[1])))
        shown = sorted(ranked, key=lambda pair: -abs(pair[0]))[:_MOST_SHOWN]
        better = sum(change > 0 for change, _ in ranked)
        return Answers(
            [change for _, change in shown],
            f"Of {len(ranked)} images, the error fell in {better} and rose in {len(ranked) - better}. Shown are the "
            "images that changed most; an answer counts as found within the tolerance.",
        )


def _tolerance(target: Judges) -> float:
    from terse.targets.regression.quantities import default_tolerance

    return float(getattr(target, "tolerance", None) or default_tolerance(getattr(target, "quantity", "centre")))


def _figures(found: Sequence[Sequence[float]], tolerance: float) -> Figures:
    """`mean_error` and `within` of the known points of images."""
    every = [error for one in found for error in one]
    near = sum(error <= tolerance for error in every)
    return {
        "mean_error": sum(every) / len(every) if every else None,
        "within": near / len(every) if every else None,
    }


def _errors_of(target: Judges, images: RealImages, device: torch.device | str) -> tuple[list[list[float]], Truth]:
    """The errors of each image's known points, and what is true; an object without any is ignored."""
    from terse.evaluation.predictions import predictions
    from terse.targets.regression.quantities import errors, true_points
    from terse.types import Truth

    quantity: Any = getattr(target, "quantity", "centre")
    size_px = _size_px(images)
    found: list[list[float]] = []
    truths: list[Truth] = []
    for predicted, truth in predictions(target, images, batch_size=_BATCH, device=device):
        wanted, known = true_points(quantity, truth, size_px)
        _check(predicted, wanted)
        apart = errors(quantity, predicted.float().cpu(), wanted)
        found += [row[of].tolist() for row, of in zip(apart, known, strict=True)]
        truths.append(replace(truth.with_only(), ignore=~known.any(dim=1)))
    return found, Truth.join(truths) if truths else Truth.empty(0)


def _size_px(images: RealImages) -> tuple[int, int]:
    import numpy as np

    shape = images.fetch(np.zeros(1 if len(images) else 0, dtype=np.int64))[0].shape
    return shape[-2], shape[-1]


def _check(predicted: Any, wanted: Tensor) -> None:
    from torch import Tensor

    from terse.errors import ShapeError

    if not isinstance(predicted, Tensor) or predicted.shape != wanted.shape:
        got = tuple(predicted.shape) if isinstance(predicted, Tensor) else type(predicted).__name__
        raise ShapeError(f"target: expected points of the shape {tuple(wanted.shape)} from predict, got {got}")


def _answer(target: Judges, image: Tensor, truth: Truth, classes: tuple[str, ...]) -> tuple[float, Answer] | None:
    """The mean error, and the points beside the true ones; None where nothing is known."""
    import torch

    from terse.targets.regression.quantities import errors, true_points

    quantity: Any = getattr(target, "quantity", "centre")
    height, width = image.shape[-2:]
    wanted, known = true_points(quantity, truth, (height, width))
    with torch.no_grad():
        found = target.predict(image).float().cpu()
    _check(found, wanted)
    rows = known[0].nonzero().flatten().tolist()
    if not rows:
        return None
    apart = errors(quantity, found, wanted)[0]
    mean = float(apart[rows].mean())
    middle = ((truth.boxes_px[0, :2] + truth.boxes_px[0, 2:]) / 2).tolist()
    boxes = []
    for row in rows:
        right = bool(apart[row] <= _tolerance(target))
        for point, state in ((wanted[0, row], "truth"), (found[0, row], "correct" if right else "false")):
            drawn = _arrow(point, middle, width) if quantity == "angle" else _dot(point, (width, height))
            boxes.append(Box(drawn[0], classes[int(truth.labels[0])], None, state, drawn[1]))  # type: ignore[arg-type]
    unit = "\N{DEGREE SIGN}" if quantity == "angle" else ""
    return mean, Answer(f"error {mean:.1f}{unit}" if unit else f"error {mean:.3f}", boxes)


def _dot(point: Tensor, size_px: tuple[int, int]) -> tuple[tuple[float, float, float, float], str]:
    """A small circle about a point, as a box and as a path."""
    x, y = round(float(point[0]) * size_px[0], 1), round(float(point[1]) * size_px[1], 1)
    r = round(_DOT * max(size_px), 1)
    return (
        x - r,
        y - r,
        x + r,
        y + r,
    ), f"M{x - r:g} {y:g}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0Z"


def _arrow(point: Tensor, middle: Sequence[float], side_px: int) -> tuple[tuple[float, float, float, float], str]:
    """A line from the object's middle in a direction."""
    (x, y), length = middle, _ARROW * side_px
    end_x, end_y = x + length * float(point[0]), y + length * float(point[1])
    box = min(x, end_x), min(y, end_y), max(x, end_x), max(y, end_y)
    return box, f"M{x:.1f} {y:.1f}L{end_x:.1f} {end_y:.1f}"
