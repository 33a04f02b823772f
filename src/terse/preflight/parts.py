"""The sources of a recipe, each read by itself: one that cannot be read does not hide the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from terse.errors import TerseError
from terse.preflight.found import Found, Part

if TYPE_CHECKING:
    from terse.recipe import Recipe
    from terse.sources.annotations import Annotations

__all__ = ["open_parts", "skipped"]

PARTS = ("foregrounds", "backgrounds", "train", "val", "test")
_UNREADABLE = ("expected an image file", "expected a whole image", "expected at most", "expected integer pixels")


def open_parts(recipe: Recipe) -> tuple[dict[str, Part], list[Found]]:
    """The parts that can be read, split as a run splits them, and errors for those that cannot."""
    parts: dict[str, Part] = {}
    found: list[Found] = []
    for name in PARTS:
        config: Any = getattr(recipe, name)
        if config is None or isinstance(config, float):
            if config is None and name in ("foregrounds", "backgrounds", "train"):
                found.append(
                    Found(
                        "error", "Source missing", name, f"{name}: expected a source of images, got nothing; name one"
                    )
                )
            continue
        try:
            parts[name] = Part(name, config.build(), config.leave_out)
        except TerseError as error:
            found.append(Found("error", "Source that cannot be read", name, f"{error}."))
    _split(recipe, parts)
    return {name: parts[name] for name in PARTS if name in parts}, found


def _split(recipe: Recipe, parts: dict[str, Part]) -> None:
    """Hold out of train what the recipe gives as a fraction, as a run does."""
    from terse.sources.run_data import split_train

    if "train" in parts:
        train = parts["train"]
        for name, notes in split_train(recipe, train.notes).items():
            if name == "train":
                parts[name] = Part(name, notes, train.leave_out)
            else:
                parts[name] = Part(name, _without_skipped(notes), held_out_of="train")


def _without_skipped(notes: Annotations) -> Annotations:
    """Skipped files are train's: they are named once."""
    from dataclasses import replace

    return replace(notes, skipped=())


def skipped(parts: dict[str, Part]) -> list[Found]:
    """What the sources left out by themselves: files first, then annotations."""
    files: dict[str, list[str]] = {}
    sizes: dict[str, list[str]] = {}
    others: dict[str, list[str]] = {}
    for part in parts.values():
        for item in part.notes.skipped:
            if item.reason.startswith(_UNREADABLE):
                kind = files
            elif item.reason.startswith("expected the annotated size"):
                kind = sizes
            else:
                kind = others
            kind.setdefault(str(item), []).append(part.name)
    told = (
        ("Files that cannot be read", files, "They are left out of every run; restore them or take them off the list."),
        (
            "Files of another size than annotated",
            sizes,
            "They are left out; their boxes belong to another copy of them.",
        ),
        ("Annotations that cannot be used", others, "What each sentence names is left out; correct it at its source."),
    )
    return [Found("warning", name, ", ".join(_names(kind)), advice, list(kind)) for name, kind, advice in told if kind]


def _names(kind: dict[str, list[str]]) -> list[str]:
    return list(dict.fromkeys(part for names in kind.values() for part in names))
