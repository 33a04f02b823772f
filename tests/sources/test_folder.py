"""Folders of images: photographs, not the masks beside them."""

import pytest

from terse.sources.annotations import RemarkKind
from terse.sources.folder import read_folder


@pytest.mark.parametrize("images", ["JPEGImages", "images"])
@pytest.mark.parametrize("year", ["", "VOC2012/"])
def test_the_photographs_of_a_data_set_are_its_backgrounds(tmp_path, save, images, year):
    for folder in (images, "SegmentationObject", "SegmentationClassPNG", "masks"):
        save(tmp_path / f"{year}{folder}/a.png", 40, 40)
    notes = read_folder(tmp_path)
    assert notes.paths == (f"{year}{images}/a.png",)
    assert [remark.text for remark in notes.remarks] == [
        f"folders of masks are passed over: {year}SegmentationClassPNG, {year}SegmentationObject, {year}masks"
    ]


def test_a_folder_called_masks_alone_is_what_it_is(tmp_path, save):
    save(tmp_path / "masks/a.png", 40, 40)
    assert read_folder(tmp_path).paths == ("masks/a.png",)


def test_small_images_and_other_endings_are_said_or_read(tmp_path, save):
    save(tmp_path / "a.png", 8, 8)
    save(tmp_path / "b.jfif", 40, 40, format="JPEG")
    (tmp_path / "c.heic").write_bytes(b"\0\0\0\x18ftypheic")
    notes = read_folder(tmp_path)
    assert notes.paths == ("a.png", "b.jfif")
    assert [(remark.kind, remark.text) for remark in notes.remarks] == [
        (RemarkKind.DOUBT, "1 images are smaller than 32 px, the first being a.png: enlarged they are a blur")
    ]
    assert len(notes.skipped) == 1
