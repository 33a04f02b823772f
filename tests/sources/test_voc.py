"""PASCAL VOC: boxes counted from 1, instances recovered from box and mask, and XML that cannot be trusted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.sources.masks import FileMask, draw_mask
from terse.sources.voc import VOC_CLASSES, VocConfig, match_instances, read_voc


def page(*objects, name="one.jpg", size=(40, 30)):
    tag = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>{name}</filename>{tag}{''.join(objects)}</annotation>"


def thing(name="person", box=(11, 6, 20, 25), difficult="0"):
    corners = "".join(
        f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


@pytest.fixture
def voc(tmp_path, save):
    """A VOC folder of these pages and these masks; every page has its image."""

    def write(pages, masks=None, kinds=None, lists=None, root=tmp_path / "VOC2012"):
        for folder in ("Annotations", "JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Main"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for i, (stem, text) in enumerate(pages.items()):
            (root / "Annotations" / f"{stem}.xml").write_text(text)
            save(root / "JPEGImages" / f"{stem}.jpg", seed=i)
        for folder, images in (("SegmentationObject", masks or {}), ("SegmentationClass", kinds or {})):
            for stem, values in images.items():
                image = Image.fromarray(values)
                image.putpalette(list(range(256)) * 3)
                image.save(root / folder / f"{stem}.png")
        for name, text in (lists or {}).items():
            (root / "ImageSets" / "Main" / f"{name}.txt").write_text(text)
        return root

    return write


def instances(*boxes, size=(40, 30)):
    values = np.zeros(size[::-1], dtype=np.uint8)
    for number, (x0, y0, x1, y1) in boxes:
        values[y0:y1, x0:x1] = number
    return values


def skipped(annotations):
    return [str(item) for item in annotations.skipped]


def error_of(*args, **options):
    with pytest.raises(DataError) as error:
        read_voc(*args, **options)
    return str(error.value)


def test_boxes_are_counted_from_one_and_end_inside(voc):
    root = voc({"one": page(thing(), thing("dog", (1, 1, 40, 30), "1"))})
    notes = read_voc(root)
    assert notes.classes == ("dog", "person")
    assert notes.labels.tolist() == [1, 0]
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25], [0, 0, 40, 30]]
    assert notes.ignore.tolist() == [False, True]
    assert notes.object_keys == ("VOC2012:JPEGImages/one.jpg:0", "VOC2012:JPEGImages/one.jpg:1")
    assert notes.masks == (None, None)
    assert notes.skipped == ()


def test_an_object_gets_the_instance_that_its_box_surrounds(voc):
    first, second = (2, 2, 14, 20), (12, 4, 30, 28)
    values = instances((3, first), (1, second), (255, (0, 0, 40, 1)))
    boxes = [thing(box=(13, 5, 30, 28)), thing(box=(3, 3, 14, 20))]
    notes = read_voc(voc({"one": page(*boxes)}, {"one": values}))
    assert [mask.value for mask in notes.masks] == [1, 3]
    for mask, number in zip(notes.masks, (1, 3), strict=True):
        assert np.array_equal(draw_mask(mask, notes.root, (40, 30)) > 0, values == number)


def test_matching_takes_the_best_pairs_first_and_each_once():
    values = instances((1, (0, 0, 10, 10)), (2, (8, 0, 20, 10)))
    boxes = np.array([[0, 0, 12, 10], [0, 0, 10, 10], [30, 20, 35, 25]], dtype=np.float64)
    assert match_instances(values, boxes, ["person"] * 3) == {1: 1, 0: 2}
    assert match_instances(values, boxes[:0], []) == {}
    assert match_instances(values, np.full((1, 4), np.nan), ["person"]) == {}


def test_an_instance_is_given_to_a_box_of_its_class_only():
    values = instances((1, (0, 0, 20, 20)), (2, (0, 5, 20, 28)))
    kinds = np.zeros_like(values)
    kinds[values == 1] = VOC_CLASSES.index("person") + 1
    kinds[values == 2] = VOC_CLASSES.index("bicycle") + 1
    boxes = np.array([[0, 0, 20, 28], [0, 4, 20, 28]], dtype=np.float64)
    assert match_instances(values, boxes, ["bicycle", "person"], kinds) == {0: 2, 1: 1}
    assert match_instances(values, boxes, ["bicycle", "person"]) == {1: 2, 0: 1}
    # Numbers that are not VOC's: no box is a bicycle, or there is no class of that number.
    assert match_instances(values, boxes, ["robot", "person"], kinds) == {1: 2, 0: 1}
    assert match_instances(values, boxes, ["bicycle", "person"], kinds + 100) == {1: 2, 0: 1}


def test_splits_and_years_are_read_in_order(voc, tmp_path):
    kit = tmp_path / "VOCdevkit"
    voc(
        {"b": page(name="b.jpg"), "a": page(name="a.jpg")},
        root=kit / "VOC2007",
        lists={"trainval": "b\na\nb\n", "test": "a"},
    )
    voc({"a": page(name="a.jpg")}, root=kit / "VOC2012", lists={"trainval": "a 1\n\nzz -1\n"})
    made = VocConfig(voc=kit, folders=("VOC2007", "VOC2012"), split=("trainval",)).build()
    assert made.paths == ("VOC2007/JPEGImages/b.jpg", "VOC2007/JPEGImages/a.jpg", "VOC2012/JPEGImages/a.jpg")
    assert VocConfig(voc=kit / "VOC2007", split=("test",)).build().paths == ("JPEGImages/a.jpg",)
    assert error_of(kit / "VOC2007", split=["train"]) == (
        f"split: expected a list in {kit / 'VOC2007/ImageSets/Main'}, got 'train'; there are test, trainval"
    )


def test_a_size_of_zero_or_none_is_looked_up(voc):
    notes = read_voc(voc({"one": page(thing(), size=(0, 0)), "two": page(thing(), name="two.jpg", size=None)}))
    assert notes.sizes_px.tolist() == [[40, 30], [40, 30]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>',
            "expected plain XML, got entity definitions, which can be an attack; its image is left out",
        ),
        (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><filename>&a;</filename></annotation>',
            "expected plain XML, got entity definitions, which can be an attack; its image is left out",
        ),
        (
            "<annotation><object>",
            "expected whole XML, got an error at no element found: line 1, column 20; its image is left out",
        ),
        ("", "expected whole XML, got an error at no element found: line 1, column 0; its image is left out"),
    ],
)
def test_xml_that_cannot_be_read_is_left_out_and_named(voc, text, reason):
    notes = read_voc(voc({"bad": text, "one": page(thing())}))
    assert skipped(notes) == [f"Annotations/bad.xml: {reason}"]
    assert notes.paths == ("JPEGImages/one.jpg",)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (thing(box=(11, 6, 11, 3)), ".bndbox: expected a box with an area, got 1x-2; it is left out"),
        (
            thing(box=("nan", 6, 11, 9)),
            ".bndbox: expected four finite numbers, got [nan, 5.0, 11.0, 9.0]; its box is left out",
        ),
        (
            thing(box=("x", 6, 11, 9)),
            ".bndbox: expected four finite numbers, got [nan, 5.0, 11.0, 9.0]; its box is left out",
        ),
        (
            thing(box=(61, 6, 70, 9)),
            ".bndbox: expected a box inside the 40x30 image, got [60.0, 5.0, 70.0, 9.0]; it is left out",
        ),
        (thing(name=""), ".name: expected a class, got nothing; it is left out"),
        (
            "<object><name>person</name></object>",
            ".bndbox: expected four finite numbers, got []; its box is left out",
        ),
    ],
)
def test_an_object_that_cannot_be_used_is_left_out_and_named(voc, item, sentence):
    notes = read_voc(voc({"one": page(thing("dog"), item)}))
    assert skipped(notes) == [f"Annotations/one.xml: object[1]{sentence}"]
    assert len(notes.labels) == 1
    assert "" not in notes.classes


def turned(cx, cy, w, h, angle, name="dog"):
    box = "".join(
        f"<{key}>{value}</{key}>"
        for key, value in zip(("cx", "cy", "w", "h", "angle"), (cx, cy, w, h, angle), strict=True)
    )
    return f"<object><type>robndbox</type><name>{name}</name><robndbox>{box}</robndbox></object>"


def test_a_turned_box_of_rolabelimg_is_the_upright_one_around_it(voc):
    notes = read_voc(
        voc(
            {"one": page(turned(20, 15, 10, 4, np.pi / 2), turned(20, 15, 10, 4, 0), turned(20, 15, 10, 10, np.pi / 4))}
        )
    )
    half = 5 * 2**0.5
    expected = [[18, 10, 22, 20], [15, 13, 25, 17], [20 - half, 15 - half, 20 + half, 15 + half]]
    np.testing.assert_allclose(notes.boxes_px, expected, rtol=1e-6)
    assert notes.masks == (None, None, None)
    assert [remark.text for remark in notes.remarks] == [
        "2 boxes are turned: the upright box around each is read, which holds more than the object"
    ]


def test_a_turned_box_without_its_angle_is_left_out_and_named(voc):
    notes = read_voc(voc({"one": page(thing(), turned(20, 15, 10, 4, "left"))}))
    assert skipped(notes) == [
        "Annotations/one.xml: object[1].robndbox: expected four finite numbers, got []; its box is left out"
    ]


ROBOFLOW = "<polygon><x1>12</x1><y1>6</y1><x2>18</x2><y2>6</y2><x3>18</x3><y3>24</y3><x4>12</x4><y4>24</y4></polygon>"
LABELME = "<polygon><pt><x>12</x><y>6</y></pt><pt><x>18</x><y>6</y></pt><pt><x>18</x><y>24</y></pt><pt><x>12</x><y>24</y></pt></polygon>"


@pytest.mark.parametrize("polygon", [ROBOFLOW, LABELME])
def test_outlines_of_tools_that_write_voc_are_masks(voc, polygon):
    boxed = thing().replace("</object>", f"{polygon}</object>")
    bare = f"<object><name>person</name>{polygon}</object>"
    taken_away = bare.replace("</object>", "<deleted>1</deleted></object>")
    notes = read_voc(voc({"one": page(boxed, bare, taken_away)}))
    assert notes.boxes_px.tolist() == [[10, 5, 20, 25], [12, 6, 18, 24]]
    assert [int((draw_mask(mask, notes.root, (40, 30)) > 0).sum()) for mask in notes.masks] == [108, 108]
    assert skipped(notes) == []


def test_an_outline_of_two_points_is_left_out_and_named(voc):
    short = "<polygon><x1>12</x1><y1>6</y1><x2>18</x2><y2>6</y2></polygon>"
    notes = read_voc(voc({"one": page(thing().replace("</object>", f"{short}</object>"))}))
    assert (len(notes.labels), notes.masks) == (1, (None,))
    assert skipped(notes) == [
        "Annotations/one.xml: object[0].polygon: expected x, y of at least three points, got [12.0, 6.0, 18.0, 6.0]; "
        "the outline is left out"
    ]


def test_a_mask_of_another_size_or_kind_leaves_the_masks_out(voc):
    root = voc({"one": page(thing())}, {"one": instances((1, (10, 5, 20, 25)), size=(41, 30))})
    notes = read_voc(root)
    assert skipped(notes) == [
        "SegmentationObject/one.png: expected its image's size 40x30, got 41x30; its masks are left out"
    ]
    assert notes.masks == (None,)
    Image.new("F", (40, 30)).save(root / "SegmentationObject" / "one.png", format="TIFF")
    assert skipped(read_voc(root)) == [
        (
            "SegmentationObject/one.png: expected a mask with one number a pixel (palette, grey or black and white), "
            "got mode F; save it as an 8-bit PNG"
        )
    ]


def test_paths_that_lead_out_are_refused(voc):
    root = voc({"one": page()}, lists={"train": "one\n../../../etc/x\n"})
    assert error_of(root, split=["train"]) == (
        f"train.txt, line 2: expected a path inside {root}, got 'Annotations/../../../etc/x.xml'; "
        "move the file into the folder"
    )


def test_a_folder_that_is_not_voc_and_listed_files_that_are_missing_are_named(voc, tmp_path):
    assert error_of(tmp_path) == (
        "voc: expected Annotations and JPEGImages, or XML beside photographs, got no XML of VOC's kind in "
        f"{tmp_path}; give the folder that holds them"
    )
    root = voc({"one": page()}, lists={"train": "one\ntwo\n"})
    assert skipped(read_voc(root, split=["train"])) == [
        "Annotations/two.xml: expected the XML file of a listed image, got nothing; its image is left out"
    ]


@pytest.mark.parametrize("name", ["../../two.jpg", "/etc/two.jpg", "C:\\data\\two.jpg", "two", "two.jpg", ""])
def test_the_image_of_the_xml_files_name_is_taken_where_filename_means_another(voc, name):
    root = voc({"one": page(thing(), name=name)})
    notes = read_voc(root)
    assert notes.paths == ("JPEGImages/one.jpg",)
    assert len(notes.remarks) == (name != "")


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/secret.jpg"])
def test_no_image_outside_the_folder_is_read(voc, name):
    root = voc({"one": page(thing(), name=name)})
    (root / "JPEGImages/one.jpg").rename(root.parent / "secret.jpg")
    assert len(read_voc(root)) == 0


@pytest.mark.parametrize(
    ("xml", "images"), [("annotations", "images"), ("annotations/xmls", "images"), ("train", "train"), (".", ".")]
)
def test_folders_of_other_names_and_flat_ones_are_read(voc, xml, images, tmp_path):
    from terse.sources.guess import source_settings

    made = voc({"one": page(thing())})
    root = tmp_path / "other"
    for source, place in (("Annotations/one.xml", xml), ("JPEGImages/one.jpg", images)):
        (root / place).mkdir(parents=True, exist_ok=True)
        (made / source).rename(root / place / Path(source).name)
    settings = source_settings(root if xml != "train" else root / xml)
    assert list(settings) == ["voc"]
    notes = read_voc(Path(settings["voc"]))
    assert [Path(path).name for path in notes.paths] == ["one.jpg"]
    assert len(notes.labels) == 1


def test_instances_of_a_mask_that_lost_its_palette_are_told_by_colour(voc):
    values = np.zeros((30, 40), np.uint8)
    values[5:25, 10:20], values[0:4, 0:4] = 1, 2
    root = voc({"one": page(thing())}, {"one": values})
    palette = Image.fromarray(values)
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0] + [9] * 759)
    palette.convert("RGB").save(root / "SegmentationObject/one.png")
    assert read_voc(root).masks == (FileMask("SegmentationObject/one.png", "value", 1),)


def marked(**marks):
    return thing().replace("<bndbox>", "".join(f"<{key}>{value}</{key}>" for key, value in marks.items()) + "<bndbox>")


def test_truncated_and_occluded_are_read(voc):
    root = voc({"one": page(marked(truncated=1), marked(occluded=1), thing()), "two": page(thing())})
    notes = read_voc(root)
    assert notes.truncated.tolist() == [True, False, False, False]
    assert notes.occluded.tolist() == [False, True, False, False]
    assert notes.ignore.tolist() == [False] * 4
    assert VocConfig(voc=root, whole=True).build().ignore.tolist() == [True, True, False, False]
    assert notes.keep_images(np.array([False, True])).truncated.tolist() == [False]


def test_a_set_without_marks_has_none(voc):
    root = voc({"one": page(thing())})
    assert read_voc(root).truncated is None
    assert VocConfig(voc=root, whole=True).build().ignore.tolist() == [False]


def test_classes_are_renamed_before_anything_else(voc):
    root = voc({"one": page(thing("tv"), thing("sofa", (1, 1, 5, 5)), thing("couch", (1, 1, 9, 9)))})
    notes = VocConfig(voc=root, rename={"tv": "tvmonitor", "couch": "sofa"}).build()
    assert [notes.classes[label] for label in notes.labels] == ["tvmonitor", "sofa", "sofa"]
    assert VocConfig(voc=root, rename={"couch": "sofa"}, classes=("sofa",)).build().count_classes() == {"sofa": 2}
    with pytest.raises(DataError) as error:
        VocConfig(voc=root, rename={"television": "tv"}).build()
    assert str(error.value) == "rename: expected classes of VOC2012, got 'television'; it has couch, sofa, tv"


def test_hidden_files_are_passed_over_and_links_to_folders_followed(voc, tmp_path, save):
    root = voc({"one": page(thing())})
    (root / "Annotations/._one.xml").write_bytes(b"\0\5\26\7")  # macOS's, in every archive
    (root / "Annotations/.ipynb_checkpoints").mkdir()
    (root / "Annotations/.ipynb_checkpoints/one-checkpoint.xml").write_text(page(thing()))
    (tmp_path / "store").mkdir()
    (tmp_path / "store/two.xml").write_text(page(thing(), name="two.jpg"))
    (root / "Annotations/more").symlink_to(tmp_path / "store")
    save(root / "JPEGImages/more/two.jpg")
    notes = read_voc(root)
    assert notes.paths == ("JPEGImages/more/two.jpg", "JPEGImages/one.jpg")
    assert (notes.skipped, notes.remarks) == ((), ())


def test_matching_does_not_hold_a_picture_of_each_instance():
    import tracemalloc

    values = np.arange(1000 * 1000, dtype=np.int64).reshape(1000, 1000) // 5000 % 200 + 1
    boxes = np.array([[0, 0, 1000, 5]], dtype=np.float64)
    tracemalloc.start()
    assert match_instances(values.astype(np.uint8), boxes, ["person"]) == {0: 1}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20  # 200 would be 200 MB


def test_images_in_lists_may_have_spaces_in_their_names(voc):
    pages = {name: page(thing(), name=f"{name}.jpg") for name in ("my image", "one", "two", "IMG 1")}
    lines = "my image\nIMG 1\none  1\ntwo -1\nmy image 1\nIMG 1 -1\n"
    assert read_voc(voc(pages, lists={"train": lines}), split=["train"]).paths == (
        "JPEGImages/my image.jpg",
        "JPEGImages/IMG 1.jpg",
        "JPEGImages/one.jpg",
    )
