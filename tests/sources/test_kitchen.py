"""The sets of the paper's kitchen in drawn miniatures: GMU's folds, BigBIRD's views, the UW scenes."""

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.sources.bigbird import BigBirdConfig, view_of
from terse.sources.gmu import GmuConfig
from terse.sources.masks import draw_mask
from terse.sources.uw_scenes import UwScenesConfig

XML = (
    "<annotation><filename>rgb_{0}.png</filename><size><width>40</width><height>30</height></size>"
    "<object><name>red_bull</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>23</ymax></bndbox></object>"
    "</annotation>"
)


@pytest.fixture
def gmu(tmp_path, save):
    for scene in range(1, 10):
        folder = tmp_path / "gmu" / f"gmu_scene_{scene:03d}"
        (folder / "Annotations").mkdir(parents=True)
        (folder / "Images").mkdir()
        for frame in (1, 2):
            save(folder / "Images" / f"rgb_{frame}.png", seed=scene)
            (folder / "Annotations" / f"rgb_{frame}.xml").write_text(XML.format(frame))
    return tmp_path / "gmu"


def scenes(found):
    return sorted({int(path.split("/")[0].removeprefix("gmu_scene_")) for path in found.paths})


def test_each_fold_tests_what_it_does_not_train_on(gmu):
    tested = []
    for fold in (1, 2, 3):
        train, test = (GmuConfig(gmu=gmu, fold=fold, part=part).build() for part in ("train", "test"))
        assert sorted([*scenes(train), *scenes(test)]) == list(range(1, 10))
        assert len(train) == 2 * len(scenes(train))
        tested += scenes(test)
    assert sorted(tested) == list(range(1, 10))
    test = GmuConfig(gmu=gmu, part="test").build()
    assert scenes(test) == [2, 4, 5]
    assert test.classes == ("red_bull",)
    assert test.boxes_px[0].tolist() == [2, 3, 12, 23]
    own = GmuConfig(gmu=gmu, fold=2, part="test", test_scenes=((1,), (9, 3), (2,))).build()
    assert scenes(own) == [3, 9]


def test_scenes_whose_folders_are_written_otherwise_are_found(gmu):
    (gmu / "gmu_scene_002").rename(gmu / "GMU_Scene_002")
    found = GmuConfig(gmu=gmu, part="test").build()
    assert {path.split("/")[0] for path in found.paths} == {"GMU_Scene_002", "gmu_scene_004", "gmu_scene_005"}
    assert not found.remarks


def test_boxes_below_the_evaluated_size_are_ignored(gmu):
    assert GmuConfig(gmu=gmu, part="test", min_area_px=1500).build().ignore.all()


def test_scenes_that_are_not_there(gmu, tmp_path):
    for name in ("gmu_scene_004", "gmu_scene_005"):
        (gmu / name).rename(tmp_path / name)
    found = GmuConfig(gmu=gmu, part="test").build()
    assert [remark.text for remark in found.remarks][-1] == (
        "gmu: scenes of fold 1 that are not there: gmu_scene_004, gmu_scene_005"
    )
    (gmu / "gmu_scene_002").rename(tmp_path / "2")
    with pytest.raises(DataError) as error:
        GmuConfig(gmu=gmu, part="test").build()
    assert str(error.value) == (
        f"gmu: expected gmu_scene_002, gmu_scene_004, gmu_scene_005 in {gmu}, got none of them; unpack the scenes there"
    )


@pytest.fixture
def bigbird(tmp_path, save):
    """Two objects: one in BigBIRD's own layout, one in Cut, Paste and Learn's; and files that are no views."""
    root = tmp_path / "bigbird"
    mask = np.ones((30, 40), dtype=bool)
    mask[10:20, 5:25] = False  # black on the object
    for views, folder, suffix in (
        (("NP1_0", "NP1_3", "NP5_120"), "masks", "_mask.pbm"), (("NP1_12", "NP2_9"), ".", ".pbm")
    ):  # fmt: skip
        place = root / ("red_bull" if folder == "masks" else "hunts_sauce")
        (place / folder).mkdir(parents=True)
        for seed, view in enumerate(views):
            save(place / f"{view}.jpg", seed=seed)
            Image.fromarray(mask).save(place / folder / f"{view}{suffix}")
    save(root / "red_bull" / "thumbnail.jpg", seed=9)
    (root / "backgrounds").mkdir()
    save(root / "backgrounds" / "background_1_36.png", seed=8)
    return root


