"""What a check finds: one code for each kind of finding, with its severity and its sentence, and what it is told with.

Code decides by the code of a finding alone. Its sentences are written here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from terse.report.check_page import Weight
from terse.sources.annotations import Annotations
from terse.sources.cleanup import Flaw
from terse.tasks.answers import Box

__all__ = ["KINDS", "MASK_CODES", "Code", "Found", "Part", "Show", "sampled"]


class Code(StrEnum):
    """The kinds of findings, as `findings.json` names them."""

    SOURCE_MISSING = "source_missing"
    SOURCE_UNREADABLE = "source_unreadable"
    FILES_MISSING = "files_missing"
    TARGET_UNFIT = "target_unfit"
    IMAGES_BROKEN = "images_broken"
    NO_MASKS = "no_masks"
    NO_MASKS_IN_DATA = "no_masks_in_data"
    MASKS_LEFT_OUT = "masks_left_out"
    CLASSES_WITHOUT_FOREGROUND = "classes_without_foreground"
    CLASSES_LOST = "classes_lost"
    NOTHING_TO_CUT_OUT = "nothing_to_cut_out"
    BOXES_CONTRADICT = "boxes_contradict"
    NO_OBJECTS = "no_objects"
    NOTHING_LEFT = "nothing_left"
    FILES_UNREADABLE = "files_unreadable"
    SIZES_DIFFER = "sizes_differ"
    ANNOTATIONS_UNUSABLE = "annotations_unusable"
    READ_AS = "read_as"
    READING_DOUBTFUL = "reading_doubtful"
    ANNOTATIONS_NOT_FOUND = "annotations_not_found"
    CLASSES_NEVER_PASTED = "classes_never_pasted"
    CLASSES_MISSING = "classes_missing"
    CLASSES_PASSED_OVER = "classes_passed_over"
    CLASSES_EMPTY = "classes_empty"
    CLASSES_ALIKE = "classes_alike"
    LABELS_SHIFTED = "labels_shifted"
    PICTURES_ON_BOTH_SIDES = "pictures_on_both_sides"
    PICTURES_TWICE = "pictures_twice"
    IMAGES_JUDGE = "images_judge"
    IMAGES_IN_VAL_AND_TEST = "images_in_val_and_test"
    NO_TEST = "no_test"
    OBJECTS_HIDDEN = "objects_hidden"
    OBJECTS_UNLABELLED = "objects_unlabelled"
    MASKS_EMPTY = "masks_empty"
    MASKS_DISAGREE = "masks_disagree"
    MASKS_SMALL = "masks_small"
    MASKS_SCRAPS = "masks_scraps"
    MASKS_OF_TWO = "masks_of_two"
    MASKS_IN_PIECES = "masks_in_pieces"
    MASKS_CUT = "masks_cut"
    MASKS_OPAQUE = "masks_opaque"
    MASKS_UNREADABLE = "masks_unreadable"


class Kind(NamedTuple):
    """How findings of one code are told; `{...}` stands for a finding's fields."""

    weight: Weight
    name: str
    advice: str


_CLEANED = "A run leaves them out of the foregrounds (cleanup: true)."
_NOT_CLEANED = "Leave them out of the foregrounds, by the list or by cleanup: true."

