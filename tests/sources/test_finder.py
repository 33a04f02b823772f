"""Files are found by names of other machines and layouts, and never outside the folder."""

import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terse.errors import DataError
from terse.sources.finder import Finder, best_folder, existing_file, existing_folder, image_files, inside, leads_out


@pytest.fixture
def root(tmp_path):
    for name in ("root/train/p0.JPG", "root/train/p1.png", "root/a.jpg", "root/b.jpg", "outside.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "a.jpg"),
        ("train/p0.jpg", "train/p0.JPG"),
        ("Train/P1.PNG", "train/p1.png"),
        ("train\\p1.png", "train/p1.png"),
        ("train/p1", "train/p1.png"),
        ("/content/set/train/p1.png", "train/p1.png"),
        ("C:\\data\\set\\train\\p1.png", "train/p1.png"),
        ("none.jpg", "none.jpg"),
        ("train/p2.png", "train/p2.png"),
        ("sub/a.jpg", "sub/a.jpg"),
    ],
)
def test_a_file_is_found(root, name, found):
    assert Finder(root).find(name, "x") == found


def test_an_absolute_path_of_this_machine_is_found(root):
    assert Finder(root).find(str(root / "train/p1.png"), "x") == "train/p1.png"


def test_a_beginning_that_no_name_has_here_is_taken_off(root):
    names = ["images/a.jpg", "images/b.jpg", "images/c.jpg"]
    assert [Finder(root, names).find(name, "x") for name in names] == ["a.jpg", "b.jpg", "c.jpg"]
    names = ["train/p1.png", "val/a.jpg"]  # one is there: the other is missing, not somewhere else
    assert [Finder(root, names).find(name, "x") for name in names] == names


@pytest.mark.parametrize("name", ["../outside.jpg", "..\\outside.jpg", "/none/outside.jpg", "train/../../outside.jpg"])
def test_a_path_that_leaves_the_folder_is_refused(root, name):
    with pytest.raises(DataError, match=r"^x: expected a path inside "):
        Finder(root, [name]).find(name, "x")


def test_one_of_several_is_never_chosen(root):
    (root / "train/p0.Jpg").touch()
    with pytest.raises(DataError) as raised:
        Finder(root).find("train/p0.jpg", "f: images[0]")
    assert str(raised.value) == "f: images[0]: expected one file of that name, got p0.JPG and p0.Jpg; rename one"


def test_the_folder_that_holds_the_names_is_the_best(root):
    assert best_folder([root / "none", root, root / "train"], ["p0.jpg", "p1.png"]) == root / "train"
    assert best_folder([root], ["x.jpg"]) is None


def error_of(function, *args):
    with pytest.raises(DataError) as error:
        function(*args)
    return str(error.value)


def test_paths_inside_are_made_plain(tmp_path):
    assert inside(tmp_path, "a.jpg", "x") == "a.jpg"
    assert inside(tmp_path, "b/../c//d.jpg", "x") == "c/d.jpg"
    assert inside(tmp_path, "..a/b..jpg", "x") == "..a/b..jpg"


@pytest.mark.parametrize("name", ["../a.jpg", "b/../../a.jpg", ".."])
def test_climbing_out_is_refused(tmp_path, name):
    assert error_of(inside, tmp_path, name, "f.json: images[3].file_name") == (
        f"f.json: images[3].file_name: expected a path inside {tmp_path}, got {name!r}; move the file into the folder"
    )


@pytest.mark.parametrize("name", ["/etc/passwd", "C:\\photos\\a.jpg", "c:a.jpg", "\\\\server\\a.jpg", "\\a.jpg"])
def test_absolute_paths_are_refused(tmp_path, name):
    assert error_of(inside, tmp_path, name, "f") == (
        f"f: expected a path inside {tmp_path}, got the absolute {name!r}; make it relative"
    )


def test_a_name_that_is_no_utf_8_is_to_be_renamed(tmp_path):
    told = error_of(inside, tmp_path, "a\udce4.jpg", "photos")
    assert told == "photos: expected file names in UTF-8, got 'a\\udce4.jpg'; rename the file"


@pytest.mark.parametrize("name", ["", "a\0.jpg"])
def test_what_is_no_name_is_refused(tmp_path, name):
    assert error_of(inside, tmp_path, name, "f") == f"f: expected a file name, got {name!r}; correct it"


def test_links_are_followed_and_those_that_lead_out_are_told_apart(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    (other / "far.jpg").touch()
    (root / "own.jpg").touch()
    (root / "near.jpg").symlink_to("own.jpg")
    (root / "far.jpg").symlink_to(other / "far.jpg")
    (root / "folder").symlink_to(other)
    (other / "round").symlink_to(root)
    names = list(image_files(root))
    assert names == ["far.jpg", "near.jpg", "own.jpg", "folder/far.jpg"]
    assert [inside(root, name, "f") for name in names] == names
    assert [leads_out(root, name) for name in names] == [True, False, False, True]


def test_an_absolute_path_below_the_folder_is_its_own(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "other").symlink_to(tmp_path / "root")
    assert inside(tmp_path / "root", str(tmp_path / "root/a/b.jpg"), "f") == "a/b.jpg"
    assert inside(tmp_path / "root", str(tmp_path / "other/b.jpg"), "f") == "b.jpg"


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "", "/", "c.jpg", "..."]), max_size=6))
def test_an_accepted_path_is_inside(parts):
    root = Path("/nowhere/root")
    try:
        name = inside(root, "/".join(parts), "f")
    except DataError:
        return
    assert os.path.normpath(root / name).startswith(str(root))
    assert ".." not in PurePosixPath(name).parts


def test_images_below_a_folder_are_sorted_and_hidden_ones_passed_over(tmp_path):
    for name in ("b/2.JPG", "b/10.png", "a.webp", "notes.txt", ".hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(image_files(tmp_path)) == ["a.webp", "b/10.png", "b/2.JPG"]
    assert list(image_files(tmp_path, "b")) == ["b/10.png", "b/2.JPG"]


def test_missing_files_and_folders_are_named(tmp_path):
    (tmp_path / "file").touch()
    assert existing_file("coco", tmp_path / "file") == tmp_path / "file"
    assert existing_folder("images", tmp_path) == tmp_path
    end = "; a recipe's relative paths start at its file"
    assert error_of(existing_file, "coco", tmp_path) == f"coco: expected a file, got a folder at {tmp_path}{end}"
    assert (
        error_of(existing_file, "coco", tmp_path / "x")
        == f"coco: expected a file, got nothing at {tmp_path / 'x'}{end}"
    )
    assert error_of(existing_folder, "images", tmp_path / "file") == (
        f"images: expected a folder, got a file at {tmp_path / 'file'}{end}"
    )
    assert error_of(existing_folder, "images", tmp_path / "x") == (
        f"images: expected a folder, got nothing at {tmp_path / 'x'}{end}"
    )


def test_a_path_that_is_no_text_is_refused_at_once(tmp_path):
    """Pages, recipes and kept indexes hold texts."""
    folder = tmp_path / "b\udcfccher"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("names are texts on this file system")
    (folder / "set.json").write_text("{}")
    (tmp_path / "link").symlink_to(folder)
    for find, path in (
        (existing_folder, folder),
        (existing_folder, tmp_path / "link"),
        (existing_file, folder / "set.json"),
    ):
        with pytest.raises(DataError, match=r"images: expected a path in UTF-8, got '.*b\\udcfccher.*'; rename it"):
            find("images", path)
