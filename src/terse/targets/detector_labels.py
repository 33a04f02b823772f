"""Which output of a detector stands for which class of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from terse.errors import RecipeError

__all__ = ["columns_of_classes"]


def columns_of_classes(
    classes: Sequence[str], outputs: int, labels: Mapping[str, int] | None, *, softmax: bool
) -> list[int]:
    """The detector's own label of each task class.

    Without `labels` the detector has the task's classes behind a background at 0, as torchvision counts, or,
    with sigmoid scores, no background at all.

    Raises:
        RecipeError: a class without a label, a label that the detector does not have, or one given twice.
    """
    if labels is None:
        if outputs == len(classes) + 1:
            return list(range(1, outputs))
        if outputs == len(classes) and not softmax:
            return list(range(outputs))
        raise RecipeError(
            f"target.labels: expected a label for each class, because the detector has {outputs} outputs "
            f"and the task {len(classes)} classes, got none; write labels: {{{classes[0]}: 1, ...}}"
        )
    first = 1 if softmax else 0
    missing = [name for name in classes if name not in labels]
    if missing:
        raise RecipeError(
            f"target.labels: expected a label for each of {', '.join(classes)}, got none for {', '.join(missing)}; "
            "add it"
        )
    columns = [labels[name] for name in classes]
    for name, column in zip(classes, columns, strict=True):
        if not first <= column < outputs:
            background = "; 0 is the background" if softmax else ""
            raise RecipeError(
                f"target.labels.{name}: expected an integer from {first} to {outputs - 1}, got {column}{background}"
            )
    if len(set(columns)) < len(columns):
        raise RecipeError(f"target.labels: expected a different label for each class, got {dict(labels)}")
    return columns
