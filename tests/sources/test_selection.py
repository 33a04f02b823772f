"""What every source can be asked for, and folders of images."""

import pytest

from terse.errors import DataError
from terse.sources.coco import CocoConfig
from terse.sources.folder import ImagesConfig


@pytest.fixture
def build(coco, note):
    """A COCO source of a person in one image and a dog in the other, under these settings."""

    def make(**options):
        dog = note(id=2, image_id=8, category_id=2, bbox=[0, 0, 4, 4], segmentation=None)
        file, images = coco(annotations=[note(), dog])
        return CocoConfig(coco=file, images=images, **options).build()

    return make


def error_of(function, *args, **options):
    with pytest.raises(DataError) as error:
        function(*args, **options)
    return str(error.value)


def test_classes_keep_images_and_drop_other_objects(build):
    made = build(classes=("dog",))
    assert (made.classes, made.labels.tolist(), len(made)) == (("dog",), [0], 2)


def test_without_drops_images(build):
    made = build(without=("person",))
    assert (made.paths, made.object_names) == (("b.png",), ("2",))


def test_areas_out_of_the_limits_are_ignored_not_forgotten(build):
    assert build(min_area_px=17).ignore.tolist() == [False, True]
    assert build(max_area_px=16).ignore.tolist() == [True, False]
    assert build(min_area_px=16, max_area_px=200).ignore.tolist() == [False, False]


def test_names_and_keys_in_a_list_are_left_out(build, tmp_path):
    file = tmp_path / "out.txt"
    file.write_text("set:a.png:1\n\n  b.png \n")
    made = build(leave_out=file)
    assert (made.paths, len(made.labels)) == (("a.png",), 0)
    assert error_of(build, leave_out=tmp_path / "none.txt") == (
        f"leave_out: expected a file, got nothing at {tmp_path / 'none.txt'}; a recipe's relative paths start at its file"
    )


def test_fewer_images_are_a_part_of_more_and_other_images_change_nothing(tmp_path, save):
    def drawn(count, folder="a"):
        return set(ImagesConfig(images=tmp_path / folder, at_most_images=count).build().paths)

    for name in (f"{i}.png" for i in range(12)):
        save(tmp_path / "a" / name, 16, 16)
    assert [len(drawn(count)) for count in (1, 4, 12, 99)] == [1, 4, 12, 12]
    assert drawn(1) < drawn(4) < drawn(8) < drawn(12)
    assert drawn(4) != {"0.png", "1.png", "10.png", "11.png"}  # not the first ones
    for name in drawn(4):
        save(tmp_path / "b" / name, 16, 16)
    assert drawn(3, "b") == drawn(3)


def test_at_most_so_many_images_are_counted_after_those_that_are_left_out(build):
    assert build(without=("person",), at_most_images=1).paths == ("b.png",)
    made = build(classes=("dog",), at_most_images=1)
    assert len(made) == 1


def test_unknown_classes_are_refused(build):
    assert error_of(build, classes=("persn",)) == (
        "classes: expected classes of set, got 'persn'; did you mean 'person'?"
    )
    assert error_of(build, without=("zebra",)) == "without: expected classes of set, got 'zebra'; it has person, dog"


def test_nothing_left_is_an_error(build, tmp_path):
    assert error_of(build, without=("person", "dog")) == (
        "set: expected at least one image, got none; look at the path and at `without`"
    )
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/a.png").write_bytes(b"")
    (tmp_path / "torn/b.png").write_bytes(b"")
    assert error_of(ImagesConfig(images=tmp_path / "torn").build) == (
        "torn: expected at least one image, got none and skipped 2, the first being a.png: "
        "expected an image file, got an empty file; restore it or leave it out"
    )


def test_a_folder_is_read_sorted_and_what_is_broken_is_named(tmp_path, save):
    for name in ("z.jpg", "more/a.png", "m.webp"):
        save(tmp_path / name, 160, 120)
    (tmp_path / "more/torn.jpg").write_bytes((tmp_path / "z.jpg").read_bytes()[:-200])
    (tmp_path / "readme.txt").write_text("no image")
    made = ImagesConfig(images=tmp_path).build()
    assert made.paths == ("m.webp", "z.jpg", "more/a.png")
    assert made.image_keys[2] == f"{tmp_path.name}:more/a.png"
    assert len(made.labels) == 0
    assert [str(item) for item in made.skipped] == [
        (
            "more/torn.jpg: expected a whole image, got one that is cut short or damaged (OSError); "
            "restore it or leave it out"
        )
    ]
