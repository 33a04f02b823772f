"""Every kind of file that people call a photograph."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from terse.errors import DataError
from terse.sources import decode
from terse.sources.decode import IMAGE_SUFFIXES, probe, read_alpha, read_rgb, read_values


@pytest.fixture
def file(tmp_path):
    """A file that holds what `write` is given, and its name."""

    def make(image, suffix=".png", **options):
        path = tmp_path / f"photo{suffix}"
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            image.save(path, **options)
        return path, path.name

    return make


def corners(width=4, height=2):
    """Four coloured corners, so that a turn shows."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
    return pixels


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def error_of(function, *args):
    with pytest.raises(DataError) as error:
        function(*args)
    return str(error.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_pixels_unless_the_annotations_were_made_without_it(file, orientation):
    path, name = file(Image.fromarray(corners()), exif=exif(orientation))
    expected = {
        1: corners(),
        2: corners()[:, ::-1],
        3: corners()[::-1, ::-1],
        4: corners()[::-1],
        5: corners().transpose(1, 0, 2),
        6: np.rot90(corners(), -1),
        7: np.rot90(corners(), 2).transpose(1, 0, 2),
        8: np.rot90(corners()),
    }[orientation]
    assert probe(path, name) == expected.shape[1::-1]
    assert np.array_equal(read_rgb(path, name, expected.shape[1::-1]), expected)
    if orientation >= 5:
        assert probe(path, name, (4, 2)) == (4, 2)
        assert np.array_equal(read_rgb(path, name, (4, 2)), corners())


def test_a_large_turned_jpeg_may_come_smaller_but_never_below_what_is_asked(file):
    path, name = file(Image.fromarray(corners(800, 400)), ".jpg", exif=exif(6))
    assert probe(path, name) == (400, 800)
    assert read_rgb(path, name, (400, 800), (90, 90)).shape == (200, 100, 3)
    assert read_rgb(path, name, (400, 800), (399, 100)).shape == (800, 400, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_is_no_exif(file):
    path, name = file(Image.fromarray(corners()), ".jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert probe(path, name) == (4, 2)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", ".jpg"), ("P", ".png"), ("P", ".gif"), ("L", ".jpg"), ("1", ".png"), ("LA", ".png"), ("RGBA", ".png")],
)
def test_modes_become_rgb(file, mode, suffix):
    grey = np.full((20, 30, 3), 200, dtype=np.uint8)
    grey[:, :15] = 0
    path, name = file(Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE), suffix)
    pixels = read_rgb(path, name, probe(path, name))
    assert pixels.shape == (20, 30, 3)
    assert abs(int(pixels[10, 3].max())) < 8
    assert pixels[10, 25].min() > 190


def test_a_palette_with_transparency_keeps_its_colours(file):
    image = Image.fromarray(corners()).quantize(4)
    path, name = file(image, transparency=bytes([0, 255, 255, 255]))
    assert np.array_equal(read_rgb(path, name, (4, 2)), np.asarray(image.convert("RGB")))
    assert read_alpha(path, name).min() == 0


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_upper_eight(file, suffix):
    path, name = file(Image.fromarray(np.array([[0, 255, 256, 65535]], dtype=np.uint16)), suffix)
    assert read_rgb(path, name, (4, 1))[0, :, 0].tolist() == [0, 0, 1, 255]


def test_sixteen_bit_colour_is_read(file):
    import cv2

    deep = np.full((3, 5, 3), (65535, 256 * 40, 0), dtype=np.uint16)  # OpenCV's order: blue first
    path, name = file(cv2.imencode(".png", deep)[1].tobytes())
    assert read_rgb(path, name, (5, 3))[0, 0].tolist() == [0, 40, 255]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_of_an_animation_the_first_frame_is_read(file, suffix):
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    path, name = file(
        frames[0], suffix, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {})
    )
    assert read_rgb(path, name, probe(path, name))[3, 3].tolist() == [255, 0, 0]


def test_one_pixel_is_an_image(file):
    path, name = file(Image.new("RGB", (1, 1), (9, 8, 7)))
    assert probe(path, name) == (1, 1)
    assert read_rgb(path, name, (1, 1)).tolist() == [[[9, 8, 7]]]


