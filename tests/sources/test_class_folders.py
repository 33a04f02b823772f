import cv2
import numpy as np
import pytest

from terse.errors import DataError
from terse.sources.class_folders import ClassFoldersConfig


def test_the_class_is_the_outer_folder_and_the_box_the_image(tmp_path):
    for name in ("cup/a.png", "cup/day/b.png", "plate/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((6, 8, 3), np.uint8))
    found = ClassFoldersConfig(class_folders=tmp_path).build()
    assert found.classes == ("cup", "plate")
    assert found.labels.tolist() == [0, 0, 1]
    assert found.boxes_px.tolist() == [[0, 0, 8, 6]] * 3
    assert not found.masked.any()


def test_images_without_a_class_are_refused(tmp_path):
    (tmp_path / "cup").mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(DataError) as told:
        ClassFoldersConfig(class_folders=tmp_path).build()
    assert str(told.value) == (
        f"class_folders: expected a folder of images for each class in {tmp_path}, got a.png beside them"
    )
