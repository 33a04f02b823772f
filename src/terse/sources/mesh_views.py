"""The views of a 3-D model, by casting rays: no display and no GL."""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from PIL import Image

from terse.errors import DataError, MissingExtra, reason_of
from terse.types import ViewSphere

if TYPE_CHECKING:
    from terse.sources.meshes import MeshesConfig

__all__ = ["files_of", "render_views"]

_FINE = 2  # rays along each side of a pixel
_MARGIN = 1.03  # of the model's sphere
_AMBIENT = 0.45
_LIGHT = (0.4, 0.6, 0.7)  # right, up, towards the camera
_BARE = 0.7  # grey of a model without colours
_MATERIALS = re.compile(rb"^\s*mtllib\s+(.+?)\s*$", re.MULTILINE | re.IGNORECASE)
_TEXTURE = re.compile(rb"^\s*(?:map_Kd|comment TextureFile)\s+(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Model:
    """All of a file's meshes as one, for the rays; the meshes themselves, for the colours."""

    mesh: Any
    parts: list[Any]
    ends: Int64[np.ndarray, " parts"]  # of the parts' faces among those of the whole


def render_views(path: Path, settings: MeshesConfig) -> ViewSphere:
    """A model from all around, each view on the scale of its bounding sphere, by parallel rays and a light by the camera.

    Raises:
        MissingExtra: trimesh or embreex is not installed.
        DataError: the file is no model that can be seen.
    """
    model = _load(path)
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    if settings.up == "z":  # to y upwards: the front looks along -y of the file
        model.mesh.apply_transform(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float))
    rays = RayMeshIntersector(model.mesh)
    low, high = settings.elevation_deg
    rings = np.linspace(low, high, settings.elevations) if settings.elevations > 1 else np.array([low])
    turns = 2 * math.pi * np.arange(settings.azimuths) / settings.azimuths
    tiles = [[_view(model, rays, turn, math.radians(ring), settings.side_px) for turn in turns] for ring in rings]
    return ViewSphere(np.array(tiles), (float(rings[0]), float(rings[-1])))


def files_of(path: Path) -> list[Path]:
    """The files that a model's views depend on, as far as they are there: its own, its materials, and their textures."""
    found = [path]
    if path.suffix.lower() != ".glb":  # which holds its own
        texts = [path.read_bytes()]
        for named in (_MATERIALS, _TEXTURE):
            files = [_beside(path, name) for text in texts for name in named.findall(text)]
            there = list(dict.fromkeys(file for file in files if file is not None))
            texts += [file.read_bytes() for file in there if named is _MATERIALS]
            found += there
    return found


def _beside(path: Path, name: bytes) -> Path | None:
    """The file that trimesh takes for a name in a model: below the model's folder, or there by its last part."""
    for candidate in (_text(name).strip().lstrip("/"), _text(name).strip().rpartition("/")[2]):
        try:
            if candidate and (path.parent / candidate).is_file():
                return path.parent / candidate
        except (OSError, ValueError):  # a name that no disk holds
            continue
    return None


def _load(path: Path) -> _Model:
    """The model, its bounding sphere of radius 1 around the origin."""
    try:
        import embreex  # noqa: F401
        import trimesh
    except ImportError:
        raise MissingExtra("foregrounds.meshes", "mesh") from None
    _find_named(path, trimesh.resolvers.FilePathResolver(str(path)))
    try:
        with np.errstate(invalid="ignore"):  # trimesh rounds coordinates that we refuse below
            scene: Any = trimesh.load_scene(path)
            parts = [part for part in scene.dump() if len(getattr(part, "faces", ()))]
    except Exception as error:
        raise DataError(
            f"{path}: expected a model in OBJ, GLB or PLY, got a file that cannot be read ({reason_of(error)})"
        ) from None
    if not parts:
        raise DataError(f"{path}: expected a mesh with faces, got none; export the model as triangles")
    firsts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + first for part, first in zip(parts, firsts, strict=False)])
    # By hand: trimesh would pack the parts' textures into one, and wraps the bytes of textures that have a factor.
    mesh: Any = trimesh.Trimesh(np.concatenate([part.vertices for part in parts]), faces, process=False)
    seen = np.asarray(mesh.vertices)[np.unique(faces)]
    if not np.isfinite(seen).all():
        raise DataError(f"{path}: expected finite coordinates, got some that are not; export the model again")
    middle = (seen.min(axis=0) + seen.max(axis=0)) / 2
    radius = float(np.linalg.norm(seen - middle, axis=1).max())
    if not 1e-9 < radius < 1e9:
        raise DataError(
            f"{path}: expected a model between 1e-9 and 1e9 units in size, got {2 * radius:.3g}; scale it before it is exported"
        )
    mesh.apply_translation(-middle)
    mesh.apply_scale(1 / radius)
    return _Model(mesh, parts, np.cumsum([len(part.faces) for part in parts]))


def _find_named(path: Path, resolver: Any) -> None:
    """See that materials and textures that a file names are there: without them trimesh paints the model grey.

    Raises:
        DataError: one is missing, or no image.
    """
    if path.suffix.lower() == ".glb":  # holds its own
        return
    text = path.read_bytes()
    materials = _MATERIALS.search(text) if b"usemtl" in text else None
    if materials is not None:
        text = _named(path, "materials", materials[1], resolver)
    for texture in dict.fromkeys(_TEXTURE.findall(text)):
        image = _named(path, "texture", texture, resolver)
        try:
            Image.open(io.BytesIO(image)).load()
        except Exception:
            raise DataError(
                f"{path}: expected an image in the texture {_text(texture)}, got another thing; restore it"
            ) from None