def huge_png(side):
    """A PNG that says it is huge; nobody may try to decode it."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


@pytest.mark.parametrize("warned", ["error", "ignore"])
@pytest.mark.parametrize(("side", "got"), [(9_000, "81"), (10_000, "100"), (30_000, "900")])
def test_a_hundred_megapixels_are_refused_before_decoding(file, side, got, warned):
    path, name = file(huge_png(side))
    with warnings.catch_warnings():
        warnings.simplefilter(warned, Image.DecompressionBombWarning)
        assert error_of(probe, path, name) == (
            f"photo.png: expected at most 64 megapixels, got {got}; make a smaller copy"
        )


def test_the_limit_itself_is_allowed(file, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 8)
    path, name = file(Image.fromarray(corners()))
    assert probe(path, name) == (4, 2)


def jpeg(width=64, height=48):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_file_that_is_cut_short_is_refused(file):
    path, name = file(jpeg()[:-500], ".jpg")
    assert error_of(probe, path, name) == (
        "photo.jpg: expected a whole image, got one that is cut short or damaged (OSError); restore it or leave it out"
    )


def test_a_file_torn_in_its_middle_is_refused_though_it_ends_well(file):
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    path, name = file(Image.fromarray(noise))
    whole = bytearray(path.read_bytes())
    del whole[len(whole) // 3 : 2 * len(whole) // 3]
    path.write_bytes(whole)
    got = "expected a whole image, got one that is cut short or damaged (OSError); restore it or leave it out"
    assert error_of(probe, path, name) == f"{name}: {got}"
    assert error_of(read_rgb, path, name, (60, 40)) == f"{name}: {got}"


def test_bytes_after_the_end_do_not_matter(file):
    path, name = file(jpeg() + bytes(3000), ".jpg")
    assert probe(path, name) == (64, 48)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"<html>not found</html>", "bytes that no decoder knows (UnidentifiedImageError)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "bytes that no decoder knows (UnidentifiedImageError)"),
    ],
)
def test_what_is_no_image_is_refused(file, content, got):
    path, name = file(content, ".jpg")
    assert error_of(probe, path, name) == f"photo.jpg: expected an image file, got {got}; restore it or leave it out"


def test_a_missing_file_is_named(tmp_path):
    assert error_of(probe, tmp_path / "x.png", "x.png") == (
        f"x.png: expected an image file, got nothing at {tmp_path / 'x.png'}; restore it or leave it out"
    )


def test_another_size_than_annotated_is_refused(file):
    path, name = file(Image.fromarray(corners()))
    assert error_of(probe, path, name, (5, 2)) == (
        "photo.png: expected the annotated size 5x2, got 4x2; the annotations belong to another copy of this image"
    )


def test_floating_point_pixels_are_read_from_0_to_1(file):
    grey = np.array([[0, 0.5, 1]], dtype=np.float32)
    path, name = file(Image.fromarray(grey), ".tif")
    assert read_rgb(path, name, probe(path, name))[..., 0].tolist() == [[0, 128, 255]]
    for function in (probe, lambda *args: read_rgb(*args, (3, 1))):
        assert error_of(function, *file(Image.fromarray(grey * 300 - 5), ".tif")) == (
            "photo.tif: expected integer pixels or floating-point ones from 0 to 1, got -5 to 295; save it with 8 or 16 bits"
        )


def test_heic_is_named_and_other_bytes_of_that_name_are_read(file):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert error_of(probe, *file(heic, ".heic")) == (
        "photo.heic: expected an image file, got HEIC, which is not read; convert it to JPEG or PNG"
    )
    assert probe(*file(Image.fromarray(corners()), ".heic", format="JPEG")) == (4, 2)


@pytest.mark.parametrize("head", [b"\xff\x0a\0\0", b"\0\0\0\x0cJXL \r\n\x87\n"])
def test_jpeg_xl_is_named_and_not_passed_over(file, head):
    assert ".jxl" in IMAGE_SUFFIXES
    assert error_of(probe, *file(head, ".jxl")) == (
        "photo.jxl: expected an image file, got JPEG XL, which is not read; convert it to JPEG or PNG"
    )


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".avif", ".png", ".jpg"])
def test_every_format_is_turned_by_exif_alike(file, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((32, 48, 3), dtype=np.uint8)
    pixels[:16, :24] = 255
    path, name = file(Image.fromarray(pixels), suffix, exif=exif, quality=95)
    size = probe(path, name)
    read = read_rgb(path, name, size)[..., 0] > 127
    assert size == ((32, 48) if orientation >= 5 else (48, 32))
    corner = {1: (4, 4), 3: (-4, -4), 6: (4, -4), 8: (-4, 4)}[orientation]
    assert read[corner]
    assert abs(int(read.sum()) - 16 * 24) < 40


def test_alpha_is_read_and_missed(file):
    pixels = np.dstack([corners(), np.array([[0, 9, 200, 255]] * 2, dtype=np.uint8)])
    path, name = file(Image.fromarray(pixels))
    assert np.array_equal(read_alpha(path, name), pixels[..., 3])
    path, name = file(Image.fromarray(corners()))
    assert error_of(read_alpha, path, name) == (
        "photo.png: expected an alpha channel that cuts the object out, got mode RGB; "
        "save it as an RGBA PNG, or put a mask file beside it"
    )


def test_mask_files_give_their_numbers(file):
    numbers = np.array([[0, 1, 2, 255]], dtype=np.uint8)
    image = Image.fromarray(numbers)
    assert np.array_equal(read_values(*file(image)), numbers)
    image.putpalette(list(range(256)) * 3)
    assert image.mode == "P"
    assert np.array_equal(read_values(*file(image)), numbers)
    assert read_values(*file(b"P4\n4 1\n\x60", ".pbm")).tolist() == [[255, 0, 0, 255]]  # in a PBM, 1 is black
    many = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    assert error_of(read_values, *file(Image.fromarray(many))) == (
        "photo.png: expected a mask of at most 255 colours, got 900; save it as an 8-bit PNG, not as JPEG"
    )


@pytest.mark.parametrize(
    ("colours", "numbers"),
    [
        ([(0, 0, 0), (128, 0, 0), (0, 128, 0), (224, 224, 192)], [0, 1, 2, 255]),
        ([(0, 0, 0), (1, 1, 1), (7, 7, 7)], [0, 1, 7]),
        ([(0, 0, 0), (3, 200, 9), (255, 0, 0)], [0, 1, 2]),
    ],
)
def test_a_mask_that_lost_its_palette_gives_numbers_again(file, colours, numbers):
    image = Image.fromarray(np.array([colours], dtype=np.uint8))
    assert read_values(*file(image)).tolist() == [numbers]


LARGE = (4096, 4096)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Files of 17 megapixels: Pillow decodes those below 16, OpenCV plain ones above."""
    folder = tmp_path_factory.mktemp("large")
    coarse = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    photo = Image.fromarray(coarse).resize(LARGE, Image.Resampling.BILINEAR)
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "plain.jpg", quality=80)
    photo.save(folder / "turned.jpg", quality=80, exif=turned)
    photo.save(folder / "progressive.jpg", quality=80, progressive=True)
    photo.convert("L").save(folder / "grey.jpg", quality=80)
    photo.save(folder / "plain.png", compress_level=1)
    photo.save(folder / "plain.webp", quality=50, method=0)
    photo.convert("RGBA").save(folder / "see_through.png", compress_level=1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["plain.jpg", "turned.jpg", "progressive.jpg", "grey.jpg", "plain.png", "plain.webp", "see_through.png"],
)
def test_large_images_have_pillows_pixels(large, name):
    pixels = read_rgb(large / name, name, probe(large / name, name))
    with Image.open(large / name) as image:
        assert np.array_equal(pixels, np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


PEAK = """
import sys
from pathlib import Path
import cv2
from terse.sources.decode import probe, read_rgb

def peak_bytes():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10

path = Path(sys.argv[1])
read_rgb(Path(sys.argv[2]), "small", probe(Path(sys.argv[2]), "small"))
open("/proc/self/clear_refs", "w").write("5")
before = peak_bytes()
read_rgb(path, path.name, probe(path, path.name))
print((peak_bytes() - before) / 1e6)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no peak of memory to read: /proc is missing")
@pytest.mark.parametrize("name", ["plain.jpg", "turned.jpg", "progressive.jpg", "plain.png"])
def test_the_largest_image_takes_less_than_400_mb(tmp_path, name):
    coarse = np.random.default_rng(0).integers(0, 255, (250, 250, 3)).astype(np.uint8)
    photo = Image.fromarray(coarse).resize((8000, 8000), Image.Resampling.BILINEAR)
    turned = Image.Exif()
    turned[0x0112] = 6 if name == "turned.jpg" else 1
    more = {"compress_level": 1} if name.endswith("png") else {"progressive": name == "progressive.jpg", "quality": 80}
    photo.save(tmp_path / name, exif=turned, **more)
    Image.fromarray(coarse).save(tmp_path / f"small{Path(name).suffix}")
    command = [sys.executable, "-c", PEAK, tmp_path / name, tmp_path / f"small{Path(name).suffix}"]
    used = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    assert float(used.stdout) < 400


def test_an_image_that_takes_more_to_decode_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("terse.sources.decode.MAX_BYTES", 69_000)
    Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError) as caught:
        probe(tmp_path / "a.png", "a.png")
    assert str(caught.value) == (
        "a.png: expected at most 0.069 MB of memory to decode it, got 0 for 0 megapixels of its kind; make a smaller "
        "copy, or save it as a baseline JPEG or a PNG without alpha"
    )
