"""What a COCO file tells beside its annotations, and the file of the masks keeps: its categories, and areas of objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from terse.sources.coco import id_of, name_of_category
from terse.sources.indexing import is_number
from terse.sources.json_lists import load_json_with

__all__ = ["Told", "read_told"]


@dataclass(frozen=True, slots=True)
class Told:
    """What the source tells; of a source that is no COCO file, nothing."""

    categories: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by class; ids are whole numbers
    areas: Mapping[str, float] = field(default_factory=dict)  # by the object's name

    def categories_of(self, classes: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The category of each class; one that the source gives no number has the lowest id that is left, from 1."""
        taken = {category["id"] for category in self.categories.values()}
        free = (number for number in count(1) if number not in taken)
        for name in classes:
            category = self.categories.get(name)
            yield {"id": next(free), "name": name} if category is None else {**category, "name": name}


def read_told(file: Path, rename: Mapping[str, str] | None = None) -> Told:
    """What a COCO file tells of its categories and areas.

    Of categories of one name the last one counts, as for a detector's labels; objects that share an id tell no area.

    Args:
        file: one that was read as a source before.
        rename: other names of its classes.

    Raises:
        DataError: it changed since.
    """
    data = load_json_with(file, "annotations", before=("categories",))
    categories: dict[str, Mapping[str, Any]] = {}
    for item in data["categories"]:
        number = id_of(item, "id")
        if isinstance(number, int):
            name = name_of_category(item, number)
            categories[(rename or {}).get(name, name)] = {**item, "id": number}
    uses: Counter[str] = Counter()
    areas: dict[str, float] = {}
    for i, item in enumerate(data["annotations"]):
        if isinstance(item, dict):
            name = str(item.get("id", f"#{i}"))
            uses[name] += 1
            if is_number(area := item.get("area")) and area > 0:
                areas[name] = area
    return Told(categories, {name: area for name, area in areas.items() if uses[name] == 1})
