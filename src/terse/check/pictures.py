"""Each image decoded once: is it whole, and does it show the same picture as another?

What trains a model must not judge it, and backgrounds must not hide labelled objects, under whatever name and size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from terse.check.findings import Code, Found, Part, Show, sampled
from terse.errors import DataError
from terse.progress import Observer
from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb

__all__ = ["broken", "decode", "hidden_objects", "picture_prints", "repeated", "same_pictures", "shared"]

_CHUNK = 64
_THREADS = 2
_TRAINS = ("foregrounds", "backgrounds", "train")
_JUDGES = ("val", "test")
Prints = Mapping[str, bytes | str]
"""By file: 64 bytes that know the picture, or the sentence that says why it cannot be decoded."""
_SIDE = 16
_ROWS = 512
_MAX_BITS = 75
"""Of 512. In 2,470 COCO photographs: copies at 0.4 to 2 times the size and JPEG qualities 40 to 95 differ by at most 55
bits, other pictures by at least 100."""


def decode(parts: Sequence[Part], most: int, observer: Observer) -> Prints:
    """The prints of at most so many images of each part."""
    prints: dict[str, bytes | str] = {}
    for part in parts:
        bare = part.annotations.keep_objects(np.zeros(len(part.annotations.labels), dtype=np.bool_))
        chosen = sampled(len(bare), most)
        if len(chosen) < len(bare):
            observer.say(
                f"{part.name}: {len(chosen):,} of {len(bare):,} images are decoded; --sample 0 looks at all of them"
            )
        files = bare.files
        new = [i for i in chosen if files[i] not in prints]
        for start in range(0, len(new), _CHUNK):
            rows = new[start : start + _CHUNK]
            prints.update(zip((files[i] for i in rows), _prints(_only(bare, rows)), strict=True))
            observer.advance(f"decoding {part.name}", start + len(rows), len(new))
    return prints


def _prints(annotations: Annotations) -> list[bytes | str]:
    try:
        return [bytes(print_) for print_ in picture_prints(annotations, workers=_THREADS)]
    except DataError as error:
        if len(annotations) == 1:
            return [str(error)]
        return [found for i in range(len(annotations)) for found in _prints(_only(annotations, [i]))]


def _only(annotations: Annotations, rows: Sequence[int]) -> Annotations:
    keep = np.zeros(len(annotations), dtype=np.bool_)
    keep[list(rows)] = True
    return annotations.keep_images(keep)


def broken(parts: Sequence[Part], prints: Prints) -> list[Found]:
    """Files whose header is sound and whose pixels are not: a run would stop when it comes to them."""
    lines: dict[str, list[str]] = {}
    sentences: dict[str, None] = {}
    for part in parts:
        for key, file in zip(part.annotations.image_keys, part.annotations.files, strict=True):
            told = prints.get(file)
            if isinstance(told, str):
                lines.setdefault(part.held_out_of or part.name, []).append(key)
                sentences[told] = None
    if not lines:
        return []
    where = ", ".join(lines)
    return [Found(code=Code.IMAGES_BROKEN, where=where, examples=list(sentences), leave_out=lines)]


def repeated(part: Part, prints: Prints) -> list[Found]:
    """Pictures of a set that are like an earlier one of it, each beside the first that it is like."""
    numbers, known = _known(part.annotations, prints)
    order = np.arange(len(numbers))
    pairs = [
        (numbers[i], numbers[j])
        for j, i in same_pictures(known, known, lambda rows: order < order[rows, None])  # an earlier one
    ]
    if not pairs:
        return []
    annotations = part.annotations
    keys, paths = annotations.image_keys, annotations.paths
    return [
        Found(
            code=Code.PICTURES_TWICE,
            where=part.name,
            examples=[f"{paths[i]} = {paths[j]}" for i, j in pairs],
            leave_out={part.name: [keys[j] for _, j in pairs]},
            shows=[Show(annotations, i, beside=(annotations, j), why="the same picture twice") for i, j in pairs],
        )
    ]


def _same_in(
    one: Annotations, other: Annotations, prints: Prints, among: Collection[int] | None = None
) -> list[tuple[int, int]]:
    """Images of `one`, each with the first of `other`, among these where they are given, that is another file and shows the same."""
    mine, known = _known(one, prints)
    theirs, others = _known(other, prints, among)
    files, other_files = one.files, other.files
    number = {file: i for i, file in enumerate(other_files)}
    own = np.array([number.get(files[i], -1) for i in mine], dtype=np.int64)
    its = np.array([number[other_files[j]] for j in theirs], dtype=np.int64)
    return [(mine[i], theirs[j]) for i, j in same_pictures(known, others, lambda rows: its != own[rows, None])]


def _known(
    annotations: Annotations, prints: Prints, among: Collection[int] | None = None
) -> tuple[list[int], UInt8[np.ndarray, "n 64"]]:
    """The images whose print is known, of all or among these."""
    rows = [(i, prints.get(file)) for i, file in enumerate(annotations.files) if among is None or i in among]
    good = [(i, found) for i, found in rows if isinstance(found, bytes)]
    joined = b"".join(found for _, found in good)
    return [i for i, _ in good], np.frombuffer(joined, dtype=np.uint8).reshape(-1, 64)


def shared(parts: Mapping[str, Part], prints: Prints) -> list[Found]:
    """Images, and copies of them under other names, of which one trains and the other judges."""
    return [*_same_files(parts), *_judges(parts), *_copies(parts, prints)]


def _same_files(parts: Mapping[str, Part]) -> Iterator[Found]:
    """The same file: a run leaves it out by itself, which is worth knowing, or leaves nothing."""
    judged = {file for name in _JUDGES if name in parts for file in parts[name].annotations.files}
    for name in (name for name in _TRAINS if name in parts and judged):
        annotations = parts[name].annotations
        used, files = _used(parts[name]), annotations.files
        taken = [i for i in used if files[i] in judged]
        if taken:
            left = len(used) - len(taken)
            paths = [annotations.paths[i] for i in taken]
            code = Code.IMAGES_JUDGE if left else Code.NOTHING_LEFT
            yield Found(code=code, where=name, examples=paths, fields={"left": left})


def _judges(parts: Mapping[str, Part]) -> Iterator[Found]:
    """Val and test apart from each other."""
    if "val" in parts and "test" not in parts:
        yield Found(code=Code.NO_TEST, where="test")
    if "val" in parts and "test" in parts:
        val, test = parts["val"].annotations, parts["test"].annotations
        both = set(val.files)
        same = [path for path, file in zip(test.paths, test.files, strict=True) if file in both]
        if same:
            yield Found(code=Code.IMAGES_IN_VAL_AND_TEST, where="val, test", examples=same)


def _copies(parts: Mapping[str, Part], prints: Prints) -> Iterator[Found]:
    """Pictures that train, each beside the first that judges and is like it."""
    pairs: dict[str, Show] = {}
    lines: dict[str, dict[str, None]] = {}
    for name in (name for name in _TRAINS if name in parts):
        mine = parts[name].annotations
        used, keys = set(_used(parts[name])), mine.image_keys
        for other in (other for other in _JUDGES if other in parts):
            theirs = parts[other].annotations
            for i, j in _same_in(mine, theirs, prints):
                if i in used and keys[i] not in lines.get(name, ()):
                    lines.setdefault(name, {})[keys[i]] = None
                    text = f"{mine.paths[i]} = {theirs.paths[j]} ({other})"
                    pairs.setdefault(text, Show(mine, i, beside=(theirs, j), why=f"{name} left, {other} right"))
    if pairs:
        yield Found(
            code=Code.PICTURES_ON_BOTH_SIDES,
            where=", ".join(lines),
            examples=list(pairs),
            leave_out={name: list(keys) for name, keys in lines.items()},
            shows=list(pairs.values()),
        )


def hidden_objects(parts: Mapping[str, Part], classes: Sequence[str], prints: Prints) -> Iterator[Found]:
    """Backgrounds that, under this or another name, another part knows to hold an object of the task."""
    if "backgrounds" not in parts:
        return
    annotations = parts["backgrounds"].annotations
    labelled = set(annotations.with_classes(classes).image_index.tolist())
    hidden: dict[int, Show] = {}
    for part in parts.values():
        known = part.annotations.with_classes(classes)
        if part.name == "backgrounds" or known.cut_outs or not len(known.labels):
            continue
        holding = set(known.image_index.tolist())
        place = {file: i for i, file in enumerate(known.files) if i in holding}
        same = [(i, place[file]) for i, file in enumerate(annotations.files) if file in place]
        for i, j in [*same, *_same_in(annotations, known, prints, among=holding)]:
            if i not in labelled:
                objects = tuple(known.objects_of(j).tolist())
                hidden.setdefault(i, Show(known, j, objects, why=f"labelled in {part.name}"))
    if hidden:
        keys = annotations.image_keys
        yield Found(
            code=Code.OBJECTS_HIDDEN,
            where="backgrounds",
            examples=[annotations.paths[i] for i in hidden],
            leave_out={"backgrounds": [keys[i] for i in hidden]},
            shows=list(hidden.values()),
        )


def _used(part: Part) -> list[int]:
    """The images a run uses: of foregrounds, those with an object that can be cut out."""
    annotations = part.annotations
    if part.name != "foregrounds":
        return list(range(len(annotations)))
    return [int(i) for i in np.unique(annotations.image_index[annotations.usable])]


def picture_prints(annotations: Annotations, workers: int = 0) -> UInt8[np.ndarray, "images 64"]:
    """512 bits of each image: whether brightness rises to the right and downwards, on a 16x16 grid.

    Raises:
        DataError: a file was changed or broken since it was indexed.

    Source: difference hash, Krawetz 2013.
    """

    def one(image: int) -> UInt8[np.ndarray, " 64"]:
        width, height = annotations.sizes_px[image].tolist()
        path = annotations.paths[image]
        small_px = (4 * _SIDE, 4 * _SIDE)
        pixels = read_rgb(annotations.root / path, path, (width, height), small_px)
        grey = cv2.cvtColor(cv2.resize(pixels, small_px, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        right = cv2.resize(grey, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
        down = cv2.resize(grey, (_SIDE, _SIDE + 1), interpolation=cv2.INTER_AREA).astype(np.int16)
        bits = np.concatenate([(np.diff(right, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
        return np.packbits(bits)

    if workers:
        with ThreadPoolExecutor(workers) as pool:
            prints = list(pool.map(one, range(len(annotations))))
    else:
        prints = [one(image) for image in range(len(annotations))]
    return np.array(prints, dtype=np.uint8).reshape(-1, 2 * _SIDE * _SIDE // 8)


def same_pictures(
    one: UInt8[np.ndarray, "n 64"],
    other: UInt8[np.ndarray, "m 64"],
    compared: Callable[[Int64[np.ndarray, " rows"]], Bool[np.ndarray, "rows m"]] | None = None,
    max_bits: int = _MAX_BITS,
) -> list[tuple[int, int]]:
    """Of each image of `one` the first of `other` that shows the same picture, by their prints; most have none.

    Plain images (a blank page) match nothing. `compared` says of some of `one` which of `other` may match; by default all.
    """
    pairs: list[tuple[int, int]] = []
    known, against = _signs(one), _signs(other)
    told, against_told = ~_plain(one), ~_plain(other)
    for start in range(0, len(one) if len(other) else 0, _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(one)))
        # Two bits agree where their signs' product is 1: one product of matrices instead of a loop over pairs.
        near = known[rows] @ against.T >= known.shape[1] - 2 * max_bits
        near &= told[rows, None] & against_told
        if compared is not None:
            near &= compared(rows)
        pairs.extend((int(rows[i]), int(near[i].argmax())) for i in np.flatnonzero(near.any(axis=1)))
    return pairs


def _signs(prints: UInt8[np.ndarray, "n 64"]) -> Float32[np.ndarray, "n 512"]:
    return np.unpackbits(prints, axis=1).astype(np.float32) * 2 - 1


def _plain(prints: UInt8[np.ndarray, "n 64"]) -> Bool[np.ndarray, " n"]:
    """Hardly a rise anywhere: too little to know a picture by."""
    flat: Bool[np.ndarray, " n"] = np.unpackbits(prints, axis=1).sum(axis=1) < _MAX_BITS
    return flat
