"""COCO, VOC and YOLO sets hold what another reader, supervision, finds in them."""

import numpy as np
import pytest
import supervision

from strangers import coco, outline_line, photographs, voc, yolo
from terse.sources.guess import read_data, source_settings
from terse.sources.masks import draw_mask


def of_coco(root):
    photographs(root)
    file = coco(root)
    return file, supervision.DetectionDataset.from_coco(str(root / "images"), str(file), force_masks=True)


def of_voc(root):
    voc(root)
    return root, supervision.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))


def of_yolo(root):
    yolo(root, outline_line)
    data = supervision.DetectionDataset.from_yolo(
        str(root / "images/train"), str(root / "labels/train"), str(root / "data.yaml"), force_masks=True
    )
    return root / "data.yaml", data


@pytest.mark.parametrize("draw", [of_coco, of_voc, of_yolo], ids=lambda draw: draw.__name__)
def test_boxes_classes_and_masks_are_those_that_supervision_reads(tmp_path, draw):
    path, other = draw(tmp_path)
    ours = read_data(source_settings(path))
    found = {name.rpartition("/")[2]: detections for name, _, detections in other}
    assert {name.rpartition("/")[2] for name in ours.paths} == set(found)
    for number, name in enumerate(ours.paths):
        theirs = found[name.rpartition("/")[2]]
        rows = np.flatnonzero(ours.image_index == number)
        assert [ours.classes[k] for k in ours.labels[rows]] == [other.classes[k] for k in theirs.class_id]
        assert ours.boxes_px[rows] == pytest.approx(theirs.xyxy, abs=1.1)  # VOC counts pixels from 1
        for row, mask in zip(rows, theirs.mask if theirs.mask is not None else (), strict=False):
            drawn = draw_mask(ours.masks[row], ours.root, tuple(ours.sizes_px[number].tolist())) > 0
            assert (drawn & mask).sum() / (drawn | mask).sum() > 0.95
