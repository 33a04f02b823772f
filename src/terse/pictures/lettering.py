"""Lines of text on pictures, in fonts that have their letters.

Pillow's own font draws what it has letters for, which is ASCII, the same everywhere; fonts of the system draw the rest.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from PIL import ImageDraw, ImageFont

__all__ = ["Line", "fitted", "line_px"]

Font = ImageFont.FreeTypeFont
_SYSTEM = (  # by the names that Pillow finds in the system's folders: Latin, Cyrillic and Greek first, then Chinese, Japanese, Korean
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "Arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
)
_NO_CHARACTER = "\uffff"  # no font has it: it is drawn as what is missing is


@dataclass(frozen=True, slots=True)
class Line:
    """Text on one line, in parts of one font each."""

    parts: tuple[tuple[str, Font], ...]
    ascent_px: int

    @property
    def width_px(self) -> float:
        """How far the line reaches."""
        return sum(font.getlength(text) for text, font in self.parts)

    def draw(self, pen: ImageDraw.ImageDraw, left: float, top: float, fill: tuple[int, int, int, int]) -> None:
        """Write the line, all parts on one base."""
        for text, font in self.parts:
            pen.text((left, top + self.ascent_px), text, font=font, fill=fill, anchor="ls")
            left += font.getlength(text)


def fitted(text: str, size: int, width_px: float) -> Line:
    """The text on one line, cut with an ellipsis where it is too wide."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    whole = _line(text, size)
    if whole.width_px <= width_px:
        return whole
    while text and _line(text + "…", size).width_px > width_px:
        text = text[:-1]
    return _line(text.rstrip() + "…", size)


def line_px(size: int) -> int:
    """Height of a line."""
    return sum(_own(size).getmetrics())


def _line(text: str, size: int) -> Line:
    """The text in one font that has all its letters, else each letter in the first font that has it.

    A letter that no font has is drawn without its marks.
    """
    own = _own(size)
    ascent_px = own.getmetrics()[0]
    if text.isascii() or all(_has(own, letter) for letter in text):
        return Line(((text, own),), ascent_px)
    fonts = (own, *_of_system(size))
    known = [letter if any(_has(font, letter) for font in fonts) else _without_marks(letter) for letter in text]
    text = "".join(known)
    for font in fonts:
        if all(_has(font, letter) for letter in text):
            return Line(((text, font),), ascent_px)

    def first(letter: str) -> int:
        return next((number for number, font in enumerate(fonts) if _has(font, letter)), 0)

    parts = tuple(("".join(part), fonts[number]) for number, part in groupby(text, first))
    return Line(parts, ascent_px)


def _without_marks(letter: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(one)) or letter


@cache
def _has(font: Font, letter: str) -> bool:
    found, missing = (font.getmask(one) for one in (letter, _NO_CHARACTER))
    return found.size != missing.size or bytes(found) != bytes(missing)


@cache
def _own(size: int) -> Font:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow without FreeType"
    return font


@cache
def _of_system(size: int) -> tuple[Font, ...]:
    """Those that this machine has."""
    found = []
    for name in _SYSTEM:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:  # not here
            continue
    return tuple(found)
