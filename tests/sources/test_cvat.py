"""CVAT's XML for images: every shape, and masks by their own runs."""

import numpy as np
import pytest

from terse.errors import DataError
from terse.sources.annotations import RemarkKind
from terse.sources.cvat import CvatConfig, read_cvat
from terse.sources.guess import source_settings
from terse.sources.masks import draw_mask


@pytest.fixture
def cvat(tmp_path, save):
    def write(*shapes, head="<version>1.1</version>"):
        save(tmp_path / "set/images/a.png")
        text = f'<annotations>{head}<image id="0" name="a.png" width="40" height="30">{"".join(shapes)}</image></annotations>'
        (tmp_path / "set/annotations.xml").write_text(text)
        return tmp_path / "set/annotations.xml"

    return write


BOX = '<box label="cup" xtl="10" ytl="5" xbr="20" ybr="25"/>'


def test_shapes_are_objects(cvat):
    file = cvat(
        BOX,
        '<polygon label="cup" points="10,5;20,5;20,25;10,25"/>',
        '<ellipse label="plate" cx="20" cy="15" rx="10" ry="5" rotation="90"/>',
        '<mask label="dot" rle="1,2,2,1" left="4" top="6" width="3" height="2"/>',
        '<tag label="not a shape"/>',
    )
    assert source_settings(file.parent) == {"cvat": str(file)}
    notes = CvatConfig(cvat=file).build()
    assert (notes.paths, notes.classes) == (("a.png",), ("cup", "dot", "plate"))
    assert np.allclose(notes.boxes_px, [[10, 5, 20, 25], [10, 5, 20, 25], [15, 5, 25, 25], [5, 6, 7, 8]], atol=0.05)
    assert notes.masked.tolist() == [False, True, True, True]
    drawn = [draw_mask(mask, notes.root, (40, 30)) > 0 for mask in notes.masks[1:]]
    assert (int(drawn[0].sum()), abs(int(drawn[1].sum()) - np.pi * 50) < 6) == (200, True)
    assert np.argwhere(drawn[2]).tolist() == [[6, 5], [6, 6], [7, 6]]
    assert (notes.skipped, notes.remarks) == ((), ())


def test_a_turned_box_is_the_box_around_it_and_said(cvat):
    notes = read_cvat(cvat(BOX.replace("/>", ' rotation="90"/>'), BOX))
    assert np.allclose(notes.boxes_px, [[5, 10, 25, 20], [10, 5, 20, 25]])
    assert [remark.kind for remark in notes.remarks] == [RemarkKind.DOUBT]


def test_what_cannot_be_read_is_left_out_and_named(cvat):
    notes = read_cvat(
        cvat(
            BOX,
            '<polyline label="cup" points="1,1;2,2"/>',
            '<box label="cup" xtl="x" ytl="5" xbr="20" ybr="25"/>',
            '<mask label="cup" rle="1,2" left="4" top="6" width="3" height="2"/>',
            '<polygon label="" points="1,1;2,2;3,1"/>',
            '<polygon label="cup" points="1,1;2,2"/>',
        )
    )
    here = "annotations.xml: image 0"
    assert len(notes.labels) == 1
    assert [str(item) for item in notes.skipped] == [
        f"{here}, polyline 1: expected a box, polygon, ellipse or mask, got polyline; it is left out",
        f"{here}, box 2: expected whole numbers and points, got others; it is left out",
        f"{here}, mask 3: expected runs that fill the mask's box, got others; it is left out",
        f"{here}, polygon 4: expected a label, got nothing; it is left out",
        f"{here}, polygon 5: expected at least three finite points, got others; it is left out",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<annotations><track/></annotations>",
            "expected CVAT for images, got CVAT for video (tracks); export it for images",
        ),
        ("<annotations/>", "expected CVAT's images, got none; export it as CVAT for images 1.1"),
        ("<annotations>", "expected whole XML, got an error at no element found: line 1, column 13"),
        (
            '<!DOCTYPE x [<!ENTITY a "aa">]><annotations>&a;</annotations>',
            "expected plain XML, got entity definitions, which can be an attack",
        ),
    ],
)
def test_another_xml_is_refused(tmp_path, text, message):
    file = tmp_path / "a.xml"
    file.write_text(text)
    with pytest.raises(DataError) as raised:
        read_cvat(file)
    assert str(raised.value) == f"a.xml: {message}"
