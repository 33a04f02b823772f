"""A large COCO file is read part by part and becomes columns: the same index, sentences and errors as a small one's."""

import json
import random
from contextlib import suppress

import numpy as np
import pytest

from strangers import SETS
from terse.errors import DataError, TerseError
from terse.sources import coco as coco_reader
from terse.sources import indexing, json_lists
from terse.sources.annotations import Annotations
from terse.sources.coco import category_ids, read_coco
from terse.sources.columns import Column, MaskColumn, TextColumn, is_distinct
from terse.sources.documents import load_json
from terse.sources.guess import read_data, source_settings
from terse.sources.json_lists import ListOfFile, load_json_with
from terse.sources.masks import Polygons
from terse.sources.objects import ObjectColumns, ObjectRow

NEEDED = ("images", "categories")


@pytest.fixture(params=[1, 7, 1 << 20])
def large(request, monkeypatch):
    """Every file counts as large; gives the bytes that are read at once."""
    make_large(monkeypatch)
    monkeypatch.setattr(json_lists, "_CHUNK", request.param)
    return request.param


def make_large(monkeypatch):
    monkeypatch.setattr(json_lists, "_LARGE", 0)
    monkeypatch.setattr(coco_reader, "_FEW", 2)
    monkeypatch.setattr(indexing, "_ROWS", 3)


def facts(annotations: Annotations):
    """All that an index says, masks and texts as Python has them."""
    found = {name: getattr(annotations, name) for name in annotations.__slots__}
    for name, value in found.items():
        if isinstance(value, np.ndarray):
            found[name] = (value.dtype.str, value.shape, value.tolist())
        elif isinstance(value, Column | tuple):
            found[name] = [
                [part.tolist() for part in item.parts] if isinstance(item, Polygons) else item for item in value
            ]
    return found


