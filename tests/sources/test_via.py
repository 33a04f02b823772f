"""VIA: projects and exports of both versions."""

import json

import numpy as np
import pytest

from terse.errors import DataError
from terse.sources.annotations import RemarkKind
from terse.sources.guess import source_settings
from terse.sources.masks import draw_mask
from terse.sources.via import ViaConfig, read_via

POLYGON = {"name": "polygon", "all_points_x": [10, 20, 20, 10], "all_points_y": [5, 5, 25, 25]}


def region(shape=POLYGON, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


@pytest.fixture
def via(tmp_path, save):
    def write(*regions, whole=None):
        save(tmp_path / "set/a.png")
        save(tmp_path / "set/b.png", seed=1)
        pages = {
            "a.png123": {"filename": "a.png", "size": 123, "regions": list(regions), "file_attributes": {}},
            "b.png456": {"filename": "b.png", "size": 456, "regions": {}, "file_attributes": {}},
        }
        file = tmp_path / "set/via_region_data.json"
        file.write_text(json.dumps(pages if whole is None else whole(pages)))
        return file

    return write


def test_regions_are_objects(via):
    shapes = [
        POLYGON,
        {"name": "rect", "x": 10, "y": 5, "width": 10, "height": 20},
        {"name": "circle", "cx": 20, "cy": 15, "r": 10},
        {"name": "ellipse", "cx": 20, "cy": 15, "rx": 10, "ry": 5, "theta": np.pi / 2},
    ]
    file = via(*(region(shape, name=f"kind {i}") for i, shape in enumerate(shapes)))
    settings = source_settings(file.parent)
    assert settings == {"via": str(file), "images": str(file.parent)}
    notes = ViaConfig(**settings).build()
    assert (notes.paths, notes.classes) == (("a.png", "b.png"), ("kind 0", "kind 1", "kind 2", "kind 3"))
    assert notes.labels.tolist() == [0, 1, 2, 3]
    expected = [[10, 5, 20, 25], [10, 5, 20, 25], [10, 5, 30, 25], [15, 5, 25, 25]]
    assert np.allclose(notes.boxes_px, expected, atol=0.05)
    assert notes.masked.tolist() == [True, False, True, True]
    areas = [int((draw_mask(notes.masks[i], notes.root, (40, 30)) > 0).sum()) for i in (0, 2, 3)]
    assert np.allclose(areas, [200, np.pi * 100, np.pi * 50], atol=6)


def test_projects_and_version_1_are_read(via):
    assert len(read_via(via(region(name="cup"), whole=lambda pages: {"_via_img_metadata": pages})).labels) == 1

    def first(pages):
        pages["a.png123"]["regions"] = {"0": region(name="cup")}
        return pages

    assert len(read_via(via(whole=first)).labels) == 1


def test_the_class_is_the_attribute_that_is_there(via):
    notes = read_via(via(region()))
    assert notes.classes == ("object",)
    assert [remark.kind for remark in notes.remarks] == [RemarkKind.READ_AS]
    assert read_via(via(region(colour={"red": True, "blue": False}))).classes == ("red",)
    assert read_via(via(region(colour="red", Class="cup"))).classes == ("cup",)
    file = via(region(colour="red", shade="dark"))
    assert read_via(file, attribute="shade").classes == ("dark",)
    for attribute, message in (
        (
            None,
            "attribute: expected the region attribute that names the class, got colour, shade; name one in a recipe: "
            "{via: via_region_data.json, attribute: colour}",
        ),
        (
            "color",
            "attribute: expected a region attribute of via_region_data.json, got 'color'; did you mean 'colour'?",
        ),
    ):
        with pytest.raises(DataError) as raised:
            read_via(file, attribute=attribute)
        assert str(raised.value) == message


def test_what_cannot_be_read_is_left_out_and_named(via):
    notes = read_via(
        via(
            region(name="cup"),
            region({"name": "point", "cx": 1, "cy": 2}, name="cup"),
            region({"name": "rect", "x": 1}, name="cup"),
            region(name=""),
        )
    )
    here = "via_region_data.json: a.png123.regions"
    assert [str(item) for item in notes.skipped] == [
        f"{here}[1].shape_attributes: expected a whole polygon, rect, circle or ellipse, got a point; it is left out",
        f"{here}[2].shape_attributes: expected a whole polygon, rect, circle or ellipse, got a rect; it is left out",
        f"{here}[3].region_attributes: expected a class, got nothing; it is left out",
    ]


def test_another_json_is_refused(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    with pytest.raises(DataError) as raised:
        read_via(file)
    assert str(raised.value) == "a.json: expected VIA's images with filename and regions, got none; export it as JSON"
