"""What a check finds: one code for each kind of finding, with its severity and its sentence, and what it is told with.

Code decides by the code of a finding alone. Its sentences are written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from pathlib import Path
from types import MappingProxyType

import numpy as np

from terse.report.check_page import Weight
from terse.sources.annotations import Annotations
from terse.sources.cleanup import Flaw
from terse.tasks.answers import Box

__all__ = ["MASK_CODES", "Code", "Found", "Part", "Show", "sampled"]


@unique
class Code(Enum):
    """The kinds of findings, each with how it is told; `{...}` stands for a finding's fields.

    Attributes:
        weight: an error stops a run, a warning makes it worse, a note is worth knowing.
        heading: the kind in a few words.
        advice: what it does to a run and what to do.
    """

    def __init__(self, weight: Weight, heading: str, advice: str) -> None:
        self.weight: Weight = weight
        self.heading, self.advice = heading, advice

    def __str__(self) -> str:
        """As `findings.json` names it."""
        return self.name.lower()

    SOURCE_MISSING = ("error", "Source missing", "{where}: expected a source of images, got nothing; name one")
    SOURCE_UNREADABLE = ("error", "Source that cannot be read", "{error}.")
    FILES_MISSING = ("error", "Files missing", "A run stops; give their paths.")
    TARGET_UNFIT = ("error", "Target that does not fit", "{error}.")
    RUN_REFUSED = ("error", "Settings that are refused", "{error}.")
    IMAGES_BROKEN = (
        "error",
        "Images that cannot be decoded",
        "A run stops where it meets them; restore them, or give each part its list of what to leave out.",
    )
    NO_MASKS = (
        "error",
        "No masks",
        (
            "None of its {objects:,} objects has a mask that can be cut out; make masks of the boxes by `terse masks`, or "
            "use annotations with polygons, run lengths or mask files."
        ),
    )
    NO_MASKS_IN_DATA = (
        "note",
        "No masks",
        (
            "None of its objects has a mask: these images can train and judge, and nothing can be cut out of them; "
            "`terse masks` makes masks of the boxes."
        ),
    )
    MASKS_LEFT_OUT = (
        "error",
        "No mask that can be used",
        "The annotations have masks, and every one was left out ({skipped:,} parts of them): {first}.",
    )
    CLASSES_WITHOUT_FOREGROUND = (
        "error",
        "Classes without a foreground",
        "A run stops, because none of their objects has a mask; name the classes to paste in foregrounds.classes.",
    )
    CLASSES_LOST = (
        "error",
        "Classes of which nothing is left",
        (
            "A run stops, because val, test and cleanup take all of their foregrounds; name the classes to paste in "
            "foregrounds.classes."
        ),
    )
    CLASSES_NOT_IN_SET = (
        "warning",
        "Classes that no set has",
        "A set is made without them: no mask, or val, test and cleanup take all of their foregrounds.",
    )
    NOTHING_TO_CUT_OUT = (
        "error",
        "Nothing to cut out",
        "Not one of them can be pasted: {why}. Make cut-outs with a transparent rim.",
    )
    BOXES_CONTRADICT = ("error", "Boxes contradict masks", "Most of them do; {clash}.")
    NO_OBJECTS = (
        "error",
        "No objects",
        "{where} holds no object of the task's classes, so there is nothing to learn or to judge by there.{alike}",
    )
    NOTHING_LEFT = (
        "error",
        "Nothing left to train on",
        "Every image of {where} is in val or test, and a run leaves such images out: nothing is left.",
    )
    FILES_UNREADABLE = (
        "warning",
        "Files that cannot be read",
        "They are left out of every run; restore them or take them off the list.",
    )
    SIZES_DIFFER = (
        "warning",
        "Files of another size than annotated",
        "They are left out; their boxes belong to another copy of them.",
    )
    ANNOTATIONS_UNUSABLE = (
        "warning",
        "Annotations that cannot be used",
        "What each sentence names is left out ({causes}); correct it at its source.",
    )
    READ_AS = ("note", "Files read otherwise than they say", "Look once that it is what they mean.")
    READING_DOUBTFUL = (
        "warning",
        "What the files leave open",
        "Look at the page whether boxes and masks lie on the objects.",
    )
    ANNOTATIONS_NOT_FOUND = (
        "error",
        "Annotations that are not found",
        "The images were read without them; correct what is named.",
    )
    CLASSES_NEVER_PASTED = (
        "warning",
        "Classes that are never pasted",
        "Nothing is pasted of these classes: the foregrounds do not know them.{alike}",
    )
    CLASSES_MISSING = (
        "warning",
        "Classes missing",
        "{where} holds no object of these classes: the target {does}.{alike}",
    )
    CLASSES_PASSED_OVER = (
        "note",
        "Classes that the task passes over",
        "Their objects count as background, because the task does not name these classes.",
    )
    CLASSES_EMPTY = ("note", "Classes without an object", "They are named and never used.")
    CLASSES_ALIKE = (
        "warning",
        "Classes that hardly differ",
        "They are kept apart, though their names differ by case, spaces or hyphens alone; where they are one, name it once.",
    )
    LABELS_SHIFTED = (
        "warning",
        "Labels that may be shifted",
        (
            "The detector's labels are taken as the task's classes counted from 1 ({taken}); the data number them "
            "otherwise ({given}). Where the detector was trained with the data's numbers, write them in target.labels."
        ),
    )
    LABELS_OF_OTHERS = (
        "warning",
        "Labels of other classes",
        (
            "The weights' outputs, as far as they are known by their names, are others than the recipe takes them for: {known}, "
            "where it takes {taken}. Write target.labels: {{{known}}}, unless you trained them with other classes."
        ),
    )
    TARGET_UNTRAINED = (
        "warning",
        "Target that nothing has trained",
        (
            "Its weights are random, or those of a backbone, and the recipe has no pretrain: it fails every paste, so that "
            "hard ones are blind ones. Add a pretrain, as `terse init` writes it, or name weights of a whole model in "
            "target.weights."
        ),
    )
    PICTURES_ON_BOTH_SIDES = (
        "warning",
        "Pictures on both sides",
        "The same picture under another name, size or quality judges what it trained; leave the training side out.",
    )
    PICTURES_TWICE = (
        "warning",
        "Pictures that occur twice",
        "A split at random may put one copy on each side, which flatters every number; leave out each one that is like an earlier one.",
    )
    IMAGES_JUDGE = (
        "note",
        "Images that judge",
        "They are in val or test too. A run leaves them out of {where}: {left:,} are left.",
    )
    IMAGES_IN_VAL_AND_TEST = (
        "warning",
        "Images in val and test",
        "What chooses the best cycle must not judge it; take the images out of one of the two.",
    )
    NO_TEST = (
        "note",
        "No test images",
        "val chooses the best cycle and judges it too, which flatters a little; name a test source to report.",
    )
    OBJECTS_HIDDEN = (
        "warning",
        "Labelled objects that the backgrounds do not know",
        (
            "Another part of the recipe labels objects in them, the backgrounds do not: the target is taught that these "
            "are nothing. Leave them out, or give the backgrounds their labels (coco:, voc: or yolo:)."
        ),
    )
    OBJECTS_UNLABELLED = (
        "warning",
        "Likely unlabelled objects in backgrounds",
        (
            "The target is sure (score {score} or more) of an object that has no label there. Look at them: an object is "
            "taught to be nothing, a false alarm is worth keeping. The list holds them behind a #, to be taken away where "
            "there is an object."
        ),
    )
    MASKS_EMPTY = ("warning", "Empty masks", "There is nothing to cut out.")
    MASKS_DISAGREE = ("warning", "Mask and box disagree", "One of the two belongs to something else.")
    MASKS_SMALL = ("note", "Small objects", "A blur where they are pasted larger.")
    MASKS_SCRAPS = ("warning", "Scraps", "What is seen of something behind something else.")
    MASKS_OF_TWO = ("warning", "One mask for two objects", "It covers its neighbour too.")
    MASKS_IN_PIECES = ("warning", "Masks in pieces", "They hang in the air when they are pasted.")
    MASKS_CUT = ("warning", "Cut by the border", "Pasted inside an image they show straight edges.")
    MASKS_OPAQUE = (
        "warning",
        "Cut-outs with their background left in",
        "A rectangle is pasted, with a plain rim around the object.",
    )
    MASKS_UNREADABLE = ("warning", "Masks that cannot be read", "Their files are missing, broken or of another size.")


_CLEANED = "A run leaves them out of the foregrounds (cleanup: true)."
_NOT_CLEANED = "Leave them out of the foregrounds, by the list or by cleanup: true."

MASK_CODES: Mapping[Flaw, Code] = MappingProxyType(
    {
        Flaw.EMPTY: Code.MASKS_EMPTY,
        Flaw.BOX: Code.MASKS_DISAGREE,
        Flaw.SMALL: Code.MASKS_SMALL,
        Flaw.SCRAP: Code.MASKS_SCRAPS,
        Flaw.COVERS: Code.MASKS_OF_TWO,
        Flaw.PIECES: Code.MASKS_IN_PIECES,
        Flaw.CUT: Code.MASKS_CUT,
        Flaw.OPAQUE: Code.MASKS_OPAQUE,
        Flaw.UNREADABLE: Code.MASKS_UNREADABLE,
    }
)
"""What `sources.cleanup` measures, in the order of the findings."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the recipe's sources as it was read, or the data that were named without a recipe."""

    name: str
    annotations: Annotations
    leave_out: Path | None = None  # the list that it takes already
    held_out_of: str | None = None  # the part that it is a fraction of, whose list is its own


