"""`terse check`: every look at a recipe or at data, in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terse.preflight.found import Found, Part
from terse.progress import Observer
from terse.report.parts import Fact
from terse.tasks.task import task

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["Checked", "check_data", "check_recipe"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at and what was found."""

    subject: str
    parts: Mapping[str, Part]
    found: Sequence[Found]
    recipe: Recipe | None = None
    facts: Sequence[Fact] = ()

    @property
    def ready(self) -> bool:
        """Nothing stops a run."""
        return all(one.weight != "error" for one in self.found)

    def leave_out(self) -> dict[str, list[str]]:
        """The lines of each part's list, without repeats; those to look at first stand behind a #."""
        lines: dict[str, dict[str, None]] = {}
        for one in self.found:
            for part, keys in one.leave_out.items():
                lines.setdefault(part, {}).update(dict.fromkeys(keys))
        for one in self.found:
            for part, keys in one.look_first.items():
                sure = lines.setdefault(part, {})
                sure.update(dict.fromkeys(f"# {key}" for key in keys if key not in sure))
        return {part: list(keys) for part, keys in lines.items()}


def check_data(settings: dict[str, Any], subject: str, *, sample: int = 0, observer: Observer | None = None) -> Checked:
    """Look at data without a recipe.

    Raises:
        TerseError: the data cannot be read at all.
    """
    from terse.preflight.classes import count_classes
    from terse.preflight.guess import read_data
    from terse.preflight.masks import examine_masks
    from terse.preflight.parts import skipped
    from terse.preflight.pictures import broken, decode, repeated

    observer = observer or Observer()
    part = Part("data", read_data(settings, "data"))
    parts = {"data": part}
    prints = decode([part], sample, observer)
    found = [*skipped(parts), *broken([part], prints), *repeated(part, prints)]
    if part.notes.masked.any():
        found += examine_masks(part, sample, observer, cleanup=False)
    elif part.notes.classes:
        advice = "None of its objects has a mask: these images can train and judge, and nothing can be cut out of them."
        found.append(Found("note", "No masks", "data", advice))
    empty = [name for name, count in count_classes(part.notes).items() if not count]
    if empty:
        found.append(Found("note", "Classes without an object", "data", "They are named and never used.", empty))
    return Checked(subject, parts, found)


def check_recipe(
    recipe: Recipe, subject: str, *, checkpoint: Path | None = None, sample: int = 0, observer: Observer | None = None
) -> Checked:
    """Look at everything that a recipe names.

    Raises:
        TerseError: the checkpoint cannot be used.
    """
    from terse.preflight.classes import build_target, classes_of, compare_classes

    observer = observer or Observer()
    if recipe.data is not None:
        from terse.sources.run_data import run_data

        material = run_data(recipe)
        _, found = build_target(recipe, material.classes)
        return Checked(subject, {}, [*_missing_files(recipe), *found], recipe, _drawn_facts(material))
    from terse.preflight.masks import examine_masks
    from terse.preflight.parts import open_parts, skipped
    from terse.preflight.pictures import broken, decode
    from terse.preflight.shared import hidden_objects, shared

    parts, found = open_parts(recipe)
    classes = classes_of(recipe, parts)
    found += [*_missing_files(recipe), *skipped(parts), *compare_classes(classes, parts)]
    target = None
    if classes:
        target, more = build_target(recipe, classes)
        found += more
    prints = decode(list(parts.values()), sample, observer)
    found += [*broken(list(parts.values()), prints), *shared(parts, prints), *hidden_objects(parts, classes, prints)]
    if "foregrounds" in parts:
        found += examine_masks(parts["foregrounds"], sample, observer, cleanup=recipe.cleanup)
    fact = None
    if target is not None and "backgrounds" in parts:
        searched, fact = _search(recipe, target, parts["backgrounds"], sample, observer, checkpoint)
        found += searched
    return Checked(subject, parts, found, recipe, [] if fact is None else [fact])


def _search(
    recipe: Recipe, target: Any, part: Part, sample: int, observer: Observer, checkpoint: Path | None
) -> tuple[list[Found], Fact | None]:
    """Let the target look for objects in the backgrounds, where it can find any."""
    from terse.preflight.backgrounds import is_trained, unlabelled

    if not task(recipe.task).predicts_boxes:
        return [], None
    if checkpoint is None and not is_trained(recipe, target):
        observer.say(
            "backgrounds: not searched for objects, because the target is not trained yet; give --checkpoint F"
        )
        return [], Fact("Backgrounds searched", "0", "the target is not trained yet; give --checkpoint")
    found = unlabelled(recipe, target, part, sample, observer, checkpoint)
    return found, Fact("Backgrounds with finds", str(sum(len(one.examples) for one in found)), "by the target itself")


def _missing_files(recipe: Recipe) -> list[Found]:
    """Files of the synthesizer that are not there; the target says so itself when it is built."""
    fields = recipe.synthesis.model_dump() if recipe.synthesis is not None else {}
    gone = [
        f"synthesis.{name}: {path}" for name, path in fields.items() if isinstance(path, Path) and not path.exists()
    ]
    return [Found("error", "Files missing", "synthesis", "A run stops; give their paths.", gone)] if gone else []


def _drawn_facts(material: Any) -> list[Fact]:
    names = ("foregrounds", "backgrounds", "train", "val", "test")
    return [Fact(name.capitalize(), f"{len(getattr(material, name)):,}", "drawn or read by data") for name in names]
