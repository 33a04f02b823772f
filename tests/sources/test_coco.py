"""COCO JSON: what is read, and each thing that can be wrong with it."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as oracle

from terse.errors import DataError
from terse.sources.annotations import Remark, RemarkKind
from terse.sources.coco import CocoConfig, category_ids, read_coco
from terse.sources.guess import source_settings
from terse.sources.masks import Polygons, Rle, cut_outline, draw_mask, extent


def skipped(annotations):
    return [str(item) for item in annotations.skipped]


def error_of(file, images):
    with pytest.raises(DataError) as error:
        read_coco(file, images)
    return str(error.value)


def test_images_objects_and_licences_are_read(coco, note):
    dog = note(id=5, image_id=8, category_id=2, bbox=[0.5, 1, 3.25, 4], segmentation=None, iscrowd=1)
    file, images = coco(annotations=[dog, note()])
    notes = read_coco(file, images)
    assert len(notes) == 2
    assert notes.paths == ("a.png", "b.png")
    assert notes.sizes_px.tolist() == [[40, 30], [40, 30]]
    assert notes.licences == ("CC BY 4.0", "")
    assert notes.classes == ("person", "dog")
    assert notes.image_index.tolist() == [0, 1]
    assert notes.labels.tolist() == [0, 1]
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25], [0.5, 1, 3.75, 5]]
    assert notes.crowd.tolist() == [False, True]
    assert notes.masked.tolist() == [True, False]
    assert notes.image_keys == ("set:a.png", "set:b.png")
    assert notes.object_keys == ("set:a.png:1", "set:b.png:5")
    assert notes.files == (str(images / "a.png"), str(images / "b.png"))
    assert notes.skipped == ()


def test_polygons_and_both_kinds_of_runs_draw_the_same_mask(coco, note):
    truth = np.zeros((30, 40), dtype=np.uint8, order="F")
    truth[5:25, 10:20] = 1
    packed = oracle.encode(truth)
    flat = truth.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *changes, len(flat)]).tolist()
    kinds = [
        [[10, 5, 20, 5, 20, 25, 10, 25]],
        {"size": [30, 40], "counts": packed["counts"].decode()},
        {"size": [30, 40], "counts": runs},
    ]
    notes = read_coco(*coco(annotations=[note(id=i, segmentation=kind) for i, kind in enumerate(kinds)]))
    assert [type(mask) for mask in notes.masks] == [Polygons, Rle, Rle]
    for mask in notes.masks:
        assert np.array_equal(draw_mask(mask, notes.root, (40, 30)) > 0, truth > 0)
        assert np.array_equal(draw_mask(mask, notes.root, (40, 30), (8, 3, 15, 9)) > 0, truth[3:9, 8:15] > 0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30)), min_size=3, max_size=9))
def test_polygons_are_drawn_as_coco_draws_them(points):
    mask = Polygons((np.array(points, dtype=np.float32),))
    outline = mask.parts[0].ravel().astype(float).tolist()
    expected = oracle.decode(oracle.frPyObjects([outline], 30, 40))[..., 0]
    drawn = draw_mask(mask, Path(), (40, 30))
    assert np.array_equal(drawn > 0, expected > 0)
    x0, y0, x1, y1 = window = extent(mask, (40, 30))
    assert np.array_equal(draw_mask(mask, Path(), (40, 30), window), drawn[y0:y1, x0:x1])
    assert drawn.sum() == drawn[y0:y1, x0:x1].sum()


def test_several_parts_are_one_mask(coco, note):
    parts = [[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 8, 2, 8, 8, 2, 8]]
    notes = read_coco(*coco(annotations=[note(bbox=[0, 0, 8, 8], segmentation=parts)]))
    assert int((draw_mask(notes.masks[0], notes.root, (40, 30)) > 0).sum()) == 16 + 36 - 4


def test_an_exif_turned_image_is_read_as_it_was_annotated(coco, note, save, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file, images = coco()
    save(images / "a.png", 40, 30, exif=exif)
    save(images / "b.png", 30, 40, exif=exif)
    assert read_coco(file, images).sizes_px.tolist() == [[40, 30], [40, 30]]
    data = json.loads(file.read_text())
    for item in data["images"]:
        del item["width"], item["height"]
    file.write_text(json.dumps(data))
    assert read_coco(file, images).sizes_px.tolist() == [[30, 40], [40, 30]]


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (
            {"bbox": [50, 5, 10, 10]},
            ".bbox: expected a box inside the 40x30 image, got [50.0, 5.0, 60.0, 15.0]; it is left out",
        ),
        (
            {"bbox": [10, 5, 0, 10], "segmentation": []},
            ".bbox: expected a box with an area, got 0x10; it is left out",
        ),
        ({"bbox": [10, 5, -3, 10]}, ".bbox: expected a box with an area, got -3x10; it is left out"),
        (
            {"bbox": [10, float("nan"), 5, 10]},
            ".bbox: expected four finite numbers, got [10, nan, 15, nan]; its box is left out",
        ),
        (
            {"bbox": [10, float("inf"), 5, 10]},
            ".bbox: expected four finite numbers, got [10, inf, 15, inf]; its box is left out",
        ),
        ({"bbox": [1, 2, 3]}, ".bbox: expected four finite numbers, got [1, 2, 3]; its box is left out"),
        ({"bbox": None, "segmentation": []}, ".bbox: expected four finite numbers, got []; its box is left out"),
        ({"bbox": ["1", 2, 3, 4]}, ".bbox: expected four finite numbers, got ['1', 2, 3, 4]; its box is left out"),
        ({"image_id": 99}, ".image_id: expected the id of an image, got 99; it is left out"),
        ({"category_id": 9}, ".category_id: expected the id of a category, got 9; it is left out"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_left_out_and_named(coco, note, parts, sentence):
    notes = read_coco(*coco(annotations=[note(), note(id=2, **parts)]))
    assert skipped(notes) == [f"set.json: annotations[1]{sentence}"]
    assert len(notes.labels) == 1


def test_an_annotation_that_is_no_mapping_is_left_out(coco, note):
    notes = read_coco(*coco(annotations=[[1], note()]))
    assert skipped(notes) == ["set.json: annotations[0]: expected a mapping, got list; it is left out"]


def test_a_box_that_sticks_out_is_cut_at_the_border_and_its_mask_too(coco, note):
    outline = [[-5, -5, 60, -5, 60, 9, -5, 9]]
    notes = read_coco(*coco(annotations=[note(bbox=[-5, -5, 65, 14], segmentation=outline)]))
    assert notes.skipped == ()
    assert notes.boxes_px.tolist() == [[0, 0, 40, 9]]
    assert int((draw_mask(notes.masks[0], notes.root, (40, 30)) > 0).sum()) == 40 * 9


def in_a_larger_image(points):
    """What of an outline lies in an image of 40x30, drawn where nothing has to be cut."""
    return draw_mask(Polygons((points.astype(np.float32) + 100,)), Path(), (240, 230))[100:130, 100:140] > 0


def test_an_outline_that_sticks_out_keeps_its_shape_inside(coco, note):
    outline = [-100, 15, 20, -5, 20, 35]  # its point far outside: inside there is most of a rectangle
    whole = in_a_larger_image(np.array(outline).reshape(-1, 2))
    notes = read_coco(*coco(annotations=[note(bbox=[0, 0, 20, 30], segmentation=[outline])]))
    drawn = draw_mask(notes.masks[0], notes.root, (40, 30)) > 0
    assert whole.sum() > 19 * 29
    assert (drawn != whole).sum() <= 30  # the new corners are rounded to a fifth of a pixel


def test_outlines_of_any_shape_are_cut_as_coco_draws_them():
    rng = np.random.default_rng(5)
    apart = []
    for _ in range(300):
        points = rng.uniform(-60, 100, (rng.integers(3, 9), 2)).astype(np.float32)
        whole = in_a_larger_image(points)
        cut = cut_outline(points, (40, 30))
        assert ((cut >= 0) & (cut <= (40, 30))).all()
        apart.append(((draw_mask(Polygons((cut,)), Path(), (40, 30)) > 0) != whole).sum())
    assert np.mean(apart) < 4
    assert max(apart) <= 40  # of 1,200: half a pixel along the rim


def test_an_outline_beside_the_image_draws_nothing():
    around = np.array([[-9, 50], [-9, -9], [50, -9], [50, -1], [-1, -1], [-1, 50]], dtype=np.float32)
    for part in (around, around + np.array([60, 0]), np.array([[41, 2], [60, 2], [60, 9]], dtype=np.float32)):
        cut = cut_outline(part.astype(np.float32), (40, 30))
        assert len(cut) >= 3
        assert not draw_mask(Polygons((cut,)), Path(), (40, 30)).any()


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ([[1, 1, 5, 5]], "[0]: expected x, y of at least three points, got 2 points; this part is left out"),
        ([[1, 1, 5, 5, 3]], "[0]: expected x, y of at least three points, got 2 points; this part is left out"),
        (
            [[1, 1, 5, float("nan"), 3, 3]],
            "[0]: expected x, y of at least three points, got 3 points; this part is left out",
        ),
        ([["x"] * 6], f"[0]: expected x, y of at least three points, got {['x'] * 6!r}; this part is left out"),
        ("text", "[0]: expected x, y of at least three points, got 'text'; this part is left out"),
        (
            {"size": [30, 41], "counts": [1230]},
            ".size: expected the image's [30, 40], got [30, 41]; the mask is left out",
        ),
        ({"counts": [1200]}, ".size: expected the image's [30, 40], got None; the mask is left out"),
        *(
            (
                {"size": [30, 40], "counts": counts},
                ".counts: expected runs that fill 40x30 px, got others; the mask is left out",
            )
            for counts in ([10, 20], [10, 20_000], [-5, 1205], "0f0", "PPPPPPPPPPPPPPPPPPP", "\u00e9", None, 7, ["a"])
        ),
    ],
)
def test_a_mask_that_cannot_be_used_is_left_out_and_its_box_kept(coco, note, segmentation, sentence):
    notes = read_coco(*coco(annotations=[note(segmentation=segmentation)]))
    assert skipped(notes) == [f"set.json: annotations[0].segmentation{sentence}"]
    assert notes.masks == (None,)
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25]]


def test_the_good_parts_of_a_mask_are_kept(coco, note):
    notes = read_coco(*coco(annotations=[note(segmentation=[[1, 1], [10, 5, 20, 5, 20, 25, 10, 25]])]))
    assert len(notes.masks[0].parts) == 1
    assert len(notes.skipped) == 1


def test_a_missing_image_is_left_out_with_its_objects(coco, note):
    file, images = coco(annotations=[note(), note(id=2, image_id=8)])
    (images / "a.png").unlink()
    notes = read_coco(file, images)
    assert skipped(notes) == [
        f"a.png: expected an image file, got nothing at {images / 'a.png'}; restore it or leave it out"
    ]
    assert (notes.paths, notes.object_names, notes.image_index.tolist()) == (("b.png",), ("2",), [0])


def test_a_name_too_long_for_a_file_is_a_missing_image(coco):
    name = "x" * 5000
    file, images = coco(images=[{"id": 7, "file_name": name}], annotations=[])
    assert skipped(read_coco(file, images)) == [
        f"{name}: expected an image file, got nothing at {images / name}; restore it or leave it out"
    ]


def test_another_size_than_annotated_leaves_the_image_out(coco, save):
    file, images = coco()
    save(images / "a.png", 41, 30)
    assert skipped(read_coco(file, images)) == [
        "a.png: expected the annotated size 40x30, got 41x30; the annotations belong to another copy of this image"
    ]


@pytest.mark.parametrize("name", ["../c.png", "..\\c.png", "/elsewhere/c.png", "C:\\elsewhere\\c.png"])
def test_a_path_outside_the_folder_is_left_out_and_never_read(coco, save, tmp_path, name):
    save(tmp_path / "c.png")
    file, images = coco(images=[{"id": 7, "file_name": name}, {"id": 8, "file_name": "b.png"}], annotations=[])
    notes = read_coco(file, images)
    rule = "move the file into the folder" if name[0] == "." else "make it relative"
    got = "'../c.png'" if name[0] == "." else f"the absolute {name!r}"
    assert notes.paths == ("b.png",)
    assert skipped(notes) == [f"set.json: images[0].file_name: expected a path inside {images}, got {got}; {rule}"]


def test_links_are_followed_and_those_that_lead_out_are_counted(coco, save, tmp_path):
    file, images = coco()
    save(tmp_path / "store" / "1f", 40, 30, seed=5, format="PNG")
    (images / "b.png").unlink()
    (images / "b.png").symlink_to(tmp_path / "store" / "1f")
    notes = read_coco(file, images)
    assert notes.paths == ("a.png", "b.png")
    text = f"1 of 2 images are links that lead out of {images}; they are followed"
    assert notes.remarks == (Remark(RemarkKind.READ_AS, text),)
    (tmp_path / "store" / "1f").unlink()
    assert skipped(read_coco(file, images)) == [
        f"b.png: expected an image file, got a link to {tmp_path / 'store' / '1f'}, where no file is; "
        "restore it or leave it out"
    ]


def test_a_photograph_under_two_ids_is_two_images_on_one_side_of_a_split(coco):
    same = [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "x/../a.png"}, {"id": 9, "file_name": "b.png"}]
    notes = read_coco(*coco(images=same))
    assert notes.paths == ("a.png", "a.png", "b.png")
    assert [remark.kind for remark in notes.remarks] == [RemarkKind.DOUBT]
    for seed in range(8):
        held, rest = notes.split(0.5, seed)
        assert not set(held.files) & set(rest.files)


def test_two_images_of_one_id_are_refused(coco):
    same = [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]
    assert error_of(*coco(images=same)) == (
        "set.json: images[1].id: expected an id of its own, got 7 of 'b.png' as images[0], 'a.png'; give each its own"
    )


@pytest.mark.parametrize(
    ("number", "other"),
    [*product((1, 1.0, "1"), repeat=2), *product((-3, -3.0, "-3"), repeat=2)],
)
def test_ids_that_mean_one_thing_are_one(coco, note, number, other):
    notes = read_coco(*coco(annotations=[note(category_id=number)], categories=[{"id": other, "name": "person"}]))
    assert notes.classes == ("person",)
    assert (len(notes.labels), notes.skipped) == (1, ())


def test_ids_with_leading_zeros_are_words(coco, note):
    """`"007"` is not 7, and not `"7"`: who writes both means two images."""
    images = [
        {"id": one, "file_name": name, "width": 40, "height": 30} for one, name in (("007", "a.png"), ("7", "b.png"))
    ]
    notes = read_coco(*coco(images=images, annotations=[note(id="01", image_id="7"), note(id="1", image_id="007")]))
    assert notes.object_keys == ("set:a.png:1", "set:b.png:01")
    assert skipped(read_coco(*coco(images=images[:1], annotations=[note(image_id=7)]))) == [
        "set.json: annotations[0].image_id: expected the id of an image, got 7; it is left out"
    ]


@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0]])
def test_a_box_that_says_nothing_is_had_from_the_outline(coco, note, box):
    runs = {"size": [30, 40], "counts": [155, 20, 10, 20, 995]}
    notes = read_coco(*coco(annotations=[note(bbox=box), note(id=2, bbox=box, segmentation=runs)]))
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25], [5, 5, 7, 25]]


@pytest.mark.parametrize(
    "outline",
    [[10, 5, 20, 5, 20, 25, 10, 25], [[10, 5], [20, 5], [20, 25], [10, 25]], [[10, 5, 20, 5, 20, 25, 10, 25]]],
)
def test_an_outline_is_read_however_it_is_nested(coco, note, outline):
    notes = read_coco(*coco(annotations=[note(segmentation=outline)]))
    assert notes.skipped == ()
    assert int((draw_mask(notes.masks[0], notes.root, (40, 30)) > 0).sum()) == 200


def test_where_all_are_crowds_of_run_lengths_they_are_objects(coco, note):
    runs = {"size": [30, 40], "counts": [155, 20, 1025]}
    notes = read_coco(*coco(annotations=[note(iscrowd=1, segmentation=runs)]))
    assert (notes.crowd.tolist(), len(notes.remarks)) == ([False], 1)
    notes = read_coco(*coco(annotations=[note(iscrowd=1, segmentation=runs), note(id=2)]))
    assert (notes.crowd.tolist(), notes.remarks) == ([True, False], ())


def test_keypoints_are_kept_as_keypoints(coco, note):
    notes = read_coco(*coco(annotations=[note(keypoints=[11, 6, 2, 0, 0, 0]), note(id=2)]))
    assert notes.keypoints.tolist() == [[[11, 6, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert read_coco(*coco()).keypoints is None


def test_a_box_that_cvat_turned_is_said(coco, note):
    turned = note(segmentation=[], attributes={"rotation": 33.0})
    [remark] = read_coco(*coco(annotations=[turned])).remarks
    assert (remark.kind, remark.text[:29]) == (RemarkKind.DOUBT, "1 boxes are turned (attribute")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '{"images": [',
            "set.json, line 1 column 13: expected whole JSON, got: Expecting value; the file may end early: copy it again",
        ),
        (
            "",
            "set.json, line 1 column 1: expected whole JSON, got: Expecting value; the file may end early: copy it again",
        ),
        (
            "[]",
            "set.json: expected a mapping with images and annotations, got list; use COCO's instances format",
        ),
        ("{}", "set.json: categories: expected a list, got nothing; use COCO's instances format"),
        (
            '{"categories": [], "images": {}}',
            "set.json: images: expected a list, got dict; use COCO's instances format",
        ),
        (
            '{"categories": [], "images": [{"file_name": "a.png"}]}',
            "set.json: images[0].id: expected a number, got None; give each its own",
        ),
        (
            '{"categories": [], "images": [{"id": 1, "file_name": 3}]}',
            "set.json: images[0].file_name: expected a file name, got 3; correct it",
        ),
        (
            '{"categories": [], "images": []}',
            "set.json: annotations: expected a list, got nothing; use COCO's instances format",
        ),
        ("[" * 100_000, "set.json: expected COCO JSON in UTF-8, got something else; copy it again"),
    ],
)
def test_a_file_that_is_not_coco_is_refused(coco, text, sentence):
    file, images = coco()
    file.write_text(text)
    assert error_of(file, images) == sentence


def test_ids_of_categories_are_whole_numbers_however_they_are_written(coco):
    listed = [
        {"id": 17, "name": "cat"},
        {"id": "18", "name": "dog"},
        {"id": 19.0, "name": "cow"},
        {"id": "x", "name": "y"},
    ]
    file, _ = coco(categories=listed)
    assert category_ids(file) == {"cat": 17, "dog": 18, "cow": 19}


def test_categories_of_one_name_are_one_class_and_said(coco, note):
    listed = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "cat"}]
    notes = read_coco(*coco(categories=listed, annotations=[note(), note(id=2, category_id=3)]))
    assert (notes.classes, notes.labels.tolist()) == (("cat", "dog"), [0, 0])
    assert notes.remarks == (
        Remark(
            RemarkKind.DOUBT,
            "several classes have one name (cat): they are read as one class; if they are not, give each its own",
        ),
    )


@pytest.mark.parametrize("nameless", [{}, {"name": None}, {"name": ""}])
def test_a_category_without_a_name_is_called_by_its_id_and_said(coco, nameless):
    file, images = coco(categories=[{"id": 1, **nameless}, {"id": 2, "name": "dog"}])
    notes = read_coco(file, images)
    assert (notes.classes, category_ids(file)) == (("1", "dog"), {"1": 1, "dog": 2})
    assert notes.remarks == (
        Remark(RemarkKind.READ_AS, "set.json has categories without a name: they are called by their ids"),
    )


def test_a_class_of_two_lines_is_refused(coco):
    file, images = coco(categories=[{"id": 1, "name": "big\ncat"}])
    with pytest.raises(
        DataError, match=r"set: expected names of classes without line breaks, got 'big\\ncat'; correct it"
    ):
        read_coco(file, images)


def test_other_bytes_are_refused(coco):
    file, images = coco()
    file.write_bytes(b"\xff\xfe\x00\x01\xff")
    assert error_of(file, images) == "set.json: expected COCO JSON in UTF-8, got something else; copy it again"


def test_images_can_be_chosen_by_their_own_fields(coco, note):
    images = [{"id": 7, "file_name": "a.png", "split": "x"}, {"id": 8, "file_name": "b.png", "split": "y"}]
    file, folder = coco(images=images, annotations=[note(), note(id=2, image_id=8)])
    made = CocoConfig(coco=file, images=folder, where={"split": "y"}).build()
    assert (made.paths, made.object_names) == (("b.png",), ("2",))
    assert made.skipped == ()


def test_other_fields_of_images_are_kept_beside_them(coco, note):
    file, images = coco(annotations=[note()])
    written = json.loads(file.read_text())
    written["images"][0] |= {"condition": "wet", "video": 7, "coco_url": "x", "tags": ["a"]}
    file.write_text(json.dumps(written))
    notes = read_coco(file, images)
    assert notes.field("condition") == ("wet", None)
    assert notes.field("video") == ("7", None)
    assert notes.field("coco_url") == notes.field("tags") == (None, None)
    assert notes.keep_images(np.array([False, True])).field("condition") == (None,)


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"split": "z"}, "with split: 'z', got 'x', 'y'; correct split"),
        ({"year": 2017}, "with year: 2017, got none with a field 'year'; correct year"),
        ({"split": "x", "n": 2}, "with split: 'x', n: 2, got none with all of them; leave one out"),
    ],
)
def test_fields_that_no_image_has_are_named(coco, where, sentence):
    images = [
        {"id": 7, "file_name": "a.png", "split": "x", "n": 1},
        {"id": 8, "file_name": "b.png", "split": "y", "n": 2},
    ]
    file, folder = coco(images=images)
    with pytest.raises(DataError) as raised:
        CocoConfig(coco=file, images=folder, where=where).build()
    assert str(raised.value) == f"where: expected images of set.json {sentence}"


@pytest.mark.parametrize("flat", [True, False])
def test_images_of_lvis_are_named_by_their_urls(coco, flat):
    images = [
        {"id": 7, "coco_url": "http://images.cocodataset.org/val2017/a.png", "width": 40, "height": 30},
        {"id": 8, "coco_url": "http://images.cocodataset.org/train2017/b.png", "width": 40, "height": 30},
    ]
    file, folder = coco(images=images)
    if not flat:
        for split, name in (("val2017", "a.png"), ("train2017", "b.png")):
            (folder / split).mkdir()
            (folder / name).rename(folder / split / name)
    notes = read_coco(file, folder)
    assert notes.paths == (("a.png", "b.png") if flat else ("val2017/a.png", "train2017/b.png"))
    assert (len(notes.labels), notes.skipped) == (1, ())
    assert source_settings(file) == {"coco": str(file), "images": str(folder)}


@pytest.mark.parametrize("count", [1, 100])
def test_marks_may_be_written_as_text(coco, note, count, monkeypatch):
    monkeypatch.setattr("terse.sources.json_lists._LARGE", 0)
    made = [note(id=i, iscrowd=str(i % 2), ignore=str(i // 2 % 2)) for i in range(4 * count)]
    notes = read_coco(*coco(annotations=made))
    assert notes.crowd.tolist() == [False, True, False, True] * count
    assert notes.ignore.tolist() == [False, False, True, True] * count


@pytest.mark.parametrize("nothing", [[[]], [[], []], [], None])
def test_lists_of_nothing_are_boxes_without_an_outline(coco, note, nothing):
    notes = read_coco(*coco(annotations=[note(segmentation=nothing)]))
    assert (notes.masked.tolist(), notes.skipped) == ([False], ())
