"""One class an image: accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from terse.registry import register
from terse.tasks.answers import Answer, Answers, Change
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

__all__ = ["Classification"]

_ACCURACY = Metric("accuracy", "Accuracy", "accuracy")
_BATCH = 500
_ROUNDING = 0.02  # of bfloat16
_MOST_LOOKED_AT, _MOST_SHOWN = 2000, 24


@register("task", "classification")
class Classification(Task):
    """Images with one object each; `predict` gives probabilities `(b, classes)`.

    Source: paper 4.1 and Table 1 (error is 1 - accuracy).
    """

    metrics = (_ACCURACY,)
    primary = _ACCURACY
    progress = ("accuracy",)
    one_object = True
    counts_groups = True

    def measure(self, target: Judges, images: RealImages, device: torch.device | str) -> dict[str, Any]:
        """`accuracy`: the share of images whose most probable class is the true one."""
        return {"accuracy": sum(self.units(target, images, device)) / max(1, len(images))}

    def units(self, target: Judges, images: RealImages, device: torch.device | str) -> list[float]:
        """1 for each image whose most probable class is the true one, else 0."""
        from terse.evaluation.predictions import predictions

        right: list[float] = []
        for probabilities, truth in predictions(target, images, batch_size=_BATCH, device=device):
            right += (probabilities.argmax(dim=1).cpu() == truth.labels).double().tolist()
        return right

    def details(self, target: Judges, images: RealImages, device: torch.device | str, groups: GroupsConfig) -> Details:
        """Right or wrong image by image, the primary metric on half-samples and by the images' fields.

        Raises:
            RecipeError: no image has a field of that name.
        """
        import numpy as np

        fields = fields_of(images, groups)
        units = np.array(self.units(target, images, device))

        def mean(rows: np.ndarray) -> float:
            return float(units[rows].mean())

        def figures(rows: np.ndarray) -> Figures:
            return {self.primary.name: mean(rows), "images": len(rows)}

        halves = half_samples(mean, _truth_of(images), fields[groups.clusters]) if groups.clusters else []
        return Details(units.tolist(), halves, {name: by_value(fields[name], figures) for name in groups.by})

    def flaw(self, predicted: Any, images: int, classes: Sequence[str]) -> str:
        """Probabilities, a row an image."""
        shape = tuple(getattr(predicted, "shape", ()))
        if shape != (images, len(classes)):
            got = f"a tensor of {shape}" if shape else type(predicted).__name__
            return f"probabilities of ({images}, {len(classes)}), the classes being {', '.join(classes)}, got {got}"
        if not bool(predicted.isfinite().all()):
            return "probabilities, got NaN or infinity; look at its weights and at how it normalises"
        sums = predicted.float().sum(dim=1)
        fine = bool(((sums - 1).abs() < _ROUNDING).all() and (predicted >= 0).all())
        return "" if fine else f"probabilities that sum to 1, got rows that sum to {sums.tolist()}; are they logits?"

    def image_confidence(self, predicted: Any, labels: Sequence[Int64[Tensor, " _"]]) -> list[float]:
        """The probability of the true class."""
        rows = predicted.cpu().double()
        return [float(row[of].max()) if len(of) else 0.0 for row, of in zip(rows, labels, strict=True)]

    def said(self, predicted: Any, truth: Truth) -> Int64[np.ndarray, " n"]:
        """The most probable class."""
        found: Int64[np.ndarray, " n"] = predicted.argmax(dim=1).cpu().numpy()
        return found

    def answers(self, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]) -> Answers:
        """Images whose answer changed, gains and losses in the proportion in which they occur.

        Source: paper, Fig. 9.
        """
        import numpy as np
        import torch

        from terse.evaluation.predictions import spread

        rows = spread(len(images), _MOST_LOOKED_AT)
        predicted, truth = [], []
        for part in np.array_split(rows, -(-len(rows) // _BATCH)):
            batch, known = images.fetch(part)
            with torch.no_grad():
                predicted.append(torch.stack([before.predict(batch), after.predict(batch)]).float().cpu())
            truth.append(known.labels)
        score, guess = torch.cat(predicted, dim=1).max(dim=2)
        label = torch.cat(truth)
        right = guess == label
        gained, lost = (torch.nonzero(~right[0] & right[1]).flatten(), torch.nonzero(right[0] & ~right[1]).flatten())
        share = round(_MOST_SHOWN * len(lost) / max(1, len(lost) + len(gained)))
        losses = min(len(lost), max(share, 1))
        shown = torch.cat([gained[spread(len(gained), _MOST_SHOWN - losses)], lost[spread(len(lost), losses)]])
        changes = []
        for k in shown.tolist():
            old, new = (_answer(classes[int(guess[i, k])], float(score[i, k]), right=bool(right[i, k])) for i in (0, 1))
            changes.append(Change(int(rows[k]), f"truth: {classes[int(label[k])]}", old, new))
        return Answers(
            changes,
            f"Of {len(rows):,} images, {len(gained):,} went from wrong to right and {len(lost):,} from right to "
            f"wrong. Shown are {len(changes)} of these.",
        )


def _truth_of(images: RealImages) -> Truth:
    """What is true of all images."""
    import numpy as np

    from terse.types import Truth

    starts = range(0, len(images), _BATCH)
    return Truth.join([images.fetch(np.arange(i, min(i + _BATCH, len(images))))[1].with_only() for i in starts])


def _answer(name: str, score: float, *, right: bool) -> Answer:
    return Answer(f"{name}, p {score:.2f}, {'right' if right else 'wrong'}", tone="good" if right else "bad")
