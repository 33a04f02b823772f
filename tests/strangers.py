"""Small sets as strangers bring them, drawn by code: a function for each line of `tests/cases/expected.csv`.

Most hold six photographs of 160x120 px with one disc each, the first in the box 40 30 110 95.
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIZE = (160, 120)
BOXES = ((40, 30, 70, 65), (20, 20, 60, 70), (60, 40, 80, 70), (50, 10, 70, 70), (30, 50, 70, 65), (70, 30, 80, 70))
STEMS = tuple(f"p{i}" for i in range(len(BOXES)))
COLOUR = (200, 40, 30)
SETS: dict[str, Callable[[Path], Path]] = {}
"""What draws each set in a folder, and gives the path that a user would name."""


def case(name: str) -> Callable[[Callable[[Path], Path | None]], Callable[[Path], Path]]:
    """Make a function draw the set of a name; without a path of its own, the folder is what a user names."""

    def add(draw: Callable[[Path], Path | None]) -> Callable[[Path], Path]:
        def drawn(root: Path) -> Path:
            return draw(root) or root

        SETS[name] = drawn
        return drawn

    return add


def disc(number: int) -> list[float]:
    """The outline of a photograph's disc, x y x y."""
    x, y, w, h = BOXES[number]
    around = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    points = np.stack([x + w / 2 + np.cos(around) * w / 2, y + h / 2 + np.sin(around) * h / 2], axis=1)
    return [round(value, 1) for value in points.ravel().tolist()]


def inside(number: int) -> np.ndarray:
    """The pixels of a photograph's disc."""
    canvas = Image.new("1", SIZE)
    ImageDraw.Draw(canvas).polygon(disc(number), fill=1)
    return np.array(canvas)


def photograph(path: Path, number: int = 0, size: tuple[int, int] = SIZE, **options: Any) -> None:
    """A smooth picture with its disc, different for each number."""
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    angle = 1.1 * number
    wave = np.sin(7 * (across * np.cos(angle) + down * np.sin(angle)) + number)
    pixels = np.stack([110 + 60 * wave, 120 + 80 * across, 130 + 60 * down], axis=2)
    noise = np.random.default_rng(number).normal(0, 6, pixels.shape)
    pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if size == SIZE:
        pixels[inside(number % len(BOXES))] = COLOUR
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def photographs(root: Path, folder: str = "images", stems: Iterable[str] = STEMS, suffix: str = ".jpg") -> None:
    for i, stem in enumerate(stems):
        photograph(root / folder / f"{stem}{suffix}", i, format="JPEG")


# COCO


def coco(
    root: Path,
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    file: str = "ann.json",
    names: Iterable[str] = (f"{stem}.jpg" for stem in ()),
) -> Path:
    """A COCO file of the discs, changed as a tool would."""
    names = list(names) or [f"{stem}.jpg" for stem in STEMS]
    data: dict[str, Any] = {
        "images": [
            {"id": i + 1, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": i + 1,
                "image_id": i + 1,
                "category_id": 1,
                "bbox": list(BOXES[i]),
                "area": 1,
                "iscrowd": 0,
                "segmentation": [disc(i)],
            }
            for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "disc"}],
    }
    if change is not None:
        change(data)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(data))
    return root / file


