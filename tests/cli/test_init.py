"""`terse init`: what it writes trains, and what it cannot use is one sentence."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from commands import run
from drawn_photographs import disc
from terse.init.target import others_that_fit
from terse.recipe import load_recipe


@pytest.fixture
def data(drawn, monkeypatch):
    """A COCO file with masks, one without, backgrounds, and the working directory beside them."""
    drawn.coco(count=8, category=[{"id": 1, "name": "ball"}, {"id": 18, "name": "dog"}])
    drawn.coco("bare", count=2, masks=False)
    crowds = json.loads((drawn.root / "bare.json").read_text())
    for note in crowds["annotations"]:
        x, y, width, height = note["bbox"]
        note["segmentation"] = [[x, y, x + width, y, x + width, y + height]]
        note["iscrowd"] = 1
    (drawn.root / "crowds.json").write_text(json.dumps(crowds))
    drawn.backgrounds()
    monkeypatch.chdir(drawn.root)
    return drawn.root


COCO = ("init", "--coco", "train.json", "--images", "train-images", "--backgrounds", "backgrounds")


def test_a_full_disk_leaves_no_recipe(data, capsys, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, out, err = run(capsys, *COCO)
    assert (code, out) == (2, "")
    assert err == "terse: recipe.yaml: expected room to write it, got: No space left on device\n"
    assert not list(data.glob("recipe.yaml*"))


def test_the_recipe_trains(data, capsys):
    code, out, err = run(capsys, *COCO)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "backgrounds  5 images",
        "train        8 images, 8 objects of 2 classes, 8 masks; half of the objects are smaller than 43% of their "
        "image's side",
        "classes      ball, dog",
        "machine      no GPU: the small settings",
        "target       ssdlite_mobilenet_v2 without weights: it is trained from nothing first, which takes long; give "
        "--weights, or --target ssd_small, which learns quickly",
        "also fits    lraspp_mobilenet_v3_large (every object of train has a mask: a class for each pixel)",
        "also fits    maskrcnn_mobilenet_v3_large_fpn (every object of train has a mask: boxes and masks)",
        "recipe       recipe.yaml",
        "now type",
        "  terse check recipe.yaml",
        "  terse preview recipe.yaml",
        "  terse train recipe.yaml",
    ]
    recipe = load_recipe("recipe.yaml")
    assert recipe.target.kind == "ssdlite_mobilenet_v2"
    assert recipe.foregrounds.classes == ("ball", "dog")
    small = (
        "canvas_px=128", "target.image_size_px=128", "pretrain.steps=1", "pretrain.batch_size=2", "fine_tune.steps=1",
        "fine_tune.batch_size=2", "pool={per_cycle: 2, candidates: 4}", "cycles=1", "hardness.below=1",
    )  # fmt: skip
    code, _, err = run(capsys, "train", "recipe.yaml", *small, "--out", "run")
    assert code == 0, err
    assert (data / "run/target.pth").is_file()


@pytest.fixture
def classified(data):
    """Photographs and cut-outs in a folder for each class, beside the rest."""
    for name in ("ball", "box"):
        for number in range(6):
            tone = 40 * number
            for folder, mode in (("photographs", "RGB"), ("pasted", "RGBA")):
                (data / folder / name).mkdir(parents=True, exist_ok=True)
                image = Image.new(mode, (60, 60), (200 - tone,) * 3 if mode == "RGB" else (0, 0, 0, 0))
                if mode == "RGB":
                    image.paste((90, 120, 60), (0, 40, 60, 60))
                image.paste(
                    (tone, 90, 200) + ((255,) if mode == "RGBA" else ()), (10, 10, 50, 50 if name == "box" else 30)
                )
                image.save(data / folder / name / f"{number}.png")
    return data


CLASSIFIED = ("init", "--data", "photographs", "--cutouts", "pasted", "--backgrounds", "backgrounds")


def test_photographs_in_folders_of_classes_are_for_a_classifier(classified, capsys):
    code, out, err = run(capsys, *CLASSIFIED)
    assert (code, err) == (0, "")
    assert "target       resnet18 without weights" in out
    assert "also fits" not in out
    recipe = load_recipe("recipe.yaml")
    assert (recipe.task, recipe.target.kind, recipe.target.model) == (
        "classification",
        "torchvision_classifier",
        "resnet18",
    )
    assert recipe.train.class_folders.name == "photographs"
    assert run(capsys, "check", "recipe.yaml")[0] == 0


@pytest.mark.slow
def test_the_recipe_of_a_classifier_trains(classified, capsys):
    code, _, err = run(capsys, *CLASSIFIED, "--target", "mobilenet_v3_small")
    assert code == 0, err
    small = (
        "canvas_px=64", "pretrain.steps=1", "pretrain.batch_size=2", "fine_tune.steps=1", "fine_tune.batch_size=2",
        "pool={per_cycle: 2, candidates: 4}", "cycles=1",
    )  # fmt: skip
    code, _, err = run(capsys, "train", "recipe.yaml", *small, "--out", "run")
    assert code == 0, err


def test_a_classifier_that_torchvision_does_not_have(classified, capsys):
    code, out, err = run(capsys, *CLASSIFIED, "--target", "resnet19")
    assert (code, out) == (2, "")
    assert err.startswith("terse: --target: expected a classifier of torchvision, got 'resnet19'")


def test_paths_start_at_the_recipe_and_absolute_ones_stay(data, capsys):
    (data / "mine").mkdir()
    behind = data / "backgrounds"
    code, _, _ = run(capsys, *COCO[:-1], behind, "--out", "mine/a.yaml", "--classes", "dog")
    assert code == 0
    text = (data / "mine/a.yaml").read_text()
    assert 'foregrounds: {coco: "../train.json", images: "../train-images", classes: [dog]}' in text
    assert f'backgrounds: {{images: "{behind}"}}' in text
    recipe = load_recipe("mine/a.yaml")
    assert recipe.train.coco == data / "train.json"
    assert recipe.val == 0.2


def test_nothing_is_overwritten(data, capsys):
    (data / "recipe.yaml").write_text("mine")
    code, out, err = run(capsys, *COCO)
    assert (code, out) == (2, "")
    assert err == "terse: --out: expected a new file, got recipe.yaml, which exists; name another or remove it\n"
    assert (data / "recipe.yaml").read_text() == "mine"


def test_a_gpu_gets_the_papers_detector(data, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    code, out, _ = run(capsys, *COCO, "--json")
    assert code == 0
    result = json.loads(out)
    assert (result["gpu"], result["target"]["kind"]) == ("a GPU", "ssd300_vgg16")
    recipe = load_recipe("recipe.yaml")
    assert (recipe.synthesis.kind, recipe.canvas_px, recipe.pretrain.optimizer.lr) == ("mined", 300, 0.002)


@pytest.fixture
def renumbered(data):
    """Give the categories of the COCO file other names and ids."""

    def write(*categories):
        content = json.loads((data / "train.json").read_text())
        ids = dict(zip((1, 18), (number for number, _ in categories), strict=False))
        for note in content["annotations"]:
            note["category_id"] = ids[note["category_id"]]
        content["categories"] = [{"id": number, "name": name} for number, name in categories]
        (data / "train.json").write_text(json.dumps(content))

    return write


@pytest.mark.parametrize(
    ("categories", "outputs", "labels"),
    [
        (((1, "ball"), (18, "dog")), 3, None),
        (((1, "person"), (18, "dog")), 91, {"person": 1, "dog": 18}),
        (((15, "Person"), (12, "dog")), 91, {"Person": 1, "dog": 18}),  # numbered as VOC has them
        (((1, "person"), (18, "dog")), 21, {"person": 15, "dog": 12}),
        (((2, "ball"), (1, "dog"), (7, "cat")), 8, {"ball": 2, "dog": 1}),
    ],
)
def test_a_whole_detector_needs_no_training_first(data, capsys, renumbered, categories, outputs, labels):
    from terse.targets.detector.networks import NETWORKS

    renumbered(*categories)
    torch.save(NETWORKS["ssdlite_mobilenet_v2"].build(outputs, 320, {}).state_dict(), "whole.pth")
    code, out, err = run(capsys, *COCO, "--weights", "whole.pth")
    assert code == 0, err
    assert "ssdlite_mobilenet_v2, whose weights file holds a whole detector: it is improved as it is" in out
    recipe = load_recipe("recipe.yaml")
    assert recipe.pretrain is None
    assert recipe.target.weights == data / "whole.pth"
    assert recipe.target.labels == labels


@pytest.mark.parametrize("outputs", [91, 30])
def test_numbers_of_a_file_alone_are_no_labels(data, capsys, outputs):
    from terse.targets.detector.networks import NETWORKS

    torch.save(NETWORKS["ssdlite_mobilenet_v2"].build(outputs, 320, {}).state_dict(), "whole.pth")
    code, _, err = run(capsys, *COCO, "--weights", "whole.pth")
    assert code == 2
    assert err == (
        "terse: --weights: expected a detector whose outputs are known (COCO's 91 or VOC's 21 by the classes' names, or the "
        f"data's own numbers up to the last), got one of {outputs} outputs that does not tell which are "
        f"{'ball' if outputs == 91 else 'ball, dog'}; leave --weights out, and write target.weights and target.labels into the "
        "recipe by hand\n"
    )


def test_masks_and_keypoints_of_train_propose_other_targets_and_a_named_one_gets_its_task(data, capsys):
    assert others_that_fit("detection", 7, 9, 0) == {}
    assert list(others_that_fit("detection", 9, 9, 0)) == [
        "lraspp_mobilenet_v3_large",
        "maskrcnn_mobilenet_v3_large_fpn",
    ]
    assert list(others_that_fit("segmentation", 9, 9, 17)) == ["maskrcnn_mobilenet_v3_large_fpn", "regressor"]
    status, out, _ = run(capsys, *COCO, "--target", "lraspp_mobilenet_v3_large", "--json")
    assert status == 0
    assert "maskrcnn_mobilenet_v3_large_fpn" in json.loads(out)["others"]
    recipe = load_recipe(data / "recipe.yaml")
    assert (recipe.task, recipe.target.kind) == ("segmentation", "lraspp_mobilenet_v3_large")


def test_cut_outs_are_pasted_and_photographs_are_trained_on(data, capsys):
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[2:38, 2:38] = 255
    (data / "cut/dog").mkdir(parents=True)
    Image.fromarray(rgba).save(data / "cut/dog/a.png")
    code, out, _ = run(capsys, *COCO, "--cutouts", "cut")
    assert code == 0
    assert out.startswith("foregrounds  1 image, 1 object of 1 class, 1 mask;")
    recipe = load_recipe("recipe.yaml")
    assert (recipe.foregrounds.kind, recipe.foregrounds.classes, recipe.train.kind) == ("cutouts", ("dog",), "coco")


def test_yolo_brings_its_own_val(data, capsys):
    for split in ("train", "val"):
        for folder in ("images", "labels"):
            (data / "yolo" / folder / split).mkdir(parents=True)
        for i in range(3):
            Image.open(data / f"train-images/train-0{i}.png").save(data / f"yolo/images/{split}/{i}.png")
            (data / f"yolo/labels/{split}/{i}.txt").write_text("0 0.2 0.2 0.8 0.2 0.8 0.8 0.2 0.8\n")
    (data / "yolo/data.yaml").write_text("names: [ball]\ntrain: images/train\nval: images/val\n")
    code, _, err = run(capsys, "init", "--yolo", "yolo", "--backgrounds", "backgrounds")
    assert code == 0, err
    recipe = load_recipe("recipe.yaml")
    assert (recipe.train.split, recipe.val.split, recipe.foregrounds.classes) == ("train", "val", ("ball",))


def test_annotated_backgrounds_leave_out_what_holds_the_classes(data, drawn, capsys):
    drawn.coco("images", seed=300, category=[{"id": 1, "name": "ball"}, {"id": 2, "name": "tree"}])
    (data / "images-images").rename(data / "images")
    code, _, err = run(capsys, *COCO[:-1], "images.json")
    assert code == 0, err
    recipe = load_recipe("recipe.yaml")
    assert recipe.backgrounds.without == ("ball",)
    assert len(recipe.backgrounds.build()) == 3


class Code:
    """What a weights file must not run."""

    def __reduce__(self):
        return (exec, ("raise SystemExit(99)",))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--coco", "bare.json", "--images", "bare-images"],
         "bare.json: expected objects with masks to cut out, got 2 objects without any; "
         "make masks of the boxes by `terse masks bare.json --images bare-images --out masks.json` and give these by --coco, "
         "use annotations with polygons, run lengths or mask files, or give cut-outs by --cutouts D"),
        (["--data", "bare-images"],
         "bare-images: expected annotated photographs, got 2 images without any object; name the file of annotations, or the "
         "folder that holds it"),
        (["--coco", "crowds.json", "--images", "bare-images"],
         "crowds.json: expected single objects with masks to cut out, got 2 masks of crowds or of objects to ignore; "
         "annotate single objects, or give cut-outs by --cutouts D"),
        (["--coco", "trian.json"],
         "--coco: expected a file or folder, got nothing at trian.json; did you mean 'train.json'?"),
        (["--yolo", "none/data.yaml"],
         "--yolo: expected a file or folder, got nothing at none/data.yaml; relative paths start where the command is typed"),
        ([*COCO[1:3], "--images", "train-image"],
         "--images: expected a file or folder, got nothing at train-image; did you mean 'train-images'?"),
        ([*COCO[1:5], "--cutouts", "cut"],
         "--cutouts: expected a file or folder, got nothing at cut; relative paths start where the command is typed"),
        ([], "--data: expected annotated photographs by --data, --coco, --voc or --yolo, got none; add one"),
        (["--cutouts", "cut"],
         "--data: expected annotated photographs by --data, --coco, --voc or --yolo beside --cutouts, because cut-outs alone "
         "show no scene to learn from, got none; add one"),
        (["--coco", "a.json", "--voc", "b"],
         "--voc: expected one of --data, --coco, --voc and --yolo, got --coco and --voc; name one"),
        (["--voc", "b", "--images", "c"],
         "--images: expected it beside --data or --coco, got it without; VOC and YOLO data name their images"),
        ([*COCO[1:5], "--classes", "bal"],
         "--classes: expected classes of train.json, got 'bal'; did you mean 'ball'?"),
        ([*COCO[1:5], "--target", "ssdlite"],
         "--target: expected one of fasterrcnn_mobilenet_v3_large_320_fpn, fasterrcnn_resnet50_fpn, fcos_resnet50_fpn, "
         "maskrcnn_mobilenet_v3_large_fpn, maskrcnn_resnet50_fpn, retinanet_resnet50_fpn, ssd300_vgg16, ssd_small, "
         "ssdlite320_mobilenet_v3_large, ssdlite_mobilenet_v2, deeplabv3_mobilenet_v3_large, deeplabv3_resnet50, "
         "fcn_resnet50, lraspp_mobilenet_v3_large, got 'ssdlite'; "
         "did you mean 'ssdlite_mobilenet_v2'?"),
        ([*COCO[1:5], "--weights", "no/none.pth"],
         "--weights: expected a file or folder, got nothing at no/none.pth; relative paths start where the command is typed"),
        ([*COCO[1:5], "--weights", "other.pth"],
         "--weights: expected the whole detector or its backbone, got other.pth without '0.0.weight'; "
         "its names begin with 'x'"),
        ([*COCO[1:5], "--out", "no/such/recipe.yaml"],
         "--out: expected a file in a folder that exists, got no/such/recipe.yaml; make the folder first"),
        ([*COCO[1:5], "--out", "recipe.txt"],
         "--out: expected a .yaml file, got recipe.txt; other commands know a recipe by it"),
        (["--data", "https://a.b/c.json"],
         "https://a.b/c.json: expected data on this machine, got a URL; copy them here, or name it in a recipe"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(data, capsys, arguments, message):
    torch.save({"x": torch.zeros(1)}, "other.pth")
    code, out, err = run(capsys, "init", "--backgrounds", "backgrounds", *arguments)
    assert (code, out, err) == (2, "", f"terse: {message.format(root=data)}\n")
    assert not (data / "recipe.yaml").exists()


def test_backgrounds_that_are_not_there_are_called_by_their_option(data, capsys):
    code, out, err = run(capsys, *COCO[:-1], "background")
    assert (code, out) == (2, "")
    assert (
        err
        == "terse: --backgrounds: expected a file or folder, got nothing at background; did you mean 'backgrounds'?\n"
    )


def test_a_class_that_is_typed_twice_is_one(data, capsys):
    code, _, err = run(capsys, *COCO, "--classes", "ball", "ball")
    assert code == 0, err
    assert load_recipe("recipe.yaml").foregrounds.classes == ("ball",)


def test_a_weights_file_runs_no_code(data, capsys):
    torch.save({"x": Code()}, "evil.pth")
    code, _, err = run(capsys, *COCO, "--weights", "evil.pth")
    assert code == 2
    assert err.startswith("terse: evil.pth: expected weights as tensors only, got a file that cannot be read so (")


def test_classes_that_the_photographs_lack_are_refused(data, capsys):
    rgba = np.full((40, 40, 4), 255, np.uint8)
    (data / "cut/cat").mkdir(parents=True)
    Image.fromarray(rgba).save(data / "cut/cat/a.png")
    code, _, err = run(capsys, *COCO, "--cutouts", "cut")
    assert (code, err) == (
        2, "terse: train: expected real images with a class that is pasted, got none; they have ball, dog\n"
    )  # fmt: skip


def outlined(folder, *, val):
    """A YOLO set of one split, that `val` names too or not at all."""
    for part in ("images", "labels"):
        (folder / part / "train").mkdir(parents=True)
    for i in range(6):
        Image.open(folder.parent / f"train-images/train-0{i}.png").save(folder / f"images/train/{i}.png")
        (folder / f"labels/train/{i}.txt").write_text("0 0.2 0.2 0.8 0.2 0.8 0.8 0.2 0.8\n")
    (folder / "data.yaml").write_text(f"names: [ball]\ntrain: images/train\nval: {val}\n")


@pytest.mark.parametrize("val", ["images/train", "null"])
def test_a_yolo_set_whose_val_is_its_train_is_split_by_the_recipe(data, capsys, val):
    outlined(data / "yolo", val=val)
    code, _, err = run(capsys, "init", "--yolo", "yolo", "--backgrounds", "backgrounds")
    assert code == 0, err
    assert load_recipe("recipe.yaml").val == 0.2
    code, out, _ = run(capsys, "check", "recipe.yaml")
    assert code == 0, out


def test_the_recipe_names_classes_that_survive_and_init_says_what_took_the_others(drawn, data, capsys):
    def change(found):
        for item in found["annotations"][1::2]:
            item.update(bbox=[20, 20, 12, 12], segmentation=[[20, 20, 32, 20, 32, 32, 20, 32]])

    drawn.coco("dots", count=12, category=[{"id": 1, "name": "ball"}, {"id": 2, "name": "dot"}], change=change)
    dots = ("init", "--coco", "dots.json", "--images", "dots-images", "--backgrounds", "backgrounds")
    code, out, err = run(capsys, *dots)
    assert code == 0, err
    assert "classes      ball" in out.splitlines()
    (line,) = [line for line in out.splitlines() if line.startswith("not pasted")]
    assert line.startswith("not pasted   dot: ")
    assert " too small" in line
    recipe = load_recipe("recipe.yaml")
    assert recipe.foregrounds.classes == ("ball",)
    code, out, _ = run(capsys, "check", "recipe.yaml")
    assert code == 0, out
    code, _, err = run(capsys, *dots, "--classes", "dot", "--out", "other.yaml")
    assert code == 2
    assert err.startswith(
        "terse: --classes: expected classes of which something is left to paste in dots.json, got 'dot' ("
    )


def test_boxes_that_contradict_their_masks_are_refused_with_what_looks_wrong(drawn, data, capsys):
    def corners(found):
        for item in found["annotations"]:
            x, y, width, height = item["bbox"]
            item["bbox"] = [x, y, x + width, y + height]

    drawn.coco("corners", count=6, change=corners)
    code, _, err = run(
        capsys, "init", "--coco", "corners.json", "--images", "corners-images", "--backgrounds", "backgrounds"
    )
    assert code == 2
    assert err == (
        "terse: corners.json: expected masks that a run can paste, got 6 of which none is left (5 whose mask and box disagree, "
        "1 on images of val or test); the boxes look like two corners x0 y0 x1 y1, where x y width height is expected: correct "
        "the boxes\n"
    )


def test_the_recipe_pastes_objects_as_large_as_they_are(data, capsys):
    code, _, err = run(capsys, *COCO)
    assert code == 0, err
    low, high = load_recipe("recipe.yaml").poses.scale
    assert (low, high) == (0.45, 0.55)  # discs of 60 px in images of 160x120, give or take a tenth


def test_classes_of_other_sizes_have_ranges_of_their_own_and_are_pasted_so(drawn, data, capsys):
    def larger_dogs(found):
        for note in found["annotations"]:
            if note["category_id"] == 18:
                polygons, note["bbox"] = disc((80, 60), 54)
                note["segmentation"] = polygons

    categories = [{"id": 1, "name": "ball"}, {"id": 18, "name": "dog"}]
    drawn.coco("sizes", count=12, category=categories, change=larger_dogs)
    code, _, err = run(
        capsys, "init", "--coco", "sizes.json", "--images", "sizes-images", "--backgrounds", "backgrounds"
    )
    assert code == 0, err
    scales = load_recipe("recipe.yaml").poses.scale
    assert scales == {"ball": (0.45, 0.55), "dog": (0.82, 0.99)}
    given = ("recipe.yaml", "poses.rotation_deg=[0, 0]", "poses.shear=[0, 0]", "--count", "10", "--workers", "0")
    for arm in ("synthesis.kind=random", "synthesis.kind=cut_paste_learn"):
        out = data / arm[15:]
        code, _, err = run(capsys, "generate", *given, arm, "--out", out)
        assert code == 0, err
        found = json.loads((out / "annotations.json").read_text())
        names = {one["id"]: one["name"] for one in found["categories"]}
        sides = {"ball": [], "dog": []}
        for note in found["annotations"]:
            sides[names[note["category_id"]]].append(max(note["bbox"][2:]))
        assert len(sides["dog"]) >= 3
        assert max(sides["ball"]) < 0.8 * min(sides["dog"])
    code, _, err = run(capsys, "preview", "recipe.yaml", "poses.scale={ball: [0.4, 0.5], cat: [0.1, 0.2]}")
    assert (code, err) == (
        2,
        "terse: poses.scale: expected classes of the foregrounds, got 'cat'; known are ball, dog\n",
    )


def test_a_mistake_of_set_up_leaves_no_folder_that_blocks_the_next_try(data, drawn, capsys):
    drawn.recipe("val: 0.3\ntarget: {kind: ssdlite_mobilenet_v2, image_size_px: 64, weights: gone.pth}\n", target="")
    for _ in range(2):
        code, _, err = run(capsys, "train", "recipe.yaml", "--out", "run")
        assert (code, err.splitlines()[-1]) == (2, f"terse: {data / 'gone.pth'}: expected a file of weights, got none")
        assert not (data / "run").exists()
        code, _, err = run(capsys, "prove", "recipe.yaml", "--out", "proof", "--seeds", "1", "--workers", "1")
        assert (code, err.splitlines()[-1]) == (2, f"terse: {data / 'gone.pth'}: expected a file of weights, got none")
        assert not (data / "proof").exists()


def test_names_that_yaml_reads_otherwise_survive_even_where_val_takes_a_class(drawn, data, capsys):
    names = ["no", "yes", "1", "a: b", "null", "on", "x/y", "#h"]
    drawn.coco("words", count=len(names), category=[{"id": i, "name": name} for i, name in enumerate(names)])
    words = ("init", "--coco", "words.json", "--images", "words-images", "--backgrounds", "backgrounds")
    code, _, err = run(capsys, *words)
    assert code == 0, err
    recipe = load_recipe("recipe.yaml")
    assert set(recipe.classes) == set(names)
    assert set(recipe.foregrounds.classes) < set(names)
    code, out, _ = run(capsys, "check", "recipe.yaml")
    assert code == 0, out
    code, _, err = run(capsys, "preview", "recipe.yaml", "--count", "2")
    assert code == 0, err
