"""Text on sheets beyond ASCII."""

import unicodedata

import numpy as np
import pytest

from terse.pictures import lettering
from terse.pictures.lettering import fitted
from terse.pictures.sheets import contact_sheet

BOX = "\uffff"  # no font has it


@pytest.fixture
def without_fonts(monkeypatch):
    """A machine without the fonts that are looked for."""
    monkeypatch.setattr(lettering, "_SYSTEM", ("no-such-font.ttf",))
    lettering._of_system.cache_clear()
    yield
    lettering._of_system.cache_clear()


def sheet(text):
    images = np.full((1, 150, 150, 3), 120, np.uint8)
    return contact_sheet(images, 1, boxes=[[[20, 60, 120, 140]]], labels=[[text]], captions=[text])


def drawn(text):
    return "".join(part for part, _ in fitted(text, 14, 1000).parts)


def test_a_letter_with_a_mark_is_no_empty_box():
    assert not np.array_equal(sheet("Käfer"), sheet(f"K{BOX}fer"))


def test_without_a_font_that_has_them_letters_lose_their_marks(without_fonts):
    assert np.array_equal(sheet("Käfer"), sheet("Kafer"))
    assert drawn("façade — señal 猫") == "facade — senal 猫"


def test_a_mark_that_stands_apart_is_one_letter_with_its_own():
    apart = unicodedata.normalize("NFD", "Käfer")
    assert len(apart) == 6
    assert np.array_equal(sheet(apart), sheet("Käfer"))


def test_ascii_is_drawn_in_pillows_own_font_and_asks_for_no_other(monkeypatch):
    monkeypatch.setattr(lettering, "_of_system", lambda size: pytest.fail("fonts were looked for"))
    ((text, font),) = fitted("cat, 1 of 2 found " * 9, 14, 200).parts
    assert text.startswith("cat, 1 of 2") and text.endswith("…")
    assert font.getname() == ("Aileron", "Regular")


def test_a_line_takes_one_font_where_one_has_all_its_letters_and_else_each_letter_the_first(monkeypatch):
    own, latin, other = (lettering._own(size) for size in (14, 15, 16))  # three that are told apart
    has = {own: "said ", latin: "said äö", other: "猫犬"}
    monkeypatch.setattr(lettering, "_of_system", lambda size: (latin, other))
    monkeypatch.setattr(lettering, "_has", lambda font, letter: letter in has[font])
    assert fitted("säid", 14, 1000).parts == (("säid", latin),)
    assert fitted("猫 said ä犬", 14, 1000).parts == (("猫", other), (" said ", own), ("ä", latin), ("犬", other))


def test_a_line_is_cut_to_its_width():
    line = fitted("ä" * 90, 14, 100)
    assert 80 < line.width_px <= 100
    assert line.parts[-1][0].endswith("…")