def test_views_of_objects_with_their_masks(bigbird):
    found = BigBirdConfig(bigbird=bigbird).build()
    assert found.count_classes() == {"hunts_sauce": 2, "red_bull": 3}
    assert found.boxes_px.tolist() == [[5, 10, 25, 20]] * 5
    assert found.cut_outs
    drawn = draw_mask(found.masks[0], found.root, (40, 30))
    assert (drawn[10:20, 5:25] == 255).all()
    assert drawn.sum() == 200 * 255


def test_views_are_chosen_by_camera_and_angle(bigbird):
    def views(**asked):
        return [view_of(path) for path in BigBirdConfig(bigbird=bigbird, **asked).build().paths]

    assert views(cameras=(1,)) == [(1, 12), (1, 0), (1, 3)]
    assert views(every_deg=6) == [(1, 12), (1, 0), (5, 120)]
    assert view_of("cup/NP1_0_mask.pbm") is None
    with pytest.raises(DataError) as error:
        BigBirdConfig(bigbird=bigbird, cameras=(3,)).build()
    assert str(error.value) == (
        f"bigbird: expected views named NP<camera>_<degrees>.jpg with masks in {bigbird}, got none of the cameras "
        "and angles asked for"
    )


def test_views_are_known_whatever_the_case_of_their_names(bigbird):
    red_bull = bigbird / "red_bull"
    for file in [*red_bull.glob("NP*"), *red_bull.glob("masks/NP*")]:
        file.rename(file.with_name(file.name.lower()))
    for file in red_bull.glob("*.jpg"):
        file.rename(file.with_suffix(".JPG"))
    assert BigBirdConfig(bigbird=bigbird).build().count_classes() == {"hunts_sauce": 2, "red_bull": 3}


def test_the_folder_that_holds_the_views_is_the_object(bigbird):
    """Also where a single object lies in a folder of its own, or objects at several depths."""
    (bigbird / "snacks").mkdir()
    (bigbird / "red_bull").rename(bigbird / "snacks/red_bull")
    assert BigBirdConfig(bigbird=bigbird).build().count_classes() == {"hunts_sauce": 2, "red_bull": 3}
    assert BigBirdConfig(bigbird=bigbird).build().classes == ("hunts_sauce", "red_bull")


def test_uw_scenes_that_are_not_there_are_said(tmp_path, save):
    (tmp_path / "Desk").mkdir()
    for name in ("desk_1.png", "desk_1_Depth.PNG"):
        save(tmp_path / "Desk" / name)
    found = UwScenesConfig(uw_scenes=tmp_path, scenes=("desk", "kitchen")).build()
    assert found.paths == ("Desk/desk_1.png",)
    assert [remark.text for remark in found.remarks] == ["scenes that are not there: kitchen"]


def test_uw_scenes_of_both_editions_without_their_depth(tmp_path, save):
    for folder, names in (
        ("background/background_1", ["background_1_1.png", "background_1_1_depth.png", "background_1_2.png"]),
        ("desk/desk_1", ["desk_1_1.png", "desk_1_1_depth.png"]),
        ("imgs/scene_01", ["00000-color.png", "00000-depth.png", "00001-color.png", "00002-color.png"]),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            save(tmp_path / folder / name)

    def frames(**asked):
        return list(UwScenesConfig(uw_scenes=tmp_path, **asked).build().paths)

    assert len(frames()) == 6
    assert frames(scenes=("background",)) == [f"background/background_1/background_1_{i}.png" for i in (1, 2)]
    assert frames(scenes=("scene_01",), every=2) == [f"imgs/scene_01/0000{i}-color.png" for i in (0, 2)]
    with pytest.raises(DataError) as error:
        frames(scenes=("kitchen",))
    assert str(error.value) == f"uw_scenes: expected colour frames in kitchen in {tmp_path}, got none among 9 images"
