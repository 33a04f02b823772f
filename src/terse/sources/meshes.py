"""3-D models as foregrounds: each is rendered once from all around, and its views are kept in a cache.

The neutral views are ordinary cut-outs, so that everything that looks at sources knows them; `MeshForegrounds` adds the other
sides, among which the pose family `view` chooses.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from terse.config import Count, SourcePath, ascending
from terse.errors import DataError
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, Int64

    from terse.sources.annotations import Annotations, Skipped
    from terse.sources.photo_foregrounds import PhotoForegrounds
    from terse.types import Foregrounds, ViewSphere

__all__ = ["MeshForegrounds", "MeshesConfig", "with_views"]

_FORMAT = 2
_SUFFIXES = (".obj", ".glb", ".ply")
_KEEP_BYTES = 1 << 28
_CUT_OUTS, _VIEWS = "cut-outs", "views"
_SUFFIX_OF = {_CUT_OUTS: ".png", _VIEWS: ".npz"}

_Elevation = Annotated[float, Field(ge=-90, le=90)]


@register("source", "meshes")
class MeshesConfig(SourceConfig):
    """A folder with a folder of models (OBJ, GLB, PLY) for each class; extra `mesh`."""

    keeps: ClassVar[bool] = True
    kind: Literal["meshes"] = "meshes"
    meshes: SourcePath
    """The folder that holds the classes' folders."""
    azimuths: Count = 16
    """Views around a model, the first being its front."""
    elevations: Count = 4
    """Rings of views; one of them should be at 0 degrees."""
    elevation_deg: Annotated[tuple[_Elevation, _Elevation], AfterValidator(ascending)] = (-30.0, 60.0)
    """The lowest and the highest ring."""
    side_px: Annotated[int, Field(ge=16, le=1024)] = 160
    """Side of a view."""
    up: Literal["y", "z"] = "y"
    """The axis that points up in the files; the front looks along the other one's positive end (z, or -y)."""

    def _read(self) -> Annotations:
        from dataclasses import replace

        from terse.sources.annotations import Remark, RemarkKind
        from terse.sources.cutouts import outermost, read_cutouts

        models, held = _files(self.meshes)
        settings = (_FORMAT, self.azimuths, self.elevations, self.elevation_deg, self.side_px, self.up)
        root, skipped = _rendered(models, held, self, json.dumps(settings))
        found = read_cutouts(root / _CUT_OUTS, class_of=outermost)
        folders = {outermost(name) for name in held if "/" in name}
        left_out = {item.where for item in skipped}
        empty = sorted(folders - {outermost(name) for name in held if _is_model(name) and name not in left_out})
        if empty:
            text = f"{self.meshes.name}: folders without a usable model ({', '.join(_SUFFIXES)}) are no classes: {', '.join(empty)}"
            found = replace(found, remarks=(*found.remarks, Remark(RemarkKind.READ_AS, text)))
        return replace(found, name=self.meshes.name, skipped=(*found.skipped, *skipped))


class MeshForegrounds:
    """The models of a bank of neutral views, with all their other views.

    Args:
        bank: the neutral views, of which keys, labels and files are taken.
        views: the folder of the spheres.
    """

    def __init__(self, bank: PhotoForegrounds, views: Path) -> None:
        from terse.sources.cache import Cache

        self.bank = bank
        self.keys, self.labels, self.classes, self.files = bank.keys, bank.labels, bank.classes, bank.files
        self.annotations, self.objects, self.image_of = bank.annotations, bank.objects, bank.image_of
        self.squash = bank.squash
        self._views = views
        self._spheres: Cache[int, tuple[ViewSphere, np.ndarray]] = Cache(self._load, _size_of_sphere, _KEEP_BYTES)

    def __len__(self) -> int:
        return len(self.keys)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Foregrounds:
        """The models' fronts, each with its views; the hull holds all of them."""
        import numpy as np
        import torch

        from terse.types import Foregrounds

        found = [self._spheres.get(number) for number in indices.tolist()]
        spheres = tuple(sphere for sphere, _ in found)
        fronts = np.stack([_front(sphere) for sphere in spheres]) if spheres else np.zeros((0, 1, 1, 4), np.uint8)
        pixels = torch.from_numpy(fronts).permute(0, 3, 1, 2).float() / 255
        hull = torch.from_numpy(np.stack([hull for _, hull in found]) if found else np.zeros((0, 1, 2), np.float32))
        return Foregrounds(pixels[:, :3], pixels[:, 3:], torch.from_numpy(self.labels[indices]), hull, views=spheres)

    def hulls(self, indices: Int64[np.ndarray, " b"]) -> Float32[np.ndarray, "b points 2"]:
        """As `fetch(indices).hull`."""
        import numpy as np

        return np.stack([self._spheres.get(number)[1] for number in indices.tolist()])

    def _load(self, index: int) -> tuple[ViewSphere, np.ndarray]:
        import numpy as np

        from terse.poses.hull import hull_of
        from terse.types import ViewSphere

        root = self.annotations.root
        path = self._views / Path(self.annotations.paths[int(self.image_of[index])]).with_suffix(".npz")
        try:
            with np.load(path) as kept:
                low, high = kept["elevations_deg"].tolist()
                sphere = ViewSphere(kept["tiles"], (low, high))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{path}: expected the views of {root.name}, got a file that cannot be read ({error}); "
                f"remove {self._views.parent} to have them rendered again"
            ) from None
        return sphere, hull_of(sphere.tiles[..., 3].max(axis=(0, 1))[None] > 0)[0]