def coco_case(name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """A set that differs from a plain one in its JSON alone."""

    def draw(root: Path) -> Path:
        photographs(root)
        return coco(root, change)

    case(name)(draw)


def each(**parts: Any) -> Callable[[dict[str, Any]], None]:
    """The same change of every annotation."""

    def change(data: dict[str, Any]) -> None:
        for item in data["annotations"]:
            item.update(parts)

    return change


def _flat(data: dict[str, Any]) -> None:
    for item in data["annotations"]:
        item["segmentation"] = item["segmentation"][0]


def _float_ids(data: dict[str, Any]) -> None:
    for item in data["annotations"]:
        item.update(image_id=float(item["image_id"]), category_id=1.0)


def _no_box(data: dict[str, Any]) -> None:
    for item in data["annotations"]:
        del item["bbox"]


def _corners(data: dict[str, Any]) -> None:
    for item in data["annotations"]:
        x, y, w, h = item["bbox"]
        item["bbox"] = [x, y, x + w, y + h]


def _sizes(data: dict[str, Any]) -> None:
    for item in data["images"]:
        item.update(width="160", height=120.0)


def _outside(data: dict[str, Any]) -> None:
    data["images"][3]["file_name"], data["images"][4]["file_name"] = "..\\label\\p3.jpg", "../label/p4.jpg"


def _two_points(data: dict[str, Any]) -> None:
    for item, outline in zip(data["annotations"], ([[10, 10, 20, 20]], [[]]), strict=False):
        item["segmentation"] = outline
    data["annotations"][2]["segmentation"].append([1, 2, 3])


def _runs(order: str, size: list[int]) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for i, item in enumerate(data["annotations"]):
            flat = inside(i).ravel(order=order)  # type: ignore[arg-type]
            ends = np.flatnonzero(np.diff(flat.astype(int))) + 1
            item["segmentation"] = {"size": size, "counts": np.diff([0, *ends, flat.size]).tolist()}

    return change


def _classes(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["categories"] = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
        for i, item in enumerate(data["annotations"]):
            item["category_id"] = i % len(names) + 1

    return change


def _dots(data: dict[str, Any]) -> None:
    data["categories"].append({"id": 2, "name": "dot"})
    for i in range(len(BOXES)):
        box = [2 + i, 2, 12, 12]
        square = [2 + i, 2, 14 + i, 2, 14 + i, 14, 2 + i, 14]
        more = {"id": 7 + i, "image_id": i + 1, "category_id": 2, "bbox": box, "segmentation": [square], "iscrowd": 0}
        data["annotations"].append(more)


coco_case("boxes_only", each(segmentation=[]))
coco_case("class_lost_by_cleanup", _dots)
coco_case("class_same_name_case", _classes("disc", "Disc"))
coco_case("class_words", _classes("no", "yes", "1", "a: b", "null", "on", "x/y", "#h", "O'N"))
coco_case("dup_file_name", lambda data: data["images"][1].update(file_name="p0.jpg"))
coco_case("dup_image_id", lambda data: data["images"][1].update(id=1))
coco_case("flat_polygon", _flat)
coco_case("float_ids", _float_ids)
coco_case("no_bbox", _no_box)
coco_case("no_categories", lambda data: data.pop("categories"))
coco_case("no_extension", lambda data: [item.update(file_name=item["file_name"][:-4]) for item in data["images"]])
coco_case("one_outside_path", _outside)
coco_case("polygon_two_points", _two_points)
coco_case("rle_rowmajor", _runs("C", [120, 160]))
coco_case("rle_size_wh", _runs("F", [160, 120]))
coco_case("rotation_attribute", each(segmentation=[], attributes={"occluded": False, "rotation": 33.0}))
coco_case("string_category_id", lambda data: data["categories"][0].update(id="1"))
coco_case("string_sizes", _sizes)
coco_case("xyxy_boxes", _corners)


@case("case_ext")
def _case_ext(root: Path) -> Path:
    photographs(root, suffix=".JPG")
    return coco(root)


@case("coco_in_roboflow_folder")
def _roboflow(root: Path) -> Path:
    photographs(root, "train")
    return coco(root, file="train/_annotations.coco.json").parent


@case("exif_coco_raw")
def _exif_coco(root: Path) -> Path:
    _turned(root, "images")
    return coco(root, names=["p0.jpg", "p1.jpg", "p2.jpg"])


@case("labelme2coco_layout")
def _labelme2coco(root: Path) -> Path:
    photographs(root, "JPEGImages")
    return coco(root, file="annotations.json", names=[f"JPEGImages/{stem}.jpg" for stem in STEMS])


@case("ls_images_prefix")
def _label_studio(root: Path) -> Path:
    photographs(root)
    return coco(root, file="result.json", names=[f"images/{stem}.jpg" for stem in STEMS])


@case("utf8_bom")
def _byte_order_mark(root: Path) -> Path:
    photographs(root)
    file = coco(root)
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    return file


def _turned(root: Path, folder: str) -> None:
    """Three photographs that EXIF turns by 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(3):
        photograph(root / folder / f"p{i}.jpg", i, exif=exif)


@case("labelme")
def _labelme(root: Path) -> Path:
    photographs(root, "set", STEMS[:4])
    for i, stem in enumerate(STEMS[:4]):
        points = np.reshape(disc(i), (-1, 2)).tolist()
        shape = {"label": "disc", "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}
        page = {"version": "5.0.1", "shapes": [shape], "imagePath": f"{stem}.jpg", "imageData": None}
        (root / f"set/{stem}.json").write_text(json.dumps(page))
    return root / "set"


# VOC


def voc(
    root: Path,
    *,
    xml: str = "Annotations",
    images: str = "JPEGImages",
    masks: str | None = "SegmentationObject",
    filename: str = "{stem}.jpg",
    left: str = "",
    size: tuple[int, int] = SIZE,
    mode: str = "P",
) -> None:
    photographs(root, images)
    for i, stem in enumerate(STEMS):
        x, y, w, h = BOXES[i]
        corners = f"<xmin>{x}{left}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
        text = (
            f"<annotation><folder>x</folder><filename>{filename.format(stem=stem, i=i)}</filename><size><width>{size[0]}"
            f"</width><height>{size[1]}</height><depth>3</depth></size><object><name>disc</name><difficult>0</difficult>"
            f"<bndbox>{corners}</bndbox></object></annotation>"
        )
        (root / xml).mkdir(exist_ok=True)
        (root / xml / f"{stem}.xml").write_text(text)
        if masks is not None:
            values = Image.fromarray(inside(i).astype(np.uint8))
            values.putpalette([0, 0, 255, 1, 0, 254, *([9] * 762)])
            (root / masks).mkdir(exist_ok=True)
            values.convert(mode).save(root / masks / f"{stem}.png")


case("voc_ok")(voc)
case("voc_class_masks_only")(lambda root: voc(root, masks="SegmentationClass"))
case("voc_float")(lambda root: voc(root, left=".5"))
case("voc_lower")(lambda root: voc(root, xml="annotations", images="images", masks=None))
case("voc_path_in_filename")(lambda root: voc(root, filename="C:\\data\\{stem}.jpg"))
case("voc_renamed")(lambda root: voc(root, filename="IMG_{i:04}.jpg"))
case("voc_rgb_masks")(lambda root: voc(root, mode="RGB"))
case("voc_zero_size")(lambda root: voc(root, size=(0, 0)))


@case("voc_semantic_noxml")
def _semantic(root: Path) -> None:
    voc(root)
    for file in (root / "Annotations").iterdir():
        file.unlink()
    (root / "Annotations").rmdir()


# YOLO


def box_line(number: int) -> str:
    x, y, w, h = BOXES[number]
    values = ((x + w / 2) / SIZE[0], (y + h / 2) / SIZE[1], w / SIZE[0], h / SIZE[1])
    return "0 " + " ".join(f"{value:.6f}" for value in values)


def outline_line(number: int) -> str:
    values = np.reshape(disc(number), (-1, 2)) / SIZE
    return "0 " + " ".join(f"{value:.6f}" for value in values.ravel())


def yolo(
    root: Path,
    line: Callable[[int], str] = outline_line,
    yaml: str = "train: images/train\nval: images/train\nnames: [disc]\n",
    *,
    images: str = "images/train",
    labels: str = "labels/train",
) -> None:
    photographs(root, images)
    (root / labels).mkdir(parents=True, exist_ok=True)
    for i, stem in enumerate(STEMS):
        (root / labels / f"{stem}.txt").write_bytes(f"{line(i)}\n".encode())
    if yaml:
        (root / "data.yaml").write_text(yaml)


def yolo_case(name: str, line: Callable[[int], str] = outline_line, yaml: str = "", **places: str) -> None:
    """A set with labels or a data.yaml of its own."""
    text = yaml or "train: images/train\nval: images/train\nnames: [disc]\n"
    case(name)(lambda root: yolo(root, line, text, **places))


def _turned_box(number: int) -> str:
    x, y, w, h = BOXES[number]
    angle = np.radians(33)
    corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2.8
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    values = (corners @ turn + (x + w / 2, y + h / 2)) / SIZE
    return "0 " + " ".join(f"{value:.5f}" for value in values.ravel())


yolo_case("yolo_abs_path", yaml="path: /content/drive/set\ntrain: images/train\nval: images/train\nnames: [disc]\n")
yolo_case("yolo_abs_train", yaml="train: /content/set/images/train\nval: /content/set/images/train\nnames: [disc]\n")
yolo_case("yolo_comma_decimal", lambda i: box_line(i).replace(".", ","))
yolo_case("yolo_crlf_tab", lambda i: outline_line(i).replace(" ", "\t") + "\r")
yolo_case("yolo_float_class", lambda i: outline_line(i).replace("0 ", "0.0 ", 1))
yolo_case(
    "yolo_labels_elsewhere",
    yaml="train: train/img\nval: train/img\nnames: [disc]\n",
    images="train/img",
    labels="train/lbl",
)
yolo_case("yolo_mixed", lambda i: box_line(i) if i % 2 else outline_line(i))
yolo_case("yolo_names_bool", yaml="train: images/train\nval: images/train\nnames: [yes, no]\n")
yolo_case("yolo_names_int", yaml="train: images/train\nval: images/train\nnames: [0, 1]\n")
yolo_case("yolo_nc_only", yaml="train: images/train\nval: images/train\nnc: 1\n")
yolo_case("yolo_obb", _turned_box)
yolo_case(
    "yolo_path_dataset_dir", yaml="path: ../datasets/X\ntrain: images/train\nval: images/train\nnames: {0: disc}\n"
)
yolo_case("yolo_path_dot", yaml="path: ./\ntrain: ./images/train\nval: ./images/train\nnames: [disc]\n")
yolo_case("yolo_pixels", lambda i: "0 75.0 62.5 70 65")
yolo_case(
    "yolo_pose17x3",
    lambda i: box_line(i) + " 0.5 0.5 2" * 17,
    "train: images/train\nkpt_shape: [17, 3]\nnames: [disc]\n",
)
yolo_case(
    "yolo_pose4x3",
    lambda i: box_line(i) + " 0.46875 0.29167 2" * 4,
    "train: images/train\nkpt_shape: [4, 3]\nnames: [disc]\n",
)
yolo_case("yolo_seg_conf", lambda i: outline_line(i) + " 0.9")


@case("exif_yolo_raw")
def _exif_yolo(root: Path) -> None:
    yolo(root, box_line)
    for stem in STEMS:
        (root / f"images/train/{stem}.jpg").unlink()
    _turned(root, "images/train")


@case("yolo_labelstudio")
def _yolo_labelstudio(root: Path) -> None:
    yolo(root, yaml="", images="images", labels="labels")
    (root / "classes.txt").write_text("disc\n")
    (root / "notes.json").write_text('{"categories": [{"id": 0, "name": "disc"}], "info": {}}')


@case("yolo_roboflow")
def _yolo_roboflow(root: Path) -> None:
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 1\nnames: ['disc']\n"
    yolo(root, yaml=yaml, images="train/images", labels="train/labels")
    yolo(root, yaml="", images="valid/images", labels="valid/labels")


@case("yolo_txt_abs")
def _yolo_list(root: Path) -> None:
    yolo(root, yaml="train: train.txt\nval: train.txt\nnames: [disc]\n")
    (root / "train.txt").write_text("".join(f"/data/set/images/train/{stem}.jpg\n" for stem in STEMS))


@case("yolo_txt_darknet")
def _darknet(root: Path) -> None:
    yolo(root, box_line, "", images="obj_train_data", labels="obj_train_data")
    (root / "obj.data").write_text("classes = 1\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    (root / "obj.names").write_text("disc\n")
    (root / "train.txt").write_text("".join(f"data/obj_train_data/{stem}.jpg\n" for stem in STEMS))


# Cut-outs and backgrounds


def cut(path: Path, number: int = 0, mode: str = "RGBA", *, opaque: bool = False, **options: Any) -> None:
    """An object cut out by its alpha channel, or on one colour without."""
    alpha = np.zeros((80, 100), dtype=np.uint8)
    alpha[10 + number : 66, 16:84] = 255
    pixels = np.zeros((80, 100, 4), dtype=np.uint8)
    if opaque:
        pixels[:] = 255
    pixels[alpha > 0] = (*COLOUR, 255)
    pixels[20:40, 20 + 9 * number : 60] = (20, 90 + 60 * number, 200, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **options)


def cuts(root: Path, folder: str = "cup", suffix: str = ".png", mode: str = "RGBA", **options: Any) -> Path:
    for i in range(3):
        cut(root / "cuts" / folder / f"a{i}{suffix}", i, mode, **options)
    return root / "cuts"


def with_masks(root: Path, image: str, mask: str, size: tuple[int, int] = SIZE) -> Path:
    for i in range(3):
        photograph(root / "cuts/cup" / image.format(i), i)
        file = root / "cuts/cup" / mask.format(i)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(inside(i).astype(np.uint8) * 255).resize(size).save(file)
    return root / "cuts"


case("cut_flat")(lambda root: cuts(root, "."))
case("cut_images_masks")(lambda root: with_masks(root, "images/a{}.jpg", "masks/a{}.png"))
case("cut_la")(lambda root: cuts(root, mode="LA"))
case("cut_mask_other_size")(lambda root: with_masks(root, "a{}.jpg", "a{}_mask.png", (320, 240)))
case("cut_opaque")(lambda root: cuts(root, opaque=True))
case("cut_rgb")(lambda root: cuts(root, mode="RGB"))
case("cut_sam")(lambda root: with_masks(root, "a{}.jpg", "a{}_mask.png"))
case("cut_webp")(lambda root: cuts(root, suffix=".webp", lossless=True))
case("with space, ünï #1")(lambda root: with_masks(root, "a{}.jpg", "a{}_mask.png"))


@case("cut_cocosynth")
def _cocosynth(root: Path) -> Path:
    cuts(root, "food/cup")
    return cuts(root, "food/plate")


@case("cut_empty_class")
def _empty_class(root: Path) -> Path:
    (root / "cuts/plate").mkdir(parents=True)
    return cuts(root)


def tight(root: Path, folder: str) -> Path:
    for i in range(3):
        (root / "cuts" / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (60 + i, 90), (*COLOUR, 255)).save(root / "cuts" / folder / f"a{i}.png")
    return root / "cuts"


case("cut_tight")(lambda root: tight(root, "cup"))


@case("cut_tight_disc")
def _tight_disc(root: Path) -> Path:
    photographs(root)
    coco(root, each(segmentation=[]))
    return tight(root, "disc")


@case("cut_tiny_border")
def _tiny(root: Path) -> Path:
    pixels = np.zeros((2000, 2000, 4), dtype=np.uint8)
    pixels[970:1030, 960:1040] = (*COLOUR, 255)
    (root / "cuts/cup").mkdir(parents=True)
    Image.fromarray(pixels).save(root / "cuts/cup/a0.png")
    return root / "cuts"


@case("bg_kinds")
def _backgrounds(root: Path) -> Path:
    """A picture of every kind that people have."""
    folder = root / "bg"
    photograph(folder / "plain.png", 1)
    plain = Image.open(folder / "plain.png")
    deep = np.array(plain.convert("L")).astype(np.uint16) * 256
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(deep).save(folder / "grey16.png")
    for mode in ("1", "P", "LA"):
        plain.convert(mode).save(folder / f"{mode}.png")
    plain.save(folder / "g.gif")
    plain.save(folder / "t.tif")
    plain.save(folder / "exif6.jpg", exif=exif)
    plain.save(folder / "x.jfif", format="JPEG")
    plain.save(folder / "lie.png", format="JPEG")
    plain.resize((8, 8)).save(folder / "tiny.png")
    plain.resize((800, 200)).save(folder / "pano.jpg")
    Image.fromarray(np.array(plain.convert("L")).astype(np.float32) * 3).save(folder / "float.tif")
    (folder / "y.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    return folder
