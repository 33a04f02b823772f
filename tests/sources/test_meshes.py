"""Models that code draws: read in three formats, rendered once, drawn alike by training and by generate."""

import sys

import numpy as np
import pytest

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("embreex")

from PIL import Image

from terse.errors import DataError, MissingExtra
from terse.generate.make import generate
from terse.generate.settings import GenerateSettings
from terse.recipe import load_recipe
from terse.sources.annotations import Cause
from terse.sources.meshes import MeshesConfig, MeshForegrounds, with_views
from terse.sources.photo_foregrounds import PhotoForegrounds


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def box(scale=1.0):
    """A box whose front is red and whose right side is green."""
    made = trimesh.creation.box((1, 1.5, 0.7))
    made.visual.face_colors = [
        {(0, 0, 1): (220, 30, 30, 255), (1, 0, 0): (30, 220, 30, 255)}.get(
            tuple(np.round(n).astype(int)), (90, 90, 90, 255)
        )
        for n in made.face_normals
    ]
    made.apply_scale(scale)
    return made


def models(root, **files):
    for name, mesh in files.items():
        stem, suffix = name.rsplit("_", 1)
        (root / stem).mkdir(parents=True, exist_ok=True)
        mesh.export(root / stem / f"a.{suffix}")
    return root


def config(root, **settings):
    return MeshesConfig(
        meshes=root, **{"azimuths": 4, "elevations": 3, "elevation_deg": (-45, 45), "side_px": 32, **settings}
    )


def bank(root):
    made = with_views(PhotoForegrounds(config(root).build(), patch_px=64))
    assert isinstance(made, MeshForegrounds)
    return made


def test_three_formats_are_read_and_seen_from_all_around(tmp_path):
    found = bank(models(tmp_path / "m", ply_ply=box(), obj_obj=box(40), glb_glb=box(0.01)))
    assert found.classes == ("glb", "obj", "ply")
    cut = found.fetch(np.arange(3))
    assert cut.images.shape == (3, 3, 32, 32)
    masks = (cut.alpha[:, 0] > 0.5).flatten(1).float()
    assert (masks - masks[0]).abs().mean() < 0.02  # whatever the file's unit
    sphere = cut.views[2]
    front, right = (sphere.tiles[1, column, 16, 16] for column in (0, 1))
    assert front[0] > 2 * front[1]
    assert right[1] > 2 * right[0]
    assert (sphere.tiles[..., 3] > 127).mean(axis=(2, 3)).min() > 0.1
    # Narrower from the side, and the hull holds all views.
    width = [(sphere.tiles[1, column, ..., 3] > 127).any(axis=0).sum() for column in (0, 1)]
    assert width[0] > width[1]
    reach = np.abs(cut.hull[2].numpy()).max(axis=0)
    assert reach[0] >= width[0] / 32


def test_models_are_rendered_once(tmp_path, monkeypatch):
    root = models(tmp_path / "m", thing_ply=box())
    first = config(root).build()
    monkeypatch.setattr("terse.sources.mesh_views.render_views", lambda *_: pytest.fail("rendered again"))
    assert config(root).build().paths == first.paths
    models(root, other_ply=box(2))
    with pytest.raises(pytest.fail.Exception, match="rendered again"):
        config(root).build()


def refusal(root, **settings):
    with pytest.raises(DataError) as error:
        config(root, **settings).build()
    return str(error.value)


def test_what_is_no_model_gets_one_sentence(tmp_path):
    cloud = models(tmp_path / "a", thing_ply=trimesh.PointCloud(np.random.default_rng(0).random((9, 3))))
    assert refusal(cloud) == (
        f"{cloud}/thing/a.ply: expected a mesh with faces, got none; export the model as triangles"
    )
    huge = models(tmp_path / "b", thing_ply=box(1e10))
    assert refusal(huge).endswith("units in size, got 1.93e+10; scale it before it is exported")
    (tmp_path / "c" / "thing").mkdir(parents=True)
    assert refusal(tmp_path / "c").endswith("got none in " + str(tmp_path / "c") + "; move the models into one")
    (tmp_path / "c" / "thing" / "a.glb").write_bytes(b"no model")
    assert "expected a model in OBJ, GLB or PLY, got a file that cannot be read" in refusal(tmp_path / "c")