KINDS: Mapping[Code, Kind] = MappingProxyType(
    {
        Code.SOURCE_MISSING: Kind(
            "error", "Source missing", "{where}: expected a source of images, got nothing; name one"
        ),
        Code.SOURCE_UNREADABLE: Kind("error", "Source that cannot be read", "{error}."),
        Code.FILES_MISSING: Kind("error", "Files missing", "A run stops; give their paths."),
        Code.TARGET_UNFIT: Kind("error", "Target that does not fit", "{error}."),
        Code.IMAGES_BROKEN: Kind(
            "error",
            "Images that cannot be decoded",
            "A run stops where it meets them; restore them, or give each part its list of what to leave out.",
        ),
        Code.NO_MASKS: Kind(
            "error",
            "No masks",
            "None of its {objects:,} objects has a mask that can be cut out; make masks of the boxes by `terse masks`, or "
            "use annotations with polygons, run lengths or mask files.",
        ),
        Code.NO_MASKS_IN_DATA: Kind(
            "note",
            "No masks",
            "None of its objects has a mask: these images can train and judge, and nothing can be cut out of them; "
            "`terse masks` makes masks of the boxes.",
        ),
        Code.MASKS_LEFT_OUT: Kind(
            "error",
            "No mask that can be used",
            "The annotations have masks, and every one was left out ({skipped:,} parts of them): {first}.",
        ),
        Code.CLASSES_WITHOUT_FOREGROUND: Kind(
            "error",
            "Classes without a foreground",
            "A run stops, because none of their objects has a mask; name the classes to paste in foregrounds.classes.",
        ),
        Code.CLASSES_LOST: Kind(
            "error",
            "Classes of which nothing is left",
            "A run stops, because val, test and cleanup take all of their foregrounds; name the classes to paste in "
            "foregrounds.classes.",
        ),
        Code.NOTHING_TO_CUT_OUT: Kind(
            "error", "Nothing to cut out", "Not one of them can be pasted: {why}. Make cut-outs with a transparent rim."
        ),
        Code.BOXES_CONTRADICT: Kind("error", "Boxes contradict masks", "Most of them do; {clash}."),
        Code.NO_OBJECTS: Kind(
            "error",
            "No objects",
            "{where} holds no object of the task's classes, so there is nothing to learn or to judge by there.{alike}",
        ),
        Code.NOTHING_LEFT: Kind(
            "error",
            "Nothing left to train on",
            "Every image of {where} is in val or test, and a run leaves such images out: nothing is left.",
        ),
        Code.FILES_UNREADABLE: Kind(
            "warning",
            "Files that cannot be read",
            "They are left out of every run; restore them or take them off the list.",
        ),
        Code.SIZES_DIFFER: Kind(
            "warning",
            "Files of another size than annotated",
            "They are left out; their boxes belong to another copy of them.",
        ),
        Code.ANNOTATIONS_UNUSABLE: Kind(
            "warning",
            "Annotations that cannot be used",
            "What each sentence names is left out ({causes}); correct it at its source.",
        ),
        Code.READ_AS: Kind("note", "Files read otherwise than they say", "Look once that it is what they mean."),
        Code.READING_DOUBTFUL: Kind(
            "warning", "What the files leave open", "Look at the page whether boxes and masks lie on the objects."
        ),
        Code.ANNOTATIONS_NOT_FOUND: Kind(
            "error", "Annotations that are not found", "The images were read without them; correct what is named."
        ),
        Code.CLASSES_NEVER_PASTED: Kind(
            "warning",
            "Classes that are never pasted",
            "Nothing is pasted of these classes: the foregrounds do not know them.{alike}",
        ),
        Code.CLASSES_MISSING: Kind(
            "warning", "Classes missing", "{where} holds no object of these classes: the target {does}.{alike}"
        ),
        Code.CLASSES_PASSED_OVER: Kind(
            "note",
            "Classes that the task passes over",
            "Their objects count as background, because the task does not name these classes.",
        ),
        Code.CLASSES_EMPTY: Kind("note", "Classes without an object", "They are named and never used."),
        Code.CLASSES_ALIKE: Kind(
            "warning",
            "Classes that hardly differ",
            "They are kept apart, though their names differ by case, spaces or hyphens alone; where they are one, name it once.",
        ),
        Code.LABELS_SHIFTED: Kind(
            "warning",
            "Labels that may be shifted",
            "The detector's labels are taken as the task's classes counted from 1 ({taken}); the data number them "
            "otherwise ({given}). Where the detector was trained with the data's numbers, write them in target.labels.",
        ),
        Code.PICTURES_ON_BOTH_SIDES: Kind(
            "warning",
            "Pictures on both sides",
            "The same picture under another name, size or quality judges what it trained; leave the training side out.",
        ),
        Code.PICTURES_TWICE: Kind(
            "warning",
            "Pictures that occur twice",
            "A split at random may put one copy on each side, which flatters every number; leave one of each pair out.",
        ),
        Code.IMAGES_JUDGE: Kind(
            "note",
            "Images that judge",
            "They are in val or test too. A run leaves them out of {where}: {left:,} are left.",
        ),
        Code.IMAGES_IN_VAL_AND_TEST: Kind(
            "warning",
            "Images in val and test",
            "What chooses the best cycle must not judge it; take the images out of one of the two.",
        ),
        Code.NO_TEST: Kind(
            "note",
            "No test images",
            "val chooses the best cycle and judges it too, which flatters a little; name a test source to report.",
        ),
        Code.OBJECTS_HIDDEN: Kind(
            "warning",
            "Labelled objects that the backgrounds do not know",
            "Another part of the recipe labels objects in them, the backgrounds do not: the target is taught that these "
            "are nothing. Leave them out, or give the backgrounds their labels (coco:, voc: or yolo:).",
        ),
        Code.OBJECTS_UNLABELLED: Kind(
            "warning",
            "Likely unlabelled objects in backgrounds",
            "The target is sure (score {score} or more) of an object that has no label there. Look at them: an object is "
            "taught to be nothing, a false alarm is worth keeping. The list holds them behind a #, to be taken away where "
            "there is an object.",
        ),
        Code.MASKS_EMPTY: Kind("warning", "Empty masks", "There is nothing to cut out."),
        Code.MASKS_DISAGREE: Kind("warning", "Mask and box disagree", "One of the two belongs to something else."),
        Code.MASKS_SMALL: Kind("note", "Small objects", "A blur where they are pasted larger."),
        Code.MASKS_SCRAPS: Kind("warning", "Scraps", "What is seen of something behind something else."),
        Code.MASKS_OF_TWO: Kind("warning", "One mask for two objects", "It covers its neighbour too."),
        Code.MASKS_IN_PIECES: Kind("warning", "Masks in pieces", "They hang in the air when they are pasted."),
        Code.MASKS_CUT: Kind("warning", "Cut by the border", "Pasted inside an image they show straight edges."),
        Code.MASKS_OPAQUE: Kind(
            "warning",
            "Cut-outs with their background left in",
            "A rectangle is pasted, with a plain rim around the object.",
        ),
        Code.MASKS_UNREADABLE: Kind(
            "warning", "Masks that cannot be read", "Their files are missing, broken or of another size."
        ),
    }
)

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
        return "note" if self.cleaned else KINDS[self.code].weight

    @property
    def name(self) -> str:
        """The kind of finding in a few words."""
        return KINDS[self.code].name

    @property
    def advice(self) -> str:
        """What it does to a run and what to do."""
        told = KINDS[self.code].advice.format(where=self.where, **self.fields)
        return told if self.cleaned is None else f"{told} {_CLEANED if self.cleaned else _NOT_CLEANED}"


def sampled(count: int, most: int) -> list[int]:
    """At most so many of the numbers below count, evenly spread; all of them where `most` is 0."""
    if not most or count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).round()]