def with_views(bank: PhotoForegrounds) -> PhotoForegrounds | MeshForegrounds:
    """The bank itself, or where it is of models' neutral views, the models."""
    views = bank.annotations.root.parent / _VIEWS
    return MeshForegrounds(bank, views) if bank.annotations.root.name == _CUT_OUTS and views.is_dir() else bank


def _front(sphere: ViewSphere) -> np.ndarray:
    low, high = sphere.elevations_deg
    rows = len(sphere.tiles)
    row = min(max(round((0 - low) * (rows - 1) / max(high - low, 1e-9)), 0), rows - 1)
    front: np.ndarray = sphere.tiles[row, 0]
    return front


def _size_of_sphere(made: tuple[ViewSphere, np.ndarray]) -> int:
    return made[0].tiles.nbytes


def _files(folder: Path) -> tuple[Path, list[str]]:
    """The folder, and all files in it, models and what they name."""
    from terse.sources.finder import existing_folder, files_below

    root = existing_folder("meshes", folder)
    held = list(files_below(root))
    if not any(map(_is_model, held)):
        raise DataError(
            f"meshes: expected a folder for each class with .obj, .glb or .ply files in it, got none in {root}; "
            "move the models into one"
        )
    return root, held


def _is_model(name: str) -> bool:
    return "/" in name and name.lower().endswith(_SUFFIXES)


def _rendered(models: Path, held: list[str], settings: MeshesConfig, described: str) -> tuple[Path, list[Skipped]]:
    """The cache's folder of these models, and those that cannot be rendered; of each state of their files another folder.

    A model whose files are as before is not rendered again: its views are kept apart, and linked into the folder.

    Raises:
        DataError: none of them can be rendered; the first one's error.
    """
    from terse.folders import cache_folder, write_atomically
    from terse.sources.annotations import Cause, Skipped

    root = cache_folder() / "views"
    digests = {name: _digest(models, name, described) for name in held if _is_model(name)}
    whole = root / hashlib.sha256(json.dumps([described, digests]).encode()).hexdigest()[:24]
    if (whole / "done").is_file():
        return whole, []
    failed: dict[str, DataError] = {}
    for name, digest in digests.items():
        kept = {part: root / "models" / f"{digest}{suffix}" for part, suffix in _SUFFIX_OF.items()}
        if not all(file.is_file() for file in kept.values()):
            try:
                _render(models / name, settings, kept)
            except DataError as error:
                failed[name] = error
                continue
        for part, file in kept.items():
            _link(file, whole / part / f"{name}{file.suffix}")
    if len(failed) == len(digests):
        raise next(iter(failed.values()))
    if not failed:  # else they are tried again: what they lack may lie elsewhere
        write_atomically(whole / "done", described.encode())
    reasons = {name: str(error).removeprefix(f"{models / name}: ") for name, error in failed.items()}
    return whole, [Skipped(name, f"{reason}; it is left out", Cause.FILE) for name, reason in reasons.items()]


def _digest(models: Path, name: str, described: str) -> str:
    """Of all that a model's views depend on."""
    from terse.sources.mesh_views import files_of

    digest = hashlib.sha256(described.encode())
    for file in files_of(models / name):
        digest.update(os.path.relpath(file, models).encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:24]


def _render(model: Path, settings: MeshesConfig, kept: Mapping[str, Path]) -> None:
    """Render a model, and keep its front and its views.

    Raises:
        DataError: it is no model that can be seen.
    """
    import cv2
    import numpy as np

    from terse.folders import replacing
    from terse.sources.mesh_views import render_views

    sphere = render_views(model, settings)
    with replacing(kept[_VIEWS]) as stream:
        np.savez_compressed(stream, tiles=sphere.tiles, elevations_deg=sphere.elevations_deg)
    with replacing(kept[_CUT_OUTS]) as stream:
        stream.write(cv2.imencode(".png", cv2.cvtColor(_front(sphere), cv2.COLOR_RGBA2BGRA))[1].tobytes())


def _link(file: Path, place: Path) -> None:
    """Have the file at another place too."""
    from terse.folders import write_atomically

    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        write_atomically(place, file.read_bytes())
