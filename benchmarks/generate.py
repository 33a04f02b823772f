"""How fast data sets are made: every bar of docs/generate.md, medians of interleaved rounds, peers in the same run.

    python benchmarks/generate.py [speed] [workers] [memory] [assembly] [synthesizer]

Photographs come from TERSE_DATA (coco80), resized to 640x480; without it they are drawn. Peers are installed for this
alone: albumentations. Times of one core are CPU time, so that a busy machine does not decide; wall time stands beside.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from terse.process import prepare_process

prepare_process()  # as every worker does

import cv2
import numpy as np

WIDTH, HEIGHT, CUT_PX, QUALITY = 640, 480, 200, 90
ROUNDS, PER_ROUND = 9, 128  # a shard, as a worker makes it
Row = tuple[str, list[float], list[float]]


def main(arguments: Sequence[str]) -> None:
    import torch  # not at the top: the assembly's process does without

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    chosen = arguments or ("speed", "workers", "memory", "assembly", "synthesizer")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_world(root)
        for name in chosen:
            print(f"\n## {name}")
            {
                "speed": speed,
                "workers": two_workers,
                "memory": memory,
                "assembly": assembly,
                "synthesizer": synthesizer,
            }[name](root)


def draw_world(root: Path) -> None:
    """100 backgrounds of 640x480 and 40 cut-outs of 200 px."""
    random = np.random.default_rng(0)
    (root / "back").mkdir()
    (root / "small").mkdir()
    (root / "cuts" / "thing").mkdir(parents=True)
    given = sorted(Path(os.environ.get("TERSE_DATA", "/nowhere")).glob("coco80/images/*.jpg"))[:100]
    for k in range(100):
        photo = cv2.imread(str(given[k])) if given else drawn_photo(random)
        photo = cv2.resize(photo, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "back" / f"{k:03d}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(
            str(root / "small" / f"{k:03d}.jpg"),
            cv2.resize(photo, (160, 120), interpolation=cv2.INTER_AREA),
        )
        if k < 40:
            alpha = np.zeros((CUT_PX, CUT_PX), np.uint8)
            angle = np.linspace(0, 2 * np.pi, 17)[:-1]
            radius = random.uniform(60, 98, 16)
            points = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1) + CUT_PX / 2
            cv2.fillPoly(alpha, [points.astype(np.int32)], 255, lineType=cv2.LINE_AA)
            cut = np.dstack(
                [
                    cv2.resize(photo, (CUT_PX, CUT_PX), interpolation=cv2.INTER_AREA),
                    alpha,
                ]
            )
            cv2.imwrite(str(root / "cuts" / "thing" / f"{k:03d}.png"), cut)
    print("photographs:", "TERSE_DATA/coco80" if given else "drawn")


def drawn_photo(random: np.random.Generator) -> np.ndarray:
    """Noise at several scales: JPEG finds about as much to do as in a photograph."""
    layers = [
        cv2.resize(random.normal(0, 1, (s, s, 3)), (WIDTH, HEIGHT)) * w for s, w in ((4, 40), (40, 20), (240, 10))
    ]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def recipe_of(root: Path, back: str = "back") -> Any:
    from terse.recipe import load_recipe

    return load_recipe(
        "paste",
        [
            f"foregrounds.cutouts={root / 'cuts'}",
            f"backgrounds.images={root / back}",
            # The cut-out at about its own size, wherever it fits.
            "poses.scale=[0.38, 0.46]",
            "poses.min_visible=1",
        ],
    )


# --- speed on one core ---------------------------------------------------------------------------------------------


def speed(root: Path) -> None:
    """Everything reads a JPEG file and writes one; all but the ceiling paste one object and write its COCO labels."""
    out = root / "speed"
    out.mkdir()
    files = sorted((root / "back").iterdir())
    cuts = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((root / "cuts" / "thing").iterdir())]
    rows: dict[str, Callable[[int], None]] = {"ceiling: read, decode, encode, write": ceiling(files, out)}
    rows["terse"] = by_terse(root, out)
    rows["terse, every background decoded anew"] = by_terse(root, out, keep_decoded_bytes=0)
    rows["OpenCV, full canvas"] = by_opencv(files, cuts, out)
    rows["torch, full canvas"] = by_torch(files, cuts, out, kornia=False)
    rows["kornia, full canvas"] = by_torch(files, cuts, out, kornia=True)
    if importlib.util.find_spec("albumentations"):
        rows["albumentations overlay"] = by_albumentations(files, cuts, out)
    measured: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in rows}
    for round_ in range(-1, ROUNDS):
        for name, run in rows.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run(round_ + 1)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if round_ >= 0:
                measured[name][0].append(cpu / PER_ROUND * 1e3)
                measured[name][1].append(wall / PER_ROUND * 1e3)
    base = statistics.median(measured["ceiling: read, decode, encode, write"][0])
    print("| one object, one core | CPU ms an image, median (least to most) | wall ms | of the ceiling |")
    print("| --- | --- | --- | --- |")
    for name, (cpu_ms, wall_ms) in measured.items():
        middle = statistics.median(cpu_ms)
        spread = f"{middle:.2f} ({min(cpu_ms):.2f} to {max(cpu_ms):.2f})"
        print(f"| {name} | {spread} | {statistics.median(wall_ms):.2f} | {base / middle:.2f} |")
    peers = [statistics.median(cpu) for name, (cpu, _) in measured.items() if name[:5] not in ("ceili", "terse")]
    for name in ("terse", "terse, every background decoded anew"):
        ours = statistics.median(measured[name][0])
        print(f"\n{name}\n  over the ceiling: {base / ours:.2f} (bar: 0.75)")
        print(
            f"  over the fastest peer: {min(peers) / ours:.2f}; over OpenCV on the full canvas, which does the same "
            f"work: {statistics.median(measured['OpenCV, full canvas'][0]) / ours:.2f} (bar: 2.0)"
        )


def ceiling(files: list[Path], out: Path) -> Callable[[int], None]:
    """Reading, decoding, encoding and writing alone.

    Each round has new files, here and in every row, as a set has: making one costs the system up to 0.7 ms, overwriting one
    waits for the disk (ext4).
    """

    def run(round_: int) -> None:
        for k in range(PER_ROUND):
            pixels = cv2.imread(str(files[(round_ * PER_ROUND + k) % len(files)]))
            cv2.imwrite(
                str(out / f"ceiling{round_}-{k}.jpg"),
                pixels,
                [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
            )

    return run


def by_terse(root: Path, out: Path, **kept: int) -> Callable[[int], None]:
    """One shard of 128 images a round, as a worker makes it: placements, pixels, labels, hashes.

    A set has many more images than backgrounds, so a worker keeps the decoded ones, 256 MB of them: here all 100.
    The second row is the work where they do not fit, and what the peers do.
    """
    from terse.export.coco import CocoExporter
    from terse.generate import GenerateSettings
    from terse.generate.draw import Drawing
    from terse.generate.shard import Job, Worker
    from terse.generate.trained import of_recipe
    from terse.poses import build_poses
    from terse.sources.material import Material
    from terse.sources.run_data import paste_data

    recipe = recipe_of(root)
    folder = out / f"terse{len(kept)}"
    folder.mkdir()
    data = paste_data(recipe)
    material = Material(data.foregrounds, data.backgrounds, data.classes, **kept)
    settings, origin = GenerateSettings(count=10_000, quality=QUALITY), of_recipe(recipe, data)
    drawing = Drawing(material, build_poses(recipe.poses), recipe.edges, settings)
    worker = Worker(Job(drawing, CocoExporter(), folder, 10_000, {}, origin.load, origin.limits))

    def run(round_: int) -> None:
        worker.make(shard_of(round_, 1))

    run(900)  # loads the cut-outs
    run(901)  # and the backgrounds
    return run


def shard_of(round_: int, number: int) -> Any:
    """The images of a round, with so many objects each."""
    from terse.generate.plan import SceneClasses, Shard

    classes = SceneClasses(np.arange(PER_ROUND + 1) * number, np.zeros(PER_ROUND * number, np.int32))
    return Shard(round_, round_ * PER_ROUND, round_ * PER_ROUND, classes)


def label_line(mask: np.ndarray, image: int) -> str:
    """What a COCO writer needs of a mask on the whole canvas."""
    from pycocotools import mask as coco

    runs = coco.encode(np.asfortranarray(mask))
    x, y, width, height = cv2.boundingRect(mask)
    segmentation = {"size": runs["size"], "counts": runs["counts"].decode()}
    area = int(np.count_nonzero(mask))
    return json.dumps(
        {
            "image_id": image,
            "bbox": [x, y, width, height],
            "area": area,
            "segmentation": segmentation,
        }
    )


def random_affine(random: np.random.Generator) -> np.ndarray:
    """Cut-out to canvas, pixels."""
    matrix = cv2.getRotationMatrix2D((CUT_PX / 2, CUT_PX / 2), random.uniform(-30, 30), random.uniform(0.9, 1.1))
    matrix[:, 2] += (
        random.uniform(0, WIDTH - CUT_PX),
        random.uniform(0, HEIGHT - CUT_PX),
    )
    return matrix


def by_opencv(files: list[Path], cuts: list[np.ndarray], out: Path) -> Callable[[int], None]:
    random = np.random.default_rng(1)

    def run(round_: int) -> None:
        with (out / "opencv.jsonl").open("w") as labels:
            for k in range(PER_ROUND):
                pixels = cv2.imread(str(files[(round_ * PER_ROUND + k) % len(files)]))
                matrix = random_affine(random)
                cut = cuts[int(random.integers(len(cuts)))]
                warped = cv2.warpAffine(cut, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
                alpha = cv2.GaussianBlur((warped[..., 3] > 254).astype(np.float32), (7, 7), 1)[..., None]
                mixed = pixels * (1 - alpha) + warped[..., :3] * alpha
                cv2.imwrite(
                    str(out / f"cv{round_}-{k}.jpg"),
                    mixed.astype(np.uint8),
                    [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
                )
                labels.write(label_line((alpha[..., 0] > 0.5).astype(np.uint8), k) + "\n")

    return run


def by_torch(files: list[Path], cuts: list[np.ndarray], out: Path, *, kornia: bool) -> Callable[[int], None]:
    import torch
    from torch.nn import functional

    random = np.random.default_rng(1)
    sprites = [torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255 for cut in cuts]

    def warp(sprite: Any, matrix: np.ndarray) -> Any:
        if kornia:
            import kornia.geometry.transform as geometry

            return geometry.warp_affine(sprite, torch.from_numpy(matrix)[None].float(), (HEIGHT, WIDTH))
        inverse = cv2.invertAffineTransform(matrix)
        to_unit = np.diag([2 / CUT_PX, 2 / CUT_PX]) @ inverse @ np.diag([WIDTH / 2, HEIGHT / 2, 1])
        to_unit[:, 2] += to_unit[:, :2].sum(axis=1) - 1
        grid = functional.affine_grid(
            torch.from_numpy(to_unit)[None].float(),
            [1, 4, HEIGHT, WIDTH],
            align_corners=False,
        )
        return functional.grid_sample(sprite, grid, align_corners=False)

    def blur(alpha: Any) -> Any:
        if kornia:
            import kornia.filters as filters

            return filters.gaussian_blur2d(alpha, (7, 7), (1.0, 1.0))
        kernel = torch.from_numpy(cv2.getGaussianKernel(7, 1)).float().view(1, 1, 1, 7)
        rows = functional.conv2d(alpha, kernel, padding=(0, 3))
        return functional.conv2d(rows, kernel.transpose(2, 3), padding=(3, 0))

    def run(round_: int) -> None:
        with (out / "torch.jsonl").open("w") as labels:
            for k in range(PER_ROUND):
                pixels = cv2.imread(str(files[(round_ * PER_ROUND + k) % len(files)]))
                warped = warp(sprites[int(random.integers(len(sprites)))], random_affine(random))
                alpha = blur((warped[:, 3:] > 1 - 1e-4).float())
                below = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
                mixed = (below * (1 - alpha) + warped[:, :3] * alpha).mul(255).round().byte()
                image = mixed[0].permute(1, 2, 0).contiguous().numpy()
                cv2.imwrite(
                    str(out / f"{'kornia' if kornia else 'torch'}{round_}-{k}.jpg"),
                    image,
                    [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
                )
                labels.write(label_line((alpha[0, 0] > 0.5).byte().numpy(), k) + "\n")

    return run


def by_albumentations(files: list[Path], cuts: list[np.ndarray], out: Path) -> Callable[[int], None]:
    import albumentations as library

    random = np.random.default_rng(1)
    turn = library.Compose([library.Affine(rotate=(-30, 30), scale=(0.9, 1.1), p=1.0)], seed=1)
    overlay = library.Compose([library.OverlayElements(metadata_key="overlay", p=1.0)], seed=1)

    def run(round_: int) -> None:
        with (out / "albumentations.jsonl").open("w") as labels:
            for k in range(PER_ROUND):
                pixels = cv2.imread(str(files[(round_ * PER_ROUND + k) % len(files)]))
                cut = cuts[int(random.integers(len(cuts)))]
                turned = turn(
                    image=np.ascontiguousarray(cut[..., :3]),
                    mask=(cut[..., 3] > 127).astype(np.uint8),
                )
                x, y = (
                    random.uniform(0, 1 - CUT_PX / WIDTH),
                    random.uniform(0, 1 - CUT_PX / HEIGHT),
                )
                box = (x, y, x + CUT_PX / WIDTH, y + CUT_PX / HEIGHT)
                element = {
                    "image": turned["image"],
                    "mask": turned["mask"],
                    "bbox": box,
                    "mask_id": 1,
                }
                empty = np.zeros((HEIGHT, WIDTH), np.uint8)
                done = overlay(image=pixels, mask=empty, overlay=element)
                cv2.imwrite(
                    str(out / f"alb{round_}-{k}.jpg"),
                    done["image"],
                    [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
                )
                labels.write(label_line(done["mask"], k) + "\n")

    return run


# --- workers, memory, assembly -------------------------------------------------------------------------------------


def two_workers(root: Path) -> None:
    from terse.generate import GenerateSettings, generate

    recipe = recipe_of(root)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for round_ in range(3):
        for workers in (1, 2):
            out = root / f"workers{workers}-{round_}"
            result = generate(recipe, GenerateSettings(count=4096), out, workers=workers)
            rates[workers].append(result["images_per_second"])
            subprocess.run(["rm", "-rf", str(out)], check=True)
    one, two = statistics.median(rates[1]), statistics.median(rates[2])
    print(f"one worker {one:.0f} images/s {rates[1]}, two {two:.0f} {rates[2]}; load {os.getloadavg()[0]:.1f}")
    print(f"two workers over one: {two / one:.2f} (bar: 1.8)")


def memory(root: Path) -> None:
    from terse.generate import GenerateSettings, generate

    recipe = recipe_of(root, "small")
    peaks = {}
    for count in (5_000, 50_000):
        out = root / f"memory{count}"
        with Peak() as peak:
            result = generate(recipe, GenerateSettings(count=count), out, workers=2)
        peaks[count] = peak.megabytes
        print(
            f"{count:,} composites of 160x120: peak {peak.megabytes:.0f} MB (PSS of all processes), {result['seconds']:.0f} s"
        )
        subprocess.run(["rm", "-rf", str(out)], check=True)
    print(f"peak of 50,000 over that of 5,000: {peaks[50_000] / peaks[5_000]:.3f} (bar: 1.1)")


class Peak:
    """The largest sum of the proportional set sizes of this process and its descendants."""

    def __enter__(self) -> "Peak":
        self.megabytes = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            self.megabytes = max(self.megabytes, sum(pss_mb(pid) for pid in family(os.getpid())))


def family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


def pss_mb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(text.split("Pss:")[1].split()[0]) / 1024


def assembly(root: Path) -> None:
    """In a process of its own, so that its peak is its own."""
    times = {}
    for count in (200_000, 1_000_000):
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import generate; generate.assemble({count})"
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        seconds, peak_mb, size_mb = map(float, done.stdout.split()[-3:])
        times[count] = seconds
        print(f"{count:,} annotations: {seconds:.1f} s of CPU, peak {peak_mb:.0f} MB, file {size_mb:.0f} MB")
    print(
        f"time of 1,000,000 over five times that of 200,000: {times[1_000_000] / times[200_000] / 5:.2f} (bar: linear)"
    )


def assemble(count: int) -> None:
    from terse.export.coco import CocoExporter
    from terse.export.sample import SetInfo

    with tempfile.TemporaryDirectory() as folder:
        root, per_shard = Path(folder), 1000
        runs = "ogP3c0V>>D:G8I6J6J6K4K6K4L4L4M2M4L4M2M4M" * 8
        parts = []
        for shard in range(count // per_shard):
            part = root / f"{shard:06d}"
            part.mkdir()
            parts.append(part)
            (part / "licences.txt").write_text("CC BY 4.0\n")
            images = [json.dumps({"id": shard * per_shard + k, "license": "CC BY 4.0"}) for k in range(per_shard)]
            (part / "images.jsonl").write_text("\n".join(images) + "\n")
            lines = [
                json.dumps(
                    {
                        "image_id": shard * per_shard + k,
                        "bbox": [1, 2, 3, 4],
                        "segmentation": {"counts": runs},
                    }
                )
                for k in range(per_shard)
            ]
            (part / "annotations.jsonl").write_text("\n".join(lines) + "\n")
        began = time.process_time()
        CocoExporter().assemble(root, parts, SetInfo(("thing",), ".jpg"))
        seconds = time.process_time() - began
        size = (root / "annotations.json").stat().st_size / 1e6
        # Not ru_maxrss, which a process inherits from the one that started it.
        peak_kb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
        print(seconds, peak_kb / 1024, size)


# --- features ------------------------------------------------------------------------------------------------------


def synthesizer(root: Path) -> None:
    """20 foregrounds x 20 backgrounds through VGG-16 at 300 px: features kept, against both images of every pair anew."""
    from types import SimpleNamespace

    import torch

    from terse.draws import seeds_of
    from terse.requests import Requests
    from terse.synthesis.learned.photographs import PhotoSynthesizer
    from terse.synthesis.pastes import Pastes

    network = PhotoSynthesizer().eval()
    images = torch.rand(20, 3, 300, 300, generator=torch.Generator().manual_seed(0))
    torch.set_num_threads(os.cpu_count() or 1)
    bank = SimpleNamespace(
        fetch=lambda rows: SimpleNamespace(
            images=images[rows],
            alpha=torch.ones(len(rows), 1, 300, 300),
            hull=torch.zeros(len(rows), 32, 2),
            to=lambda device: bank.fetch(rows),
        ),
        labels=np.zeros(20, np.int64),
        classes=("thing",),
    )
    from terse.poses import AffinePoses
    from terse.synthesis.learned.config import LearnedConfig
    from terse.synthesis.learned.proposer import LearnedProposer

    poses = AffinePoses(
        (-90, 90),
        (-1, 1),
        (-0.2, 0.2),
        (0.1, 1.2),
        stretch=(0.8, 1.25),
        min_visible=0.3,
    )
    context: Any = SimpleNamespace(foregrounds=bank, backgrounds=bank, poses=poses, device="cpu")
    proposer = LearnedProposer(context, network, LearnedConfig())
    fore, back = (axis.ravel() for axis in np.meshgrid(np.arange(20), np.arange(20)))
    proposer.keep_features()
    seeds, label = seeds_of(0, count=400), np.zeros(400, np.int64)
    began = time.process_time()
    for start in range(0, 400, 64):
        block = slice(start, start + 64)
        count = len(fore[block])
        pastes = Pastes(np.arange(count), label[block], label[block], fore[block], seeds[block], label[block] - 1)
        canvas = np.full((count, 2), 300)
        proposer.poses_of(pastes, Requests(back[block], canvas, ((0,),) * count, seeds[block]))
    kept = 400 / (time.process_time() - began)
    began = time.process_time()
    with torch.no_grad():
        for start in range(0, 40, 20):  # a tenth of the pairs: each costs the same
            network(images[fore[start : start + 20]], images[back[start : start + 20]])
    anew = 40 / (time.process_time() - began)
    print(
        f"pairs a second of CPU: features kept {kept:.2f}, anew {anew:.2f}; ratio {kept / anew:.1f} (bar: 8, limit 10)"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