@dataclass(frozen=True, slots=True)
class Show:
    """A picture of the page: an image, of it some objects or detections, beside it perhaps another image."""

    annotations: Annotations
    image: int
    objects: tuple[int, ...] = ()
    detections: tuple[Box, ...] = ()
    beside: tuple[Annotations, int] | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding: its code, what it is about, and the lines of each part's list that mend it or may mend it."""

    code: Code
    where: str  # the parts of the recipe, or the setting
    examples: Sequence[str] = ()  # all of the things, by name
    fields: Mapping[str, str | int | float] = field(default_factory=dict)  # of the sentence
    cleaned: bool | None = None  # of masks: whether a run leaves them out by itself
    leave_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by part
    look_first: Mapping[str, Sequence[str]] = field(default_factory=dict)  # lines for the user to decide on
    shows: Sequence[Show] = ()

    @property
    def weight(self) -> Weight:
        """An error stops a run, a warning makes it worse, a note is worth knowing."""
        return "note" if self.cleaned else self.code.weight

    @property
    def name(self) -> str:
        """The kind of finding in a few words."""
        return self.code.heading

    @property
    def advice(self) -> str:
        """What it does to a run and what to do."""
        told = self.code.advice.format(where=self.where, **self.fields)
        return told if self.cleaned is None else f"{told} {_CLEANED if self.cleaned else _NOT_CLEANED}"


def sampled(count: int, most: int) -> list[int]:
    """At most so many of the numbers below count, evenly spread; all of them where `most` is 0."""
    if not most or count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).round()]
