"""The page of `terse masks`: every mask that was made, by score, to be ticked off where it is bad."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from terse.masks.make import Masks
from terse.masks.pictures import gallery_of
from terse.pictures.gallery import Gallery
from terse.pictures.page_folder import Shown
from terse.report import figures
from terse.report.page import build_page
from terse.report.parts import Chart, Command, Fact, Headline, PageData, Table, count, number

__all__ = ["build_masks_page", "masks_page"]


def masks_page(
    subject: str,
    sources: Mapping[str, int],
    scores: Sequence[float],
    gallery: Gallery,
    *,
    dropped: int = 0,
    failed: Sequence[tuple[str, str]] = (),
    own: int = 0,
    commands: Sequence[Command] = (),
) -> PageData:
    """The page of made masks.

    Args:
        subject: the data.
        sources: masks by what they were made from.
        scores: of the masks that have one.
        gallery: the masks, to be ticked off.
        dropped: masks that are left out now.
        failed: objects without a mask, by name, and why.
        own: objects that had a mask before.
        commands: what to type next.
    """
    made = sum(sources.values())
    facts = [Fact(f"From {name}", number(amount)) for name, amount in sources.items()]
    facts += [Fact("Their own", number(own), "objects that had a mask before")] if own else []
    facts += [Fact("Dropped", number(dropped), "their boxes stay")] if made else []
    facts += (
        [Fact("Without a mask", number(len(failed)), "objects that no mask could be made of", tone="bad")]
        if failed
        else []
    )
    charts = []
    if scores:
        caption = "The IoU with the true mask that masks of these measures have on average. Look at the low ones first."
        figure = figures.histogram({"masks": list(scores)}, "Score", (0.0, 1.0))
        charts.append(Chart("scores", "Scores", caption, figure))
    return PageData(
        title=f"{count(made, 'mask')} made from boxes",
        kind="masks",
        name=subject,
        headline=Headline(
            "Look before you paste", "Tick off what is cut out badly, save the list, and drop it.", "plain"
        ),
        facts=facts,
        charts=charts,
        tables=[Table("Objects without a mask", ("Object", "Why"), failed, prose=True)] if failed else [],
        shown=Shown(gallery=gallery),
        commands=commands,
    )


def build_masks_page(masks: Masks, dropped: Collection[int], out: Path, subject: str, *, again: str) -> Path:
    """Write the page beside the masks' file.

    Args:
        masks: what was made.
        dropped: the objects whose masks are left out.
        out: the file of the masks.
        subject: the data, as the user typed it.
        again: the command that made them.
    """
    annotations = masks.annotations
    keys = annotations.object_keys
    saved = f"{out.stem}-drop.json"
    sources = Counter(made.source for made in masks.made.values())
    images = shlex.quote(str(annotations.root))
    data = masks_page(
        subject,
        sources,
        [made.score for made in masks.made.values() if made.score is not None],
        gallery_of(masks, dropped, saved),
        dropped=len(dropped),
        failed=[(keys[row], why) for row, why in masks.failed.items()],
        own=int(annotations.masked.sum()),
        commands=[
            Command(
                f"{again} --drop {shlex.quote(saved)}",
                "Drop the ticked ones; give the path under which the list was saved.",
            ),
            Command(
                f"terse init --coco {shlex.quote(str(out))} --images {images} --backgrounds BACKGROUNDS",
                "Write a recipe that pastes what is left.",
            ),
        ],
    )
    return build_page(data, out.with_suffix(".html"))
