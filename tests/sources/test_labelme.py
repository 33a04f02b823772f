"""labelme: every shape, as labelme's own converters mean it."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.sources.guess import source_settings
from terse.sources.labelme import LabelmeConfig, read_labelme
from terse.sources.masks import draw_mask

SQUARE = [[10.0, 5.0], [20.0, 5.0], [20.0, 25.0], [10.0, 25.0]]


def shape(label="cup", points=SQUARE, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


@pytest.fixture
def labelme(tmp_path, save):
    def write(*shapes, image="a.png", name="a.png", size=(40, 30)):
        save(tmp_path / "set" / name, *size)
        data = {"version": "5.0.1", "shapes": shapes, "imagePath": image, "imageHeight": 30, "imageWidth": 40}
        (tmp_path / "set/a.json").write_text(json.dumps(data))
        return tmp_path / "set"

    return write


def area(notes, number):
    return int((draw_mask(notes.masks[number], notes.root, (40, 30)) > 0).sum())


def test_shapes_are_objects(labelme):
    png = io.BytesIO()
    Image.fromarray(np.array([[0, 1, 1], [0, 0, 1]], dtype=bool)).save(png, "PNG")
    mask = shape("dot", [[4, 6], [6, 7]], "mask", mask=base64.b64encode(png.getvalue()).decode())
    box = shape("box", [[20, 25], [10, 5]], "rectangle")
    root = labelme(shape(), box, shape("ring", [[20, 15], [20, 5]], "circle"), mask)
    notes = LabelmeConfig(labelme=root).build()
    assert source_settings(root) == {"labelme": str(root)}
    assert [notes.classes[label] for label in notes.labels] == ["cup", "box", "ring", "dot"]
    assert np.allclose(notes.boxes_px, [[10, 5, 20, 25], [10, 5, 20, 25], [10, 5, 30, 25], [5, 6, 7, 8]], atol=0.05)
    assert notes.masked.tolist() == [True, False, True, True]
    assert (area(notes, 0), area(notes, 3)) == (200, 3)
    assert abs(area(notes, 2) - np.pi * 100) < 6
    assert (notes.skipped, notes.remarks) == ((), ())


def test_shapes_of_one_group_are_one_object(labelme):
    other = [[25.0, 5.0], [30.0, 5.0], [30.0, 25.0], [25.0, 25.0]]
    notes = read_labelme(labelme(shape(group_id=1), shape(points=other, group_id=1), shape(group_id=2)))
    assert notes.boxes_px.tolist() == [[10, 5, 30, 25], [10, 5, 20, 25]]
    assert area(notes, 0) == 300


def test_parts_of_every_kind_are_joined(labelme):
    png = io.BytesIO()
    Image.new("1", (3, 2), 1).save(png, "PNG")
    spot = {"kind": "mask", "mask": base64.b64encode(png.getvalue()).decode(), "group_id": 1}
    other = shape(points=[[30, 20], [32, 21]], **spot)
    root = labelme(shape(group_id=1), shape(points=[[1, 2], [3, 3]], **spot), other)
    notes = read_labelme(root)
    assert (notes.boxes_px.tolist(), area(notes, 0)) == ([[1, 2, 33, 25]], 212)
    around = shape(points=[[5, 4], [24, 28]], kind="rectangle", group_id=1)
    notes = read_labelme(labelme(around, shape(group_id=1)))
    assert (notes.boxes_px.tolist(), area(notes, 0)) == ([[5, 4, 24, 28]], 200)


@pytest.mark.parametrize("image", ["a.png", "old name.jpg", "..\\pictures\\a.png", "/home/me/a.png", "a" * 600])
def test_the_photograph_is_found(labelme, image):
    assert read_labelme(labelme(shape(), image=image)).paths == ("a.png",)


def test_what_cannot_be_read_is_left_out_and_named(labelme):
    root = labelme(
        shape(),
        shape(kind="linestrip"),
        shape(points=SQUARE[:2]),
        shape(label=" "),
        shape(kind="mask", points=SQUARE[:2], mask="%"),
    )
    (root / "b.json").write_text("{")
    (root / "c.json").write_text("{}")
    notes = read_labelme(root)
    assert len(notes.labels) == 1
    assert [str(item) for item in notes.skipped] == [
        "b.json, line 1 column 2: expected whole JSON, got: Expecting property name enclosed in double quotes; "
        "the file may end early: copy it again",
        "a.json: shapes[1].shape_type: expected a polygon, rectangle, circle or mask, got a linestrip of 4 points; "
        "it is left out",
        "a.json: shapes[2].shape_type: expected a polygon, rectangle, circle or mask, got a polygon of 2 points; "
        "it is left out",
        "a.json: shapes[3].label: expected a class, got nothing; it is left out",
        "a.json: shapes[4].mask: expected a PNG in base64, got something else; it is left out",
    ]


def test_a_folder_of_other_json_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError) as raised:
        read_labelme(tmp_path)
    assert str(raised.value) == f"labelme: expected labelme's JSON files in {tmp_path}, got 1 others; give their folder"


def test_the_photograph_that_is_named_is_taken_whatever_else_has_its_stem(labelme, save):
    root = labelme(shape())
    save(root / "a.jpg")  # such as a picture of the annotation
    notes = read_labelme(root)
    assert (notes.paths, notes.skipped) == (("a.png",), ())


def test_hidden_files_are_passed_over_and_links_to_folders_followed(labelme, tmp_path):
    root = labelme(shape())
    (root / "._a.json").write_bytes(b"\0\5\26\7")
    (root / ".trash").mkdir()
    (root / ".trash/a.json").write_text((root / "a.json").read_text())
    root.rename(tmp_path / "store")
    (tmp_path / "all").mkdir()
    (tmp_path / "all/set").symlink_to(tmp_path / "store")
    notes = read_labelme(tmp_path / "all")
    assert (notes.paths, notes.skipped) == (("set/a.png",), ())


def test_photographs_inside_the_files_are_not_kept_in_memory(labelme, save):
    import tracemalloc

    root = labelme(shape())
    data = json.loads((root / "a.json").read_text()) | {"imageData": "A" * (1 << 20)}
    for number in range(40):
        save(root / f"{number}.png")
        (root / f"{number}.json").write_text(json.dumps({**data, "imagePath": f"{number}.png"}))
    tracemalloc.start()
    assert len(read_labelme(root)) == 41
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25 << 20  # all of them are 40 MB; four are read at once
