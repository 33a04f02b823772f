"""What a check leaves behind: the page, the lists of what to leave out, and the findings as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from terse.check.check import Checked
from terse.check.findings import Part
from terse.check.thumbnails import gallery_of
from terse.errors import RunError
from terse.folders import write_atomically
from terse.pictures.again import trust_flag
from terse.recipe import dump_recipe
from terse.report.check_page import check_page
from terse.report.page import build_page
from terse.report.parts import Command, Fact

__all__ = ["write"]


def write(checked: Checked, out: Path) -> dict[str, Any]:
    """Write the page, the lists and `findings.json`; what `--json` prints.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out}: expected a folder that can be written, got: {error.strerror}") from None
    lists = _write_lists(checked, out)
    page = check_page(
        checked.subject,
        checked.found,
        purpose="set" if checked.command == "generate" else "run",
        facts=_facts(checked),
        classes={
            part.name: part.annotations.count_classes() for part in checked.parts.values() if part.annotations.classes
        },
        sizes=_sizes(checked),
        gallery=gallery_of(checked.found),
        leave_out=[
            f"{part}: {key}" for part, keys in checked.leave_out().items() for key in keys if not key.startswith("# ")
        ],
        recipe_yaml=dump_recipe(checked.recipe) if checked.recipe is not None else "",
        commands=list(_commands(checked, lists)),
    )
    result = {
        "subject": checked.subject,
        "ready": checked.ready,
        "command": checked.command,
        "findings": [
            {
                "code": str(one.code),
                "weight": one.weight,
                "name": one.name,
                "where": one.where,
                "advice": one.advice,
                "count": len(one.examples),
                "examples": list(one.examples),
            }
            for one in checked.found
        ],
        "parts": {part.name: _counts(part) for part in checked.parts.values()},
        "leave_out": {part: str(path) for part, path in lists.items()},
        "page": str(build_page(page, out / "report.html")),
    }
    write_atomically(out / "findings.json", (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return result


def _facts(checked: Checked) -> list[Fact]:
    """Images, objects and masks of each part."""
    facts = []
    for part in checked.parts.values():
        annotations = part.annotations
        note = (
            f"{len(annotations.labels):,} objects, {int(annotations.usable.sum()):,} masks"
            if len(annotations.labels)
            else "no labels"
        )
        facts.append(Fact(part.name.capitalize(), f"{len(annotations):,}", note))
    return [*facts, *checked.facts]


def _sizes(checked: Checked) -> dict[str, list[float]]:
    """Objects' sides over their image's, by part."""
    sizes = {}
    for part in checked.parts.values():
        annotations = part.annotations
        if len(annotations.labels):
            area = (annotations.boxes_px[:, 2:] - annotations.boxes_px[:, :2]).prod(axis=1)
            whole = annotations.sizes_px[annotations.image_index].prod(axis=1)
            sizes[part.name] = np.sqrt(area / whole).tolist()
    return sizes


def _counts(part: Part) -> dict[str, int]:
    """Masks are those that can be cut out, as for `terse init`: none of crowds or of objects to ignore."""
    annotations = part.annotations
    return {
        "images": len(annotations),
        "objects": len(annotations.labels),
        "masks": int(annotations.usable.sum()),
        "skipped": len(annotations.skipped),
    }


def _write_lists(checked: Checked, out: Path) -> dict[str, Path]:
    """One list a part, behind the lines of the one that the recipe gives already."""
    written = {}
    for part, keys in checked.leave_out().items():
        old = checked.parts[part].leave_out
        before = old.read_text("utf-8").splitlines() if old is not None else []
        path = out / f"leave-out-{part}.txt"
        known = set(before)
        text = "\n".join([*before, *(key for key in keys if key not in known)])
        write_atomically(path, (text + "\n").encode())
        written[part] = path
    return written


def _commands(checked: Checked, lists: Mapping[str, Path]) -> Iterator[Command]:
    if checked.recipe is None:
        return
    listed = {f"{part}.leave_out" for part in lists}
    typed = [item for item in checked.overrides if item.partition("=")[0] not in listed]
    name = shlex.join([checked.subject, *typed, *trust_flag(checked.recipe.model_dump(mode="json"))])
    options = " ".join(f"{part}.leave_out={shlex.quote(str(path))}" for part, path in lists.items())
    if options:
        yield Command(
            f"terse check {name} {options}", "Look again, with the lists; write them into the recipe to keep them."
        )
    if checked.ready:
        yield Command(f"terse preview {name}", "See what is pasted.")
        if checked.command == "generate":
            yield Command(f"terse generate {name} {options}".strip() + " --count 1000", "Make a set.")
        else:
            yield Command(f"terse train {name} {options}".strip(), "Run it.")
