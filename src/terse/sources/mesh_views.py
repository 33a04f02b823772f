"""The views of a 3-D model, by casting rays: no display and no GL."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, UInt8

from terse.errors import DataError, MissingExtra
from terse.types import ViewSphere

if TYPE_CHECKING:
    from terse.sources.meshes import MeshesConfig

__all__ = ["render_views"]

_FINE = 2  # rays along each side of a pixel
_MARGIN = 1.03  # of the model's sphere
_AMBIENT = 0.45
_LIGHT = (0.4, 0.6, 0.7)  # right, up, towards the camera


def render_views(path: Path, settings: MeshesConfig) -> ViewSphere:
    """A model from all around, each view on the scale of its bounding sphere, by parallel rays and a light by the camera.

    Raises:
        MissingExtra: trimesh or embreex is not installed.
        DataError: the file is no model that can be seen.
    """
    mesh = _load(path)
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    if settings.up == "z":  # to y upwards: the front looks along -y of the file
        mesh.apply_transform(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float))
    rays = RayMeshIntersector(mesh)
    low, high = settings.elevation_deg
    rings = np.linspace(low, high, settings.elevations) if settings.elevations > 1 else np.array([low])
    turns = 2 * math.pi * np.arange(settings.azimuths) / settings.azimuths
    tiles = [[_view(mesh, rays, turn, math.radians(ring), settings.side_px) for turn in turns] for ring in rings]
    return ViewSphere(np.array(tiles), (float(rings[0]), float(rings[-1])))


def _load(path: Path) -> Any:
    """The model, its bounding sphere of radius 1 around the origin."""
    try:
        import embreex  # noqa: F401
        import trimesh
    except ImportError:
        raise MissingExtra("foregrounds.meshes", "mesh") from None
    try:
        with np.errstate(invalid="ignore"):  # trimesh rounds coordinates that we refuse below
            mesh: Any = trimesh.load_mesh(path)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: expected a model in OBJ, GLB or PLY, got a file that cannot be read ({reason})"
        ) from None
    vertices, faces = np.asarray(getattr(mesh, "vertices", ())), np.asarray(getattr(mesh, "faces", ()))
    if not len(faces):
        raise DataError(f"{path}: expected a mesh with faces, got none; export the model as triangles")
    if not np.isfinite(vertices).all():
        raise DataError(f"{path}: expected finite coordinates, got some that are not; export the model again")
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    radius = float(np.linalg.norm(vertices - middle, axis=1).max())
    if not 1e-9 < radius < 1e9:
        raise DataError(
            f"{path}: expected a model between 1e-9 and 1e9 units in size, got {2 * radius:.3g}; scale it before it is exported"
        )
    mesh.apply_translation(-middle)
    mesh.apply_scale(1 / radius)
    return mesh


def _view(mesh: Any, rays: Any, azimuth: float, elevation: float, side: int) -> UInt8[np.ndarray, "side side 4"]:
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
    lit = _colours(mesh, face, place) * _shade(mesh.face_normals[face], back, right, up)[:, None]
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


def _colours(mesh: Any, face: np.ndarray, place: np.ndarray) -> Float64[np.ndarray, "n 3"]:
    """Of each point on a face: from its texture, its corners or the face itself."""
    import trimesh

    visual = mesh.visual
    if visual.kind is None or not len(face):
        return np.full((len(face), 3), 0.7)
    if visual.kind == "face":
        return np.asarray(visual.face_colors[face, :3], dtype=np.float64) / 255
    corners = mesh.faces[face]
    to_shares: Any = trimesh.triangles.points_to_barycentric
    shares = to_shares(mesh.vertices[corners], place)
    if visual.kind == "texture" and visual.uv is not None:
        uv = (np.asarray(visual.uv)[corners] * shares[..., None]).sum(axis=1)
        image = getattr(visual.material, "image", None) or getattr(visual.material, "baseColorTexture", None)
        if image is not None:
            found = trimesh.visual.uv_to_interpolated_color(uv, image.convert("RGBA"))
            return np.asarray(found[:, :3], dtype=np.float64) / 255
    colours = np.asarray((visual.to_color() if visual.kind == "texture" else visual).vertex_colors, dtype=np.float64)
    mixed: Float64[np.ndarray, "n 3"] = (colours[corners, :3] * shares[..., None]).sum(axis=1) / 255
    return mixed
