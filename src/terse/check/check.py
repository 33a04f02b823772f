"""`terse check`: every look at a recipe or at data, in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terse.check.findings import Code, Found, Part
from terse.errors import TerseError
from terse.process import torch_defaults
from terse.progress import Observer, heard_by
from terse.report.parts import Fact
from terse.tasks.task import task_of

if TYPE_CHECKING:
    from terse.recipe import Recipe
    from terse.sources.run_data import RunData

__all__ = ["Checked", "check_data", "check_recipe"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at and what was found."""

    subject: str
    parts: Mapping[str, Part]
    found: Sequence[Found]
    recipe: Recipe | None = None
    facts: Sequence[Fact] = ()
    overrides: Sequence[str] = ()
    """Of the recipe, as they were typed."""

    @property
    def ready(self) -> bool:
        """Whether nothing stops a run."""
        return all(one.weight != "error" for one in self.found)

    @property
    def command(self) -> str:
        """Which command's way was looked at; of data without a recipe none's."""
        return "" if self.recipe is None else "generate" if self.recipe.for_sets_alone else "train"

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


@torch_defaults()
def check_data(settings: dict[str, Any], subject: str, *, sample: int = 0, observer: Observer | None = None) -> Checked:
    """Look at data without a recipe.

    Raises:
        TerseError: the data cannot be read at all.
    """
    from terse.check.objects import alike, cut_out_nothing, examine_masks, flawed_masks, what_is_left, without_masks
    from terse.check.parts import remarked, skipped
    from terse.check.pictures import broken, decode, repeated
    from terse.sources.guess import read_data

    observer = heard_by(observer)
    part = Part("data", read_data(settings))
    parts = {"data": part}
    prints = decode([part], sample, observer)
    found = [*skipped(parts), *remarked(parts), *broken([part], prints), *repeated(part, prints)]
    if part.annotations.masked.any():
        verdicts = examine_masks(part, [], sample, observer)
        found += [*flawed_masks(part, verdicts, cleanup=False), *what_is_left(part, None, [], verdicts, cleanup=True)]
        found += cut_out_nothing(part, verdicts)
    elif part.annotations.classes:
        found.append(without_masks(part))
    found += alike(part)
    empty = [name for name, count in part.annotations.count_classes().items() if not count]
    if empty:
        found.append(Found(code=Code.CLASSES_EMPTY, where="data", examples=empty))
    return Checked(subject, parts, found)


@torch_defaults()
def check_recipe(
    recipe: Recipe, subject: str, *, checkpoint: Path | None = None, sample: int = 0, observer: Observer | None = None
) -> Checked:
    """Look at everything that a recipe names; its own model only inside `terse.trust.trusting()`.

    Raises:
        TerseError: the checkpoint cannot be used.
    """
    from terse.check.objects import (
        alike,
        classes_of,
        compare_classes,
        examine_masks,
        flawed_masks,
        judges_of,
        what_is_left,
    )
    from terse.check.parts import open_parts, remarked, skipped
    from terse.check.pictures import broken, decode, hidden_objects, shared
    from terse.check.target import build_target

    observer = heard_by(observer)
    if recipe.data is not None:
        from terse.sources.run_data import run_data

        data = run_data(recipe)
        target, found = build_target(recipe, data.classes)
        found = [*_missing_files(recipe), *found]
        found += _refused(recipe, target, found, observer, data)
        return Checked(subject, {}, found, recipe, _drawn_facts(data))
    parts, found = open_parts(recipe, observer)
    classes = classes_of(recipe, parts)
    every_class = not recipe.for_sets_alone
    found += [*_missing_files(recipe), *skipped(parts), *remarked(parts)]
    found += compare_classes(classes, parts, every_class=every_class)
    target = None
    if classes and (checkpoint is not None or not recipe.for_sets_alone):  # a set asks no target
        target, more = build_target(recipe, classes)
        found += more
    prints = decode(list(parts.values()), sample, observer)
    found += [*broken(list(parts.values()), prints), *shared(parts, prints), *hidden_objects(parts, classes, prints)]
    if "foregrounds" in parts:
        pasted, judges = parts["foregrounds"], judges_of(parts)
        verdicts = examine_masks(pasted, judges, sample, observer)
        found += [*alike(pasted), *flawed_masks(pasted, verdicts, cleanup=recipe.cleanup)]
        found += what_is_left(pasted, recipe.classes, judges, verdicts, cleanup=recipe.cleanup, every_class=every_class)
    facts = []
    if target is not None and "backgrounds" in parts and task_of(recipe).predicts_boxes:
        searched, fact = _search(recipe, target, parts["backgrounds"], sample, observer, checkpoint)
        found += searched
        facts = [fact]
    found += _refused(recipe, target, found, observer)
    return Checked(subject, parts, found, recipe, facts)


def _refused(
    recipe: Recipe, target: Any, found: Sequence[Found], observer: Observer, data: RunData | None = None
) -> list[Found]:
    """What a run or a set refuses when it is built, though each of its parts is sound; nothing beside an error."""
    from terse.generate.trained import of_recipe
    from terse.sources.run_data import paste_data, run_data

    if any(one.weight == "error" for one in found):
        return []
    uncleaned = recipe.model_copy(update={"cleanup": False})  # what it takes was looked at
    try:
        if recipe.for_sets_alone:
            of_recipe(uncleaned, paste_data(uncleaned))
        else:
            _begin(recipe, target, data or run_data(uncleaned), observer)
    except TerseError as error:
        return [Found(code=Code.RUN_REFUSED, where="recipe", fields={"error": str(error)})]
    return []


def _begin(recipe: Recipe, target: Any, data: RunData, observer: Observer) -> None:
    """Do all that a run does before it trains, the target's first answers among it; nothing is written.

    Raises:
        TerseError: the run would be refused.
    """
    from terse.protocols import is_trainable, trainable
    from terse.run import build_players, check_target, join_session
    from terse.targets.copies import copy_of
    from terse.training.engine import Engine
    from terse.training.probe import check_answers

    engine = Engine()
    players = build_players(recipe, engine, data=data, target=target)
    check_target(players, recipe)
    task_of(recipe).check_groups(players.test, recipe.test_groups)
    unpublished = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"publish": None})})
    check_answers(join_session(unpublished, None, players, engine, observer))
    if is_trainable(players.target):
        copy_of(trainable(players.target))  # a run's pages will


def _search(
    recipe: Recipe, target: Any, part: Part, sample: int, observer: Observer, checkpoint: Path | None
) -> tuple[list[Found], Fact]:
    """Let the target look for objects in the backgrounds, where it can find any."""
    from terse.check.target import is_trained, unlabelled

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
    return [Found(code=Code.FILES_MISSING, where="synthesis", examples=gone)] if gone else []


def _drawn_facts(data: RunData) -> list[Fact]:
    names = ("foregrounds", "backgrounds", "train", "val", "test")
    return [Fact(name.capitalize(), f"{len(getattr(data, name)):,}", "drawn or read by data") for name in names]