CORNERS = "".join(f"v {x} {y} {z}\n" for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
FRONT, RIGHT = "f 5/1 6/2 7/3 8/4\n", "f 6/1 2/2 3/3 7/4\n"
MAPPED = "mtllib a.mtl\n" + CORNERS + "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def paint(path, colour):
    Image.new("RGB", (4, 4), colour).save(path)


def middles(root):
    """The colours of front and right side, as shares of their brightest channel."""
    tiles = bank(root).fetch(np.arange(1)).views[0].tiles[1, :2, 16, 16, :3].astype(float)
    return (tiles / tiles.max(axis=1, keepdims=True)).round(2).tolist()


@pytest.mark.parametrize("blue", ["Kd 0 0 1", "map_Kd blue.png"])
@pytest.mark.parametrize("red", ["Kd 1 0 0", "Kd 0 0 0\nmap_Kd red.png"])
def test_materials_colour_their_faces(tmp_path, red, blue):
    write(tmp_path / "m/c/a.obj", f"{MAPPED}usemtl one\n{FRONT}usemtl two\n{RIGHT}")
    write(tmp_path / "m/c/a.mtl", f"newmtl one\n{red}\nnewmtl two\n{blue}\n")
    paint(tmp_path / "m/c/red.png", "red")
    paint(tmp_path / "m/c/blue.png", "blue")
    assert middles(tmp_path / "m") == [[1, 0, 0], [0, 0, 1]]


def test_one_plain_material_colours_all(tmp_path):
    write(tmp_path / "m/c/a.obj", f"{MAPPED}usemtl one\n{FRONT}{RIGHT}")
    write(tmp_path / "m/c/a.mtl", "newmtl one\nKd 0 1 0\n")
    assert middles(tmp_path / "m") == [[0, 1, 0], [0, 1, 0]]


def gltf(root, *materials):
    """Boxes one behind the other to the left, each of its material; the last one is seen from the right."""
    scene = trimesh.Scene()
    for number, material in enumerate(materials):
        made = trimesh.creation.box((1, 1, 1))
        made.apply_translation((number, 0, 0))
        corners = np.random.default_rng(0).random((len(made.vertices), 2))
        made.visual = trimesh.visual.TextureVisuals(corners, trimesh.visual.material.PBRMaterial(**material))
        scene.add_geometry(made)
    (root / "c").mkdir(parents=True)
    (root / "c/a.glb").write_bytes(scene.export(file_type="glb"))
    return root


def test_materials_of_glb_multiply_their_textures(tmp_path):
    white = Image.new("RGB", (4, 4), "white")
    green = {"baseColorFactor": (0, 255, 0, 255)}
    for number, material in enumerate((green, {**green, "baseColorTexture": white})):
        assert middles(gltf(tmp_path / f"one-{number}", material)) == [[0, 1, 0]] * 2
        several = gltf(tmp_path / f"two-{number}", {"name": "red", "baseColorFactor": (255, 0, 0, 255)}, material)
        assert middles(several)[1] == [0, 1, 0]


def test_a_model_is_rendered_again_when_its_texture_changes(tmp_path):
    write(tmp_path / "m/c/a.obj", f"{MAPPED}usemtl one\n{FRONT}{RIGHT}")
    write(tmp_path / "m/c/a.mtl", "newmtl one\nmap_Kd one.png\n")
    paint(tmp_path / "m/c/one.png", "red")
    assert middles(tmp_path / "m")[0] == [1, 0, 0]
    paint(tmp_path / "m/c/one.png", "blue")
    assert middles(tmp_path / "m")[0] == [0, 0, 1]


def test_materials_and_textures_that_a_model_names_must_be_there(tmp_path):
    file = tmp_path / "m/c/a.obj"
    write(file, f"{MAPPED}usemtl one\n{FRONT}{RIGHT}")
    gone = "that it names, got no such file; put it there, or export the model again"
    assert refusal(tmp_path / "m") == f"{file}: expected the materials a.mtl {gone}"
    write(tmp_path / "m/c/a.mtl", "newmtl one\nmap_Kd one.png\n")
    assert refusal(tmp_path / "m") == f"{file}: expected the texture one.png {gone}"
    write(tmp_path / "m/c/one.png", "no image")
    assert refusal(tmp_path / "m") == f"{file}: expected an image in the texture one.png, got another thing; restore it"


def test_every_model_is_a_cut_out_of_its_outermost_folder(tmp_path):
    for name in ("cup/a.b.obj", "cup/a_b.obj", "cup/blue/model.obj", "cup/red/model.obj", "images/a.obj"):
        write(tmp_path / "m" / name, f"{CORNERS}f 5 6 7 8\n")
    for name in ("cup/._a.obj", ".trash/a.obj"):
        write(tmp_path / "m" / name, "")
    found = config(tmp_path / "m").build()
    assert found.count_classes() == {"cup": 4, "images": 1}
    assert len(bank(tmp_path / "m").fetch(np.arange(5)).views) == 5


def test_a_folder_of_other_models_is_said(tmp_path):
    root = models(tmp_path / "m", cup_ply=box())
    (root / "lamp").mkdir()
    (root / "lamp/a.fbx").write_bytes(b"")
    found = config(root).build()
    assert found.classes == ("cup",)
    assert [remark.text for remark in found.remarks] == [
        "m: folders without a usable model (.obj, .glb, .ply) are no classes: lamp"
    ]


def test_a_rendering_that_was_cut_short_goes_on(tmp_path, monkeypatch):
    from terse.sources import mesh_views

    root = models(tmp_path / "m", one_ply=box(), other_ply=box(2))
    real, rendered = mesh_views.render_views, []

    def stopped(path, settings):
        if rendered:
            raise RuntimeError("killed")
        rendered.append(path.parent.name)
        return real(path, settings)

    monkeypatch.setattr(mesh_views, "render_views", stopped)
    with pytest.raises(RuntimeError):
        config(root).build()
    rendered.clear()
    assert config(root).build().count_classes() == {"one": 1, "other": 1}
    assert rendered == ["other"]


def test_a_model_more_is_rendered_alone(tmp_path, monkeypatch):
    """With materials and a texture of its own, in the folder of the others."""
    from terse.sources import mesh_views

    def add(name, colour):
        write(tmp_path / f"m/c/{name}.obj", f"{MAPPED.replace('a.mtl', f'{name}.mtl')}usemtl one\n{FRONT}{RIGHT}")
        write(tmp_path / f"m/c/{name}.mtl", f"newmtl one\nmap_Kd {name}.png\n")
        paint(tmp_path / f"m/c/{name}.png", colour)

    real, rendered = mesh_views.render_views, []
    monkeypatch.setattr(
        mesh_views, "render_views", lambda path, settings: rendered.append(path.name) or real(path, settings)
    )
    add("one", "red")
    config(tmp_path / "m").build()
    add("two", "blue")
    found = config(tmp_path / "m").build()
    assert (rendered, found.count_classes()) == (["one.obj", "two.obj"], {"c": 2})
    add("one", "lime")
    assert middles(tmp_path / "m")[0] == [0, 1, 0]
    assert rendered[2:] == ["one.obj"]
    (tmp_path / "m/c/two.obj").unlink()
    assert config(tmp_path / "m").build().count_classes() == {"c": 1}
    assert len(rendered) == 3


def test_a_broken_model_is_left_out_and_named(tmp_path):
    """As a broken picture is, until it is mended."""
    root = models(tmp_path / "m", cup_ply=box(), lamp_ply=box())
    whole = (root / "lamp/a.ply").read_bytes()
    (root / "lamp/a.ply").write_bytes(b"no model")
    write(root / "cup/b.obj", f"{MAPPED}usemtl one\n{FRONT}")
    found = config(root).build()
    assert found.count_classes() == {"cup": 1}
    told = [str(item) for item in found.skipped]
    assert told[0] == (
        "cup/b.obj: expected the materials a.mtl that it names, got no such file; put it there, or export the model again; it "
        "is left out"
    )
    assert told[1].startswith("lamp/a.ply: expected a model in OBJ, GLB or PLY, got a file that cannot be read (")
    assert {item.cause for item in found.skipped} == {Cause.FILE}
    assert [remark.text for remark in found.remarks] == [
        "m: folders without a usable model (.obj, .glb, .ply) are no classes: lamp"
    ]
    (root / "lamp/a.ply").write_bytes(whole)
    write(root / "cup/a.mtl", "newmtl one\nKd 0 1 0\n")
    assert config(root).build().count_classes() == {"cup": 2, "lamp": 1}


def test_a_missing_extra_says_how_to_install_it(tmp_path, monkeypatch):
    root = models(tmp_path / "m", thing_ply=box())
    monkeypatch.setitem(sys.modules, "embreex", None)
    with pytest.raises(MissingExtra) as error:
        config(root).build()
    assert 'pip install "terse-synth[mesh]"' in str(error.value)


def test_generate_draws_models_from_sides_that_training_sees(tmp_path):
    root = models(tmp_path / "m", thing_ply=box())
    (tmp_path / "rooms").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(100, 120, (90, 120, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "rooms" / f"{k}.png")
    recipe = load_recipe(
        "paste",
        [
            f"foregrounds={{meshes: {root}, azimuths: 4, elevations: 3, elevation_deg: [-45, 45], side_px: 48}}",
            f"backgrounds.images={tmp_path / 'rooms'}",
            "poses=[{kind: view}, {kind: affine, scale: [0.5, 0.9], stretch: [1, 1]}]",
        ],
    )
    found = generate(recipe, GenerateSettings(count=6, image="png"), tmp_path / "set", workers=0)
    assert found["objects"] == 6
    red = green = 0
    for path in sorted((tmp_path / "set" / "images").iterdir()):
        pixels = np.asarray(Image.open(path)).astype(int)
        red += int((pixels[..., 0] > pixels[..., 1] + 60).sum() > 50)
        green += int((pixels[..., 1] > pixels[..., 0] + 60).sum() > 50)
    assert red
    assert green
