"""An arm without a network makes a set and its page without torch and pandas, in this process and in workers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from terse.placements_table import read_table
from terse.poses import AffinePoses, PoseFamily

WITHOUT = """
import sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "pandas"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Refuses())
"""
GENERATE = "from terse.cli.main import main; sys.exit(main(sys.argv[1:]))"


def generate(world: Path, out: Path, *settings: str) -> str:
    fore, back = world / "fore", world / "back"
    sources = [f"foregrounds.coco={fore / 'set.json'}", f"foregrounds.images={fore / 'images'}"]
    sources += [f"backgrounds.images={back / 'images'}"]
    code = [sys.executable, "-c", WITHOUT + GENERATE, "generate", "paste", *sources, *settings]
    done = subprocess.run([*code, "--count", "4", "--out", str(out)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("settings", [(), ("synthesis.kind=cut_paste_learn", "poses.min_visible=0.3")])
def test_a_set_of_an_arm_without_a_network_needs_no_torch(
    world: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    printed = generate(world, tmp_path / "set", *settings, "--workers", "0", "--objects", "1..3")
    assert printed.startswith("4 images")
    assert (tmp_path / "set" / "report.html").is_file()


def test_workers_begin_without_torch(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of these names that refuse stand in the workers' way: their interpreter is another one."""
    for name in ("torch", "pandas"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text(f"raise AssertionError('{name} was imported')", "utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}:{':'.join(sys.path)}")
    assert generate(world, tmp_path / "set", "--workers", "1", "--no-page").startswith("4 images")


def said(code: str) -> tuple[str, str]:
    """What an interpreter of its own prints, and its errors."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_arrow_without_pandas_still_makes_data_frames() -> None:
    pytest.importorskip("pandas")
    code = (
        "import sys; from terse.process import arrow_without_pandas; arrow_without_pandas(); import pyarrow as pa;"
        "table = pa.table({'a': pa.array(['x'])}); assert 'pandas' not in sys.modules;"
        "print(table.to_pandas().to_dict('list'))"
    )
    assert said(code) == ("{'a': ['x']}\n", "")


def test_pandas_that_is_imported_later_is_known_to_arrow() -> None:
    pytest.importorskip("pandas")
    code = (
        "import sys; from terse.process import arrow_without_pandas; arrow_without_pandas(); arrow_without_pandas();"
        "from importlib.util import find_spec; assert find_spec('pandas'); import pandas as pd; import pyarrow as pa;"
        "print(pa.array(pd.Series([1.0, float('nan')])).null_count)"
    )
    assert said(code) == ("1\n", "")


def test_a_set_says_how_its_angles_are_drawn_and_older_ones_keep_their_pixels(world: Path, tmp_path: Path) -> None:
    generate(world, tmp_path / "set", "--workers", "0", "--no-page")
    assert read_table(tmp_path / "set" / "placements.parquet")[1]["angles"] == "float64"


def test_poses_without_torch_are_those_of_torch() -> None:
    random = np.random.default_rng(0)
    for stretch in (None, (0.8, 1.25)):
        poses = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.1, 1.2), stretch=stretch, min_visible=0.3)
        pose = np.round(poses.from_unit(random.random((64, 6))), 5)
        hull = random.uniform(-1, 1, (64, 32, 2)).astype(np.float32)
        sizes = [(480, 640), (300, 300)] * 32
        ours, torchs = poses.raster(pose, hull, sizes), PoseFamily.raster(poses, pose, hull, sizes)
        for one, other in zip(ours, torchs, strict=True):
            np.testing.assert_allclose(one.where, other.where, rtol=1e-5, atol=1e-6)
        canvas = np.array(sizes)[:, ::-1]
        found = poses.boxes(pose, hull.astype(np.float64), canvas)
        np.testing.assert_allclose(found, PoseFamily.boxes(poses, pose, hull.astype(np.float64), canvas), atol=1e-9)
