"""Drawn runs for the page's tests: digits-like strokes and scenes, seeded."""

import numpy as np

from terse.pictures.gallery import BeforeAfter, Gallery, GalleryItem
from terse.pictures.sheets import Sheet, contact_sheet
from terse.proof.results import Measured, ProofResult
from terse.proof.summary import ArmRun, summary_of
from terse.results import Coverage, RunResult
from terse.tasks.answers import Answer, Box
from terse.tasks.task import metric_of

HOSTILE = "<script>alert(1)</script>"
RECIPE = "name: quickstart\ntask: classification\n# </script><b>\ncycles: 5\n"


def result(cycles=5):
    """The object of `result.json`."""
    accuracy = [0.185, 0.552, 0.731, 0.802, 0.848, 0.879][: cycles + 1]
    return {
        "out": "runs/quickstart",
        "primary": "accuracy",
        "metrics": {"start": {"accuracy": accuracy[0]}, "end": {"accuracy": accuracy[-1]}},
        "cycles": [
            {
                "samples": 500 * (k + 1),
                "accuracy": accuracy[k + 1],
                "hard_rate": [0.92, 0.71, 0.55, 0.46, 0.41][k],
                "target_forwards": 61_000 + 9_000 * k,
                "target_backwards": 52_000 + 8_000 * k,
                "seconds": 9.4 + 1.7 * k,
                "phase_seconds": {"synthesizer": 3.1 + k, "harvest": 0.8, "target": 5.5 + 0.7 * k},
            }
            for k in range(cycles)
        ],
        "seconds": 52.4,
    }


def run(result):
    """The typed result of an object of `result.json`."""
    return RunResult.model_validate(result)


def proved(proof):
    """The typed result of an object of `terse prove --json`."""
    return ProofResult.model_validate(proof)


def seen(coverage):
    """The typed coverage of its object."""
    return Coverage.model_validate(coverage)


def proof(seeds=3, gain=0.03, noise=0.006):
    """The object of `terse prove` and the runs that it rests on."""
    rng = np.random.default_rng(7)
    level = {
        "none": 0.40,
        "random": 0.395,
        "mined": 0.40,
        "cut_paste_learn": 0.41,
        "context": 0.405,
        "learned": 0.40 + gain,
    }
    runs = {}
    for arm, mean in level.items():
        runs[arm] = []
        for _ in range(seeds):
            shift = rng.normal(0, noise)
            steps = [mean - 0.05 * 0.5**k + shift for k in range(4)]
            cycles = [
                {
                    "samples": 0 if arm == "none" else 400 * (k + 1), "ap50": steps[k], "ap80": steps[k] / 4,
                    "hard_rate": 0.9 - 0.1 * k, "target_forwards": 9000 + (5000 if arm in ("learned", "mined") else 0),
                    "target_backwards": 9000, "synthesizer_forwards": 800 if arm == "learned" else 0, "seconds": 300.0,
                }
                for k in range(4)
            ]  # fmt: skip
            end = {"ap50": steps[-1], "ap80": steps[-1] / 4}
            start = {"ap50": 0.33, "ap80": 0.08}
            runs[arm].append(
                {
                    "out": "p",
                    "primary": "ap50",
                    "metrics": {"start": start, "end": end},
                    "cycles": cycles,
                    "seconds": 1200.0,
                }
            )
    finished = {
        arm: {k: ArmRun(RunResult.model_validate(run), Measured(units=[], hardness=[])) for k, run in enumerate(seeded)}
        for arm, seeded in runs.items()
    }
    return summary_of(finished, metric_of("ap50")).to_json(), runs


