"""The page's data as JSON that no text in it can break out of."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from terse.pictures.gallery import BeforeAfter, Gallery, GalleryItem, packed_gallery, packed_pairs
from terse.pictures.thumbnails import PREFIX, Thumbnail, data_uri
from terse.report.parts import Chart
from terse.tasks.answers import Box

__all__ = ["before_after_json", "charts_json", "embed", "gallery_json"]


def embed(value: Any) -> str:
    """JSON that can stand inside a script element: no `<`, `>` or `&`, hence no `</script>` and no `<!--`.

    NaN and the infinities become null, which is what JSON has.
    """
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def gallery_json(gallery: Gallery) -> str:
    """The gallery by columns; names are stored once."""
    names = _Names()
    rows = [_row(item, names) for item in packed_gallery(gallery)]
    picking = gallery.picking
    columns: tuple[str, ...] = ("src", "size", "class", "cycle", "hardness", "arm", "boxes", "masks", "record")
    columns = (*columns, "key") if picking else columns
    chosen = {"word": picking.word, "file": picking.file, "ticked": picking.ticked} if picking else None
    return embed(
        {
            "names": names.known,
            **({"picking": chosen} if chosen else {}),
            "words": {"class": gallery.class_word, "arm": gallery.arm_word, "hardness": gallery.hardness_word},
            **{column: [row[column] for row in rows] for column in columns},
        }
    )


def before_after_json(pairs: Sequence[BeforeAfter]) -> str:
    """Both answers to each image, and the image once."""
    return embed(
        [
            {
                "src": data_uri(picture.encoded),
                "size": list(picture.size_px),
                "name": pair.name,
                "answers": [
                    {"caption": answer.caption, "tone": answer.tone, "boxes": [_box_dict(box) for box in answer.boxes]}
                    for answer in (pair.before, pair.after)
                ],
            }
            for pair, picture in _pictures(packed_pairs(pairs))
        ]
    )


def charts_json(charts: Sequence[Chart]) -> str:
    """Data and layout of each figure by its name, as plain lists."""
    return embed({chart.name: {"data": _traces(chart), "layout": _layout(chart)} for chart in charts})


class _Names:
    """Words by number."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._number: dict[str, int] = {}

    def number(self, name: str | None) -> int | None:
        if name is None:
            return None
        if name not in self._number:
            self._number[name] = len(self.known)
            self.known.append(name)
        return self._number[name]


def _pictures(pairs: Sequence[BeforeAfter]) -> Iterable[tuple[BeforeAfter, Thumbnail]]:
    for pair in pairs:
        assert isinstance(pair.image, Thumbnail)
        yield pair, pair.image


def _row(item: GalleryItem, names: _Names) -> dict[str, Any]:
    assert isinstance(item.image, Thumbnail)
    return {
        "src": data_uri(item.image.encoded).removeprefix(PREFIX),
        "size": list(item.image.size_px),
        "class": names.number(item.class_name),
        "cycle": item.cycle,
        "hardness": None if item.hardness is None else _short(item.hardness),
        "arm": names.number(item.arm),
        "boxes": [[*map(_short, box.xyxy_px), names.number(box.label)] for box in item.boxes],
        "masks": list(item.masks),
        "record": item.record,
        "key": item.key,
    }


def _box_dict(box: Box) -> dict[str, Any]:
    return {"xyxy": [_short(x) for x in box.xyxy_px], "label": box.label, "score": box.score, "state": box.state}


def _short(value: float) -> float:
    return round(float(value), 4)


def _traces(chart: Chart) -> Any:
    return [{key: _plain(value) for key, value in trace.to_plotly_json().items()} for trace in chart.figure.data]


def _layout(chart: Chart) -> Any:
    layout = _plain(chart.figure.layout.to_plotly_json())
    layout.pop("template", None)  # the page has its own, light and dark; plotly's is 7 KB a figure
    return layout


def _plain(value: Any) -> Any:
    """The value in JSON's own types; numpy's arrays and numbers become lists and numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)