DOCUMENTS = {
    "nothing_after": '{"images": [1], "categories": {"a": null}, "annotations": [{"b": [1, 2]}, "c", 3.5e1, true]}',
    "all_after": '{"annotations": [{"b": "]}\\"["}, [], {}], "images": [], "categories": [1], "licenses": "x"}',
    "spaces": ' \n{ "images" :\t[ ] , "annotations" : [ 1 ,\n 22 , 333 ] ,\r\n"categories":[ ] } \n',
    "empty": '{"images": [], "categories": [], "annotations": []}',
    "empty_with_space": '{"images": [], "categories": [], "annotations": [ \n ]}',
    "no_list": '{"images": [], "categories": [], "annotations": {"a": [1]}}',
    "none": '{"images": []}',
    "mapping": "{}",
    "unicode": '{"images": ["ä"], "categories": ["日本"], "annotations": ["é", "\\u00e9", "😀", "\\ud83d\\ude00"]}',
    "surrogate": '{"images": ["\\ud800"], "categories": [], "annotations": ["a", {"\\udc00": "\\ud800"}]}',
    "surrogate_as_it_stands": '{"images": ["\ud800"], "categories": [], "annotations": ["\ud83d\ude00", "\udc00"]}',
    "mark": '\ufeff{"images": [], "categories": [], "annotations": [1, 2]}',
    "numbers_behind": '{"images": [], "categories": [], "annotations": [1.5], "a": 1.25, "b": -2E-25, "c": 3e+7}',
    "not_finite": '{"images": [], "categories": [], "annotations": [NaN, Infinity, -Infinity, -0, 1e400]}',
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_large_document_says_what_a_small_one_says(text, tmp_path, large):
    file = tmp_path / "a.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    data = load_json_with(file, "annotations", NEEDED)
    items = data.get("annotations")
    if isinstance(items, ListOfFile):
        assert bool(items) == bool(list(items))
        assert repr(list(items)) == repr(list(items))  # again
    whole = {key: list(value) if isinstance(value, ListOfFile) else value for key, value in data.items()}
    assert repr(sorted(whole.items())) == repr(sorted(load_json(file).items()))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("text", ['["\\ud800"]', '["\ud800"]'], ids=["escaped", "as_it_stands"])
def test_no_surrogate_is_left_of_any_encoding(text, encoding, tmp_path, large):
    file = tmp_path / "a.json"
    text = f'{{"images": {text}, "categories": [], "annotations": {text}}}'
    file.write_bytes(text.encode(encoding, "surrogatepass"))
    for data in (load_json(file), load_json_with(file, "annotations", NEEDED)):
        assert [*data["images"], *data["annotations"]] == ["\ufffd", "\ufffd"]


def test_lists_deep_in_lists_are_refused_where_there_is_a_surrogate(tmp_path):
    file = tmp_path / "a.json"
    for depth in (600, 3000):  # the lesser one is read by Python 3.12 and later
        file.write_text('{"a": "\\ud800", "b": ' + "[" * depth + "]" * depth + "}")
        with pytest.raises(DataError, match="in UTF-8, got something else") if depth > 1000 else suppress(DataError):
            load_json(file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_cut_short_is_refused_alike_wherever_it_ends(encoding, tmp_path, large):
    text = '{"images": [{"id": 1}], "categories": [], "annotations": [{"id": 12}, {"é": [3]}], "info": {}}'.encode(
        encoding
    )
    file = tmp_path / "a.json"
    for end in range(len(text)):
        file.write_bytes(text[:end])
        with pytest.raises(DataError) as small:
            load_json(file)
        with pytest.raises(DataError) as error:
            list(load_json_with(file, "annotations", NEEDED)["annotations"])
        assert str(error.value) == str(small.value)


@pytest.mark.parametrize(
    "change", [("}]}", "}]},"), ("}]}", "}],}"), ("[{", "[,{"), ("{", "{,"), ('"id"', "7"), (":", ";")]
)
def test_what_is_no_json_is_refused_alike(change, tmp_path, large):
    file = tmp_path / "a.json"
    file.write_text('{"images": [], "categories": [], "annotations": [{"id": 1}]}'.replace(*change))
    with pytest.raises(DataError) as small:
        load_json(file)
    with pytest.raises(DataError) as error:
        list(load_json_with(file, "annotations", NEEDED)["annotations"])
    assert str(error.value) == str(small.value)


@pytest.mark.parametrize("again", ["annotations", "images"])
def test_a_list_that_comes_twice_is_refused(again, tmp_path, large):
    file = tmp_path / "a.json"
    file.write_text('{"images": [], "categories": [], "annotations": [1], "again": [2]}'.replace("again", again))
    with pytest.raises(DataError, match=f"{again}: expected it once, got it twice"):
        list(load_json_with(file, "annotations", NEEDED)["annotations"])


@pytest.mark.parametrize(
    "other",
    [
        '{"images": [], "categories": [], "annotat": {"ions": [1, 2]}}',
        '{"images": [], "categories": [], "annotations": [3, 4, 5]}',
        None,
    ],
    ids=["other_keys", "other_items", "gone"],
)
def test_a_file_that_changes_between_two_passes_is_refused(other, tmp_path, large):
    """Between them the headers of all images are read."""
    file = tmp_path / "a.json"
    file.write_text('{"images": [], "categories": [], "annotations": [1, 2]}')
    items = load_json_with(file, "annotations", NEEDED)["annotations"]
    if other is None:
        file.unlink()
    else:
        file.write_text(other)
    with pytest.raises(DataError, match="it changed while it was read"):
        list(items)


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_large_set_has_the_index_of_a_small_one(name, tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    given, found = SETS[name](tmp_path / "set"), {}
    for size in ("small", "large"):
        try:
            found[size] = facts(read_data(source_settings(given)))
        except TerseError as error:
            found[size] = str(error)
        make_large(monkeypatch)
    assert found["large"] == found["small"]


ODD_NUMBERS = [None, True, "7", 1.0, "x", [1], {}, float("nan"), float("inf"), 10**400, 2**53 + 1, 99]
ODD_VALUES = {
    "image_id": ODD_NUMBERS,
    "category_id": ODD_NUMBERS,
    "bbox": [
        None,
        [],
        [1, 2, 3],
        [1, 2, 0, 0],
        [1, 2, -3, 4],
        [500, 2, 3, 4],
        [-5, -5, 100, 100],
        [1, "2", 3, 4],
        "box",
    ],
    "segmentation": [
        None,
        [],
        [[1, 2, 3, 4]],
        [1, 2, 20, 4, 5, 30],
        [[1, 2], [20, 4], [5, 30]],
        [[1, 2, 20, 4, 5, float("nan")]],
        [[-9, 2, 900, 4, 5, 30], [1, 1, 1.5, 2.25, 9, 1]],
        [[1, 2, 3, 4, 5]],
        [["1", 2, 3, 4, 5, 6]],
        [[1, 2, 3, True, 5, 6]],
        {"size": [30, 40], "counts": [0, 1200]},
        "outline",
    ],
    "iscrowd": [1, True, "yes", 0, None],
    "ignore": [1, 0, None],
    "keypoints": [[], [1, 2, 2], [1, 2, 1, 3, 4, 2], "none"],
    "attributes": [{"rotation": 30}, {"rotation": "x"}, 3],
    "id": [None, "own", 1, [2], 1.5],
}


def odd_annotations(rng):
    """Mostly plain, in stretches, so that both ways of reading meet."""
    made = []
    for number in range(rng.choice([1, 3, 40, 200])):
        x, y, w, h = rng.randrange(30), rng.random() * 20, rng.randrange(1, 9), rng.random() * 8 + 0.1
        outline = [x, y, x + w, y, x + w, y + h]
        item = {"id": number, "image_id": rng.choice([7, 8]), "category_id": rng.choice([1, 2])}
        item |= {"bbox": [x, y, w, h], "segmentation": [outline] * rng.randrange(3), "iscrowd": 0}
        if rng.random() < rng.choice([0.02, 0.3]):
            for name in rng.sample(sorted(ODD_VALUES), rng.randrange(1, 3)):
                item[name] = rng.choice(ODD_VALUES[name])
        if rng.random() < 0.05:
            del item[rng.choice(sorted(item))]
        made.append(rng.choice([item, None, 3, []]) if rng.random() < 0.01 else item)
    return made


@pytest.mark.parametrize("seed", range(24))
def test_odd_annotations_are_read_alike(seed, coco, monkeypatch):
    rng = random.Random(seed)
    file, images = coco(annotations=odd_annotations(rng))
    data = json.loads(file.read_text())
    names = list(data)
    rng.shuffle(names)
    file.write_text(json.dumps({name: data[name] for name in names}))
    where = {"width": 40} if seed % 3 else {"id": 7}
    small = facts(read_coco(file, images, where))
    make_large(monkeypatch)
    assert facts(read_coco(file, images, where)) == small
    assert category_ids(file) == {"person": 1, "dog": 2}


def test_plain_annotations_become_columns_without_a_look_at_each(coco, note, monkeypatch):
    monkeypatch.setattr(json_lists, "_LARGE", 0)
    monkeypatch.setattr("terse.sources.coco._add", None)
    file, images = coco(annotations=[note(id=number) for number in range(100)])
    found = read_coco(file, images)
    assert isinstance(found.masks, MaskColumn)
    assert isinstance(found.object_names, TextColumn)
    assert len(found.object_names) == 100


def test_objects_are_joined_in_the_order_of_their_images():
    def part(images, names, points):
        n = len(images)
        outlines = MaskColumn.of_outlines(
            np.arange(6.0 * n, dtype=np.float32).reshape(-1, 2), np.full(n, 3), np.ones(n, dtype=np.int64)
        )
        keypoints = None if points is None else np.full((n, points, 3), points, dtype=np.float32)
        boxes, marks = np.zeros((n, 4)), np.zeros((n, 4), dtype=np.bool_)
        return ObjectColumns(
            np.array(images), np.array(images), boxes, marks, outlines, TextColumn.of(names), keypoints
        )

    found = ObjectColumns.joined([part([2, 0], ["a", "b"], None), part([0, 1], ["c", "d"], 2), part([0], ["e"], 1)])
    found = found.in_order()
    assert found.images.tolist() == [0, 0, 0, 1, 2]
    assert list(found.names) == ["b", "c", "e", "d", "a"]
    assert found.keypoints[:, :, 0].tolist() == [[0, 0], [2, 2], [1, 0], [2, 2], [0, 0]]
    assert [mask.parts[0][0].tolist() for mask in found.masks] == [[6, 7], [0, 1], [0, 1], [6, 7], [0, 1]]


def test_skeletons_of_many_lengths_stand_in_one_array():
    def row(points):
        keypoints = None if points is None else np.full((points, 3), points, dtype=np.float32)
        return ObjectRow(0, 0, (0, 0, 1, 1), False, False, False, False, None, "", keypoints)

    # Often, because the check of shapes looks at one item of a sequence, drawn anew each time.
    for _ in range(40):
        found = ObjectColumns.of([row(1), row(None), row(2), row(1)])
    assert found.keypoints[:, :, 0].tolist() == [[1, 0], [0, 0], [2, 2], [1, 0]]


def test_outlines_are_packed_as_masks_are():
    rng = np.random.default_rng(0)
    parts = [[rng.random((n, 2), dtype=np.float32) for n in lengths] for lengths in ([3], [], [4, 3, 9], [], [5])]
    masks = [Polygons(tuple(one)) if one else None for one in parts]
    flat = [outline for one in parts for outline in one]
    counts, lengths = np.array([len(one) for one in parts]), np.array([len(outline) for outline in flat])
    found = MaskColumn.of_outlines(np.concatenate(flat), lengths, counts)
    assert found.array.equals(MaskColumn.of(masks).array)
    assert found.present.tolist() == [True, False, True, False, True]
    assert (
        len(MaskColumn.of_outlines(np.zeros((0, 2), dtype=np.float32), lengths[:0], np.zeros(2, dtype=np.int64))) == 2
    )


def test_two_texts_alike_are_noticed_also_where_all_hashes_are(monkeypatch):
    assert is_distinct(("a", "b"))
    assert not is_distinct(("a", "b", "a"))
    assert not is_distinct(TextColumn.of(["a", "a"]))
    monkeypatch.setattr("terse.sources.columns.hash", lambda text: 1, raising=False)
    assert is_distinct(("a", "b"))
    assert not is_distinct(("a", "a"))
