"""What placements render to changes only where CHANGELOG says so: committed ones, drawn again, against committed pixels and hashes.

The placements of `goldens/placements` were written by commit 98f7ad4, in the formats of that time. On a CPU type whose hashes
are stored every file is equal; on any other CPU pixels are within 1/255. `python tests/test_golden_placements.py` adds
the hashes of the machine at hand.
"""

import hashlib
import json
import platform
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from terse.compositing.render import Renderer
from terse.generate import render
from terse.pool import Pool
from terse.poses import build_poses
from terse.recipe import load_recipe
from terse.sources.banks import PhotoBackgrounds
from terse.sources.photo_foregrounds import PhotoForegrounds

GOLDENS = Path(__file__).parent / "goldens" / "placements"
HASHES = GOLDENS / "sha256.json"
FORMATS = {"coco": "png", "voc": "jpeg", "yolo": "webp", "webdataset": "png"}
_NAMES_PATHS_AND_VERSIONS = ("manifest.json", "placements.parquet")


def cpu_type():
    """What decides how floats are rounded: the vendor and the widest instructions that torch uses."""
    vendor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        vendor = next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), vendor)
    return f"{vendor} {torch.backends.cpu.get_cpu_capability()}"


def placed(name, folder):
    """A committed file with the folder of its sources written in."""
    made = folder / name
    made.parent.mkdir(parents=True, exist_ok=True)
    sources = (GOLDENS / "sources").as_posix()
    if name.endswith(".yaml"):
        made.write_text((GOLDENS / name).read_text("utf-8").replace("SOURCES", sources), "utf-8")
        return made
    table = pq.read_table(GOLDENS / name)
    metadata = {k: v.replace(b"SOURCES", sources.encode()) for k, v in (table.schema.metadata or {}).items()}
    pq.write_table(table.replace_schema_metadata(metadata or None), made)
    return made


def rendered(kind, folder):
    """The placements in one format: hashes of all its files but those that hold paths."""
    render(placed("placements.parquet", folder / "in"), folder / kind, workers=0, format=kind, image=FORMATS[kind])
    files = [p for p in sorted((folder / kind).rglob("*")) if p.is_file() and p.name not in _NAMES_PATHS_AND_VERSIONS]
    return {p.relative_to(folder / kind).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def pool_images(folder):
    """What the shard of a pool renders to in training, as NHWC floats."""
    recipe = load_recipe(placed("run/recipe.yaml", folder))
    side = recipe.canvas_px
    foregrounds = PhotoForegrounds(recipe.foregrounds.build(), patch_px=side)
    backgrounds = PhotoBackgrounds(recipe.backgrounds.build(), foregrounds.classes, canvas_px=side)
    poses = build_poses(recipe.poses)
    pool = Pool(placed("run/pool/cycle-0001.parquet", folder).parent, foregrounds, backgrounds, poses)
    pool.load(1)
    images = Renderer(foregrounds, backgrounds, poses, recipe.edges)(pool.placements).images
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def strip(name):
    """Committed pixels, RGB, one image above the other."""
    return cv2.imread(str(GOLDENS / name), cv2.IMREAD_COLOR_RGB)


def known_hashes():
    """Those of this CPU type, for these versions of the libraries that encode images."""
    found = json.loads(HASHES.read_text("utf-8")).get(cpu_type())
    return found["sha256"] if found and found["opencv"] == cv2.__version__ else {}


@pytest.mark.parametrize("kind", FORMATS)
def test_committed_placements_render_to_the_same_set(kind, tmp_path):
    made = rendered(kind, tmp_path)
    assert len(made) > 1
    known = known_hashes()
    if known:
        assert made == known[kind]


def test_committed_placements_render_to_the_same_pixels(tmp_path):
    rendered("coco", tmp_path)
    files = sorted((tmp_path / "coco" / "images").iterdir())
    images = np.concatenate([cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files])
    expected = strip("set.png")
    assert images.shape == expected.shape
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_a_committed_pool_renders_to_the_same_pixels(tmp_path):
    images = pool_images(tmp_path)
    expected = strip("pool.png").reshape(images.shape)
    assert np.abs(images * 255 - expected).max() <= 1.5  # half a step of rounding in the file
    known = known_hashes()
    if known:
        assert hashlib.sha256(images.tobytes()).hexdigest() == known["pool"]


def test_a_committed_pool_is_rendered_as_a_set(tmp_path):
    placed("run/recipe.yaml", tmp_path)
    shard = placed("run/pool/cycle-0001.parquet", tmp_path)
    render(shard, tmp_path / "set", workers=0, image="png")
    files = sorted((tmp_path / "set" / "images").iterdir())
    images = np.concatenate([cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files])
    expected = strip("pool.png")
    assert images.shape == expected.shape
    # Drawn of the photographs' own cut-outs, and there of patches as large as the canvas: rims differ.
    differences = np.abs(images.astype(int) - expected)
    assert np.quantile(differences, 0.9) <= 4
    assert differences.mean() < 2


def add_hashes(folder):
    """Store what this machine renders beside the other machines' hashes."""
    hashes = {kind: rendered(kind, folder) for kind in FORMATS}
    hashes["pool"] = hashlib.sha256(pool_images(folder).tobytes()).hexdigest()
    stored = json.loads(HASHES.read_text("utf-8")) if HASHES.is_file() else {}
    stored[cpu_type()] = {"opencv": cv2.__version__, "sha256": hashes}
    HASHES.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        add_hashes(Path(temporary))
