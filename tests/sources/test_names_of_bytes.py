"""A file whose name is not UTF-8 is left out and named in words that every page can hold; the rest is read."""

import json

import pytest

from terse.errors import DataError
from terse.sources.class_folders import ClassFoldersConfig
from terse.sources.folder import read_folder
from terse.sources.guess import source_settings
from terse.sources.labelme import read_labelme
from terse.sources.voc import read_voc

XML = (
    "<annotation><object><name>cup</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    "</annotation>"
)
PAGE = {"shapes": [{"label": "cup", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}], "imagePath": "x.png"}
LATIN = "caf\udce9"


@pytest.fixture
def world(tmp_path, save):
    """Images with XML and JSON beside them, one of which a system of another time has named."""
    for name in ("a", "b"):
        save(tmp_path / f"set/{name}.png")
        (tmp_path / f"set/{name}.xml").write_text(XML)
        (tmp_path / f"set/{name}.json").write_text(json.dumps(PAGE))
    try:
        for suffix in ("png", "xml", "json"):
            (tmp_path / f"set/b.{suffix}").rename(tmp_path / f"set/{LATIN}.{suffix}")
    except OSError:
        pytest.skip("names are texts on this file system")
    return tmp_path / "set"


@pytest.mark.parametrize("read", [read_folder, read_voc, read_labelme])
def test_a_file_is_left_out_and_named(world, read):
    notes = read(world)
    assert notes.paths == ("a.png",)
    [told] = map(str, notes.skipped)
    assert "expected file names in UTF-8" in told
    assert told.encode().isascii()
    assert source_settings(world) == {"voc": str(world)}


def test_a_folder_is_refused(tmp_path, world):
    world.rename(tmp_path / LATIN)
    with pytest.raises(DataError) as raised:
        ClassFoldersConfig(class_folders=tmp_path).build()
    assert str(raised.value) == f"{tmp_path}: expected names of folders in UTF-8, got '{LATIN}/'; rename it".replace(
        LATIN, ascii(LATIN)[1:-1]
    )