def _named(path: Path, what: str, name: bytes, resolver: Any) -> bytes:
    try:
        found: bytes = resolver.get(_text(name))
    except (OSError, ValueError):
        raise DataError(
            f"{path}: expected the {what} {_text(name)} that it names, got no such file; put it there, or export the model again"
        ) from None
    return found


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")


def _view(model: _Model, rays: Any, azimuth: float, elevation: float, side: int) -> UInt8[np.ndarray, "side side 4"]:
    """Straight RGBA of one view, the mean of several rays a pixel."""
    back = np.array(
        [math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)]
    )
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    up = np.cross(back, right)
    fine = side * _FINE
    along = ((np.arange(fine) + 0.5) / fine * 2 - 1) * _MARGIN
    x, y = np.meshgrid(along, -along)
    inside = np.flatnonzero((x**2 + y**2).ravel() <= 1.01)
    starts = 2 * back + x.ravel()[inside, None] * right + y.ravel()[inside, None] * up
    aimed = np.broadcast_to(-back, starts.shape)
    face, ray, place = rays.intersects_id(starts, aimed, multiple_hits=False, return_locations=True)
    lit = _colours(model, face, place) * _shade(model.mesh.face_normals[face], back, right, up)[:, None]
    pixels = np.zeros((fine * fine, 4))
    pixels[inside[ray], :3], pixels[inside[ray], 3] = lit, 1.0
    coarse = pixels.reshape(side, _FINE, side, _FINE, 4).mean(axis=(1, 3))
    colour = coarse[..., :3] / np.maximum(coarse[..., 3:], 1e-9)
    rgba: UInt8[np.ndarray, "side side 4"] = np.rint(
        np.concatenate([colour, coarse[..., 3:]], axis=2).clip(0, 1) * 255
    ).astype(np.uint8)
    return rgba


def _shade(
    normals: Float64[np.ndarray, "n 3"], back: np.ndarray, right: np.ndarray, up: np.ndarray
) -> Float64[np.ndarray, " n"]:
    """How bright a face is; one that is seen from behind, as open models are, is lit as its other side."""
    towards = np.where(normals @ back < 0, -1.0, 1.0)
    light = _LIGHT[0] * right + _LIGHT[1] * up + _LIGHT[2] * back
    bright: Float64[np.ndarray, " n"] = np.clip(towards * (normals @ (light / np.linalg.norm(light))), 0, 1)
    return _AMBIENT + (1 - _AMBIENT) * bright


def _colours(model: _Model, face: np.ndarray, place: np.ndarray) -> Float64[np.ndarray, "n 3"]:
    """Of each point on a face: from its texture, its corners, the face itself or its material."""
    import trimesh

    to_shares: Any = trimesh.triangles.points_to_barycentric
    shares = to_shares(model.mesh.vertices[model.mesh.faces[face]], place) if len(face) else np.zeros((0, 3))
    owner = np.searchsorted(model.ends, face, side="right")
    colours = np.zeros((len(face), 3))
    for number in np.unique(owner).tolist():
        part, own = model.parts[number], owner == number
        within = face[own] - (model.ends[number] - len(part.faces))
        colours[own] = _colours_of_part(part, within, shares[own])
    return colours


def _colours_of_part(part: Any, face: np.ndarray, shares: np.ndarray) -> Float64[np.ndarray, "n 3"]:
    import trimesh

    visual, corners = part.visual, part.faces[face]

    def mixed(values: Any) -> Float64[np.ndarray, "n k"]:
        mean: Float64[np.ndarray, "n k"] = (np.asarray(values, dtype=np.float64)[corners] * shares[..., None]).sum(
            axis=1
        )
        return mean

    if visual.kind == "face":
        return np.asarray(visual.face_colors[face, :3], dtype=np.float64) / 255
    if visual.kind == "vertex":
        colours: Float64[np.ndarray, "n 3"] = mixed(visual.vertex_colors[:, :3]) / 255
        return colours
    if visual.kind != "texture":
        return np.full((len(face), 3), _BARE)
    image, tint = _material(visual.material)
    if image is None or visual.uv is None:
        return np.tile(tint, (len(face), 1))
    found = trimesh.visual.uv_to_interpolated_color(mixed(visual.uv), image.convert("RGBA"))
    tinted: Float64[np.ndarray, "n 3"] = np.asarray(found[:, :3], dtype=np.float64) / 255 * tint
    return tinted


def _material(material: Any) -> tuple[Any, Float64[np.ndarray, " 3"]]:
    """Its texture, None where it has none, and the colour that this is multiplied by.

    A factor of glTF is linear light, and multiplies light: encoded as the texture is, it multiplies nearly alike.
    Exporters of OBJ write any Kd beside a texture, so it counts without one alone.
    """
    import trimesh

    to_bytes: Any = trimesh.visual.color.to_rgba
    if hasattr(material, "baseColorTexture"):
        factor = material.baseColorFactor
        linear = np.ones(3) if factor is None else to_bytes(factor)[:3] / 255.0
        return material.baseColorTexture, np.where(
            linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
        )
    image = getattr(material, "image", None)
    return image, np.ones(3) if image is not None else to_bytes(material.main_color)[:3] / 255.0