def covered(arm):
    """What `evaluation.coverage` says of drawn placements."""
    names = ("rotation_deg", "shift_x", "shift_y", "shear", "scale", "stretch")
    rng = np.random.default_rng(len(arm))
    parts = {
        name: {
            "low": -1.0,
            "high": 1.0,
            "counts": rng.integers(20, 60, 20).tolist(),
            "entropy": 0.9 - 0.1 * k,
            "at_edge": 0.0,
        }
        for k, name in enumerate(names)
    }
    position = rng.integers(1, 30, (8, 8)).tolist()
    return {
        "images": 800, "objects": 800, "entropy": 0.4, "poses": parts, "position": position, "foregrounds": 512,
        "backgrounds": 289, "duplicates": 0.0, "near_duplicates": 0.012,
    }  # fmt: skip


def digit(rng, size=40):
    """A bright stroke on black, with its mask and box."""
    rows, columns = np.mgrid[:size, :size]
    cx, cy, r = rng.uniform(12, 28), rng.uniform(12, 28), rng.uniform(5, 10)
    ring = np.abs(np.hypot(columns - cx, rows - cy) - r)
    image = (255 * np.clip(2.2 - ring, 0, 1)).astype(np.uint8)
    mask = image > 60
    ys, xs = np.where(mask)
    return (image[:, :, None], mask, (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)))


def scene(rng, size=160):
    """Noise of large blobs with one ellipse on it, its mask and box."""
    coarse = rng.integers(40, 215, (6, 6, 3)).astype(np.float64)
    image = np.kron(coarse, np.ones((size // 6 + 1, size // 6 + 1, 1)))[:size, :size]
    rows, columns = np.mgrid[:size, :size]
    cx, cy = rng.uniform(0.3, 0.7, 2) * size
    a, b = rng.uniform(0.08, 0.25, 2) * size
    mask = ((columns - cx) / a) ** 2 + ((rows - cy) / b) ** 2 < 1
    image[mask] = rng.integers(0, 255, 3)
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    ys, xs = np.where(mask)
    return (image, mask, (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)))


def items(count, draw=digit, classes=("0", "1", "2", HOSTILE), arms=("learned", "random"), seed=0):
    """Gallery items in cycle order; hardness falls within a cycle."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        image, mask, box = draw(rng)
        name = classes[k % len(classes)]
        yield GalleryItem(
            image=image,
            class_name=name,
            boxes=[Box(box, name)],
            masks=[mask],
            cycle=1 + 5 * k // count,
            hardness=round(float(rng.beta(4, 2)), 4),
            arm=arms[k % len(arms)],
            record={
                "background": k,
                "foreground": f"mnist:{k}",
                "pose": {"rotation_deg": 12.5, "x_frac": 0.1},
                "seed": 0,
            },
        )


def sheets(draw=digit):
    """A strip for each of two cycles."""
    rng = np.random.default_rng(1)
    strips = []
    for cycle in (1, 2, 3):
        images = np.stack([draw(rng)[0] for _ in range(20)])
        sheet = contact_sheet(images, 10, transparent=True)
        strips.append(
            Sheet("By cycle", f"Cycle {cycle}", sheet, f"Twenty samples of cycle {cycle}", "most hard: 8, 3, 5")
        )
    return strips


def pairs(count=6):
    """Real scenes with what was found and missed."""
    rng = np.random.default_rng(2)
    made = []
    for k in range(count):
        image, _, box = scene(rng)
        other = (8.0, 90.0, 40.0, 150.0)
        before = Answer("1 of 2 found", [Box(box, "person", 0.81, "correct"), Box(other, "person", None, "missed")])
        after = Answer(
            "2 of 2 found, 1 false alarm",
            [
                Box(box, "person", 0.93, "correct"),
                Box(other, HOSTILE, 0.61, "correct"),
                Box((100, 5, 140, 40), "person", 0.5, "false"),
            ],
        )
        made.append(BeforeAfter(image, before, after, name=f"scene {k}"))
    return made


def gallery(count=120, draw=digit):
    """A gallery of drawn items."""
    return Gallery(list(items(count, draw)), note=f"{count:,} of {count * 3:,}: every third")
