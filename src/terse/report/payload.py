"""The page's data as JSON that no text in it can break out of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic_core import to_json

from terse.pictures.crops import PREFIX, data_uri, made
from terse.pictures.gallery import BeforeAfter, Gallery, GalleryItem, packed_gallery, packed_pairs
from terse.report.parts import Chart
from terse.tasks.answers import Box

__all__ = ["before_after_json", "charts_json", "embed", "gallery_json"]


def embed(value: Any) -> str:
    """JSON that can stand inside a script element: no `<`, `>` or `&`, hence no `</script>` and no `<!--`.

    NaN and the infinities become null, which is what JSON has.
    """
    text = to_json(value, inf_nan_mode="null", fallback=_plain).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def gallery_json(gallery: Gallery) -> str:
    """The gallery by columns; names are stored once.

    Where images are ticked, `state` tells this page from any other one, so that no page takes over the ticks of another.
    """
    names: dict[str, int] = {}

    def number(name: str | None) -> int | None:
        return None if name is None else names.setdefault(name, len(names))

    rows = [_row(item, number) for item in packed_gallery(gallery)]
    columns = ["src", "size", "class", "cycle", "hardness", "arm", "boxes", "masks", "record"]
    picking = {}
    if gallery.picking:
        columns.append("key")
        chosen = gallery.picking
        state = hashlib.sha256(embed([rows, chosen.ticked]).encode()).hexdigest()
        picking = {
            "picking": {"word": chosen.word, "file": chosen.file, "ticked": chosen.ticked, "state": state},
        }
    return embed(
        {
            "names": list(names),
            **picking,
            "words": {"class": gallery.class_word, "arm": gallery.arm_word, "hardness": gallery.hardness_word},
            **{column: [row[column] for row in rows] for column in columns},
        }
    )


def before_after_json(pairs: Sequence[BeforeAfter]) -> str:
    """Both answers to each image, and the image once."""
    return embed(
        [
            {
                "src": data_uri(made(pair.image).encoded),
                "size": made(pair.image).size_px,
                "name": pair.name,
                "answers": [
                    {"caption": answer.caption, "tone": answer.tone, "boxes": [_box_dict(box) for box in answer.boxes]}
                    for answer in (pair.before, pair.after)
                ],
            }
            for pair in packed_pairs(pairs)
        ]
    )


def charts_json(charts: Sequence[Chart]) -> str:
    """Data and layout of each figure by its name, as plain lists."""
    return embed(
        {
            chart.name: {
                "data": [trace.to_plotly_json() for trace in chart.figure.data],
                # Without plotly's template, 7 KB a figure: the page has its own, light and dark.
                "layout": {k: v for k, v in chart.figure.layout.to_plotly_json().items() if k != "template"},
            }
            for chart in charts
        }
    )


def _row(item: GalleryItem, number: Callable[[str | None], int | None]) -> dict[str, Any]:
    return {
        "src": data_uri(made(item.image).encoded).removeprefix(PREFIX),
        "size": made(item.image).size_px,
        "class": number(item.class_name),
        "cycle": item.cycle,
        "hardness": None if item.hardness is None else _short(item.hardness),
        "arm": number(item.arm),
        "boxes": [[*map(_short, box.xyxy_px), number(box.label)] for box in item.boxes],
        "masks": list(item.masks),
        "record": item.record,
        "key": item.key,
    }


def _box_dict(box: Box) -> dict[str, Any]:
    plain = {"xyxy": [_short(x) for x in box.xyxy_px], "label": box.label, "score": box.score, "state": box.state}
    return plain if box.outline is None else {**plain, "outline": box.outline}


def _short(value: float) -> float:
    return round(float(value), 4)


def _plain(value: Any) -> Any:
    """What pydantic does not know as JSON's own types; NumPy's arrays and numbers become lists and numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) else str(value)
