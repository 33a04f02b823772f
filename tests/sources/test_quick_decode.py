"""The raster path's pixels: those of `read_rgb`, on which the index stands, whatever the file."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.sources.banks import PhotoBackgrounds
from terse.sources.byte_views import bytes_of_backgrounds
from terse.sources.decode import read_rgb
from terse.sources.folder import read_folder
from terse.sources.quick_decode import read_bgr

ROWS, COLUMNS = np.mgrid[:48, :64]
COLOURS = np.dstack([COLUMNS * 4, 255 - ROWS * 5, ROWS * 2 + COLUMNS * 2]).astype(np.uint8)
OPACITY = Image.fromarray(((COLUMNS * 7 + ROWS * 3) % 256).astype(np.uint8))
PHOTO = Image.fromarray(COLOURS)
SEE_THROUGH = PHOTO.copy()
SEE_THROUGH.putalpha(OPACITY)
SHARP = {".jpg": {"quality": 95, "subsampling": 0}, ".png": {}, ".webp": {"lossless": True, "exact": True}}
ONE_OF_THREE = {"save_all": True, "default_image": True, "append_images": [PHOTO.rotate(180), PHOTO.rotate(90)]}
XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/>'


def exif(orientation, kind=3, order="II"):
    """An orientation as EXIF has it, or as a number of another kind and order of bytes, which cameras write too."""
    end = "<" if order == "II" else ">"
    value = struct.pack(end + {3: "HH", 4: "I", 1: "Bxxx"}[kind], *[orientation, 0][: 2 if kind == 3 else 1])
    return order.encode() + struct.pack(end + "HIHHHI", 42, 8, 1, 0x0112, kind, 1) + value + bytes(4)


def png(*chunks, behind=()):
    """A PNG of the photograph with chunks before and behind its pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in COLOURS)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *COLOURS.shape[1::-1], 8, 2, 0, 0, 0))
    parts = [header, *(chunk(*one) for one in chunks), chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, *(chunk(*one) for one in behind), chunk(b"IEND", b"")])


def raw_profile():
    """EXIF as ImageMagick wrote it before PNG had a chunk for it."""
    data = b"Exif\0\0" + exif(3)
    return zlib.compress(f"\nexif\n{len(data):8}\n{data.hex()}\n".encode())


def check(path, tolerance=0):
    """The raster path reads what training reads."""
    bank = bytes_of_backgrounds(PhotoBackgrounds(read_folder(path.parent), (), canvas_px=16))
    assert len(bank) == 1
    size_px = bank.size_px(0)
    expected = read_rgb(path, path.name, size_px)
    found = bank.image(0, size_px)[..., ::-1]
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side", [64, 48], ids=["wide", "square"])
def test_files_are_upright(tmp_path, suffix, orientation, side):
    data = Image.Exif()
    data[0x0112] = orientation
    PHOTO.crop((0, 0, side, 48)).save(tmp_path / f"a{suffix}", exif=data, **SHARP.get(suffix, {}))
    check(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("kind", [3, 4, 1])
@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("prefix", [b"Exif\0\0", b""], ids=["named", "bare"])
def test_an_orientation_counts_as_training_reads_it_however_it_is_written(tmp_path, suffix, kind, order, prefix):
    PHOTO.save(tmp_path / f"a{suffix}", exif=prefix + exif(3, kind, order), **SHARP[suffix])
    check(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_xmp_turns_too(tmp_path, suffix):
    PHOTO.save(tmp_path / f"a{suffix}", xmp=XMP, **SHARP[suffix])
    assert not np.array_equal(read_rgb(tmp_path / f"a{suffix}", "a", (64, 48)), COLOURS)
    check(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(
    "chunk",
    [
        (b"eXIf", exif(3)),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        (b"zTXt", b"Raw profile type exif\0\0" + raw_profile()),
        (b"tEXt", b"Comment\0Orientation 3"),
    ],
    ids=["exif", "xmp", "raw profile", "comment"],
)
@pytest.mark.parametrize("behind", [False, True])
def test_whatever_stands_about_the_pixels_of_a_png(tmp_path, chunk, behind):
    (tmp_path / "a.png").write_bytes(png(behind=[chunk]) if behind else png(chunk))
    check(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("image", "suffix", "options"),
    [
        (PHOTO.convert("CMYK"), ".jpg", SHARP[".jpg"]),
        (PHOTO.convert("L"), ".jpg", SHARP[".jpg"]),
        (PHOTO, ".jpg", {"progressive": True}),
        (PHOTO.quantize(16), ".png", {"transparency": 3}),
        (PHOTO.quantize(4), ".png", {"bits": 2}),
        (PHOTO, ".png", {"transparency": tuple(COLOURS[5, 5].tolist())}),
        (PHOTO.convert("1"), ".png", {}),
        (SEE_THROUGH, ".png", {}),
        (SEE_THROUGH.convert("LA"), ".png", {}),
        (SEE_THROUGH, ".webp", SHARP[".webp"]),
        (PHOTO, ".webp", {"quality": 80}),
        (PHOTO, ".png", ONE_OF_THREE),
        (PHOTO, ".webp", {**SHARP[".webp"], "save_all": True, "append_images": [PHOTO.rotate(180)]}),
        (SEE_THROUGH, ".tif", {}),
        (PHOTO.convert("CMYK"), ".tif", {}),
        (Image.merge("LAB", PHOTO.split()), ".tif", {}),
        (SEE_THROUGH, ".jp2", {}),
        (PHOTO, ".gif", {}),
        (PHOTO, ".bmp", {}),
        (Image.fromarray(COLUMNS.astype(np.uint16) * 1000), ".png", {}),
        (Image.fromarray(COLUMNS.astype(np.uint16) * 1000), ".tif", {}),
    ],
    ids=lambda value: getattr(value, "mode", None) or (value if isinstance(value, str) else "-".join(value)),
)
def test_modes_have_the_colours_that_training_reads(tmp_path, image, suffix, options):
    image.save(tmp_path / f"a{suffix}", **options)
    check(tmp_path / f"a{suffix}", tolerance=1 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_pixels_that_were_annotated_unturned_stay_so(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    PHOTO.save(path, exif=exif(6) if suffix == ".webp" else b"Exif\0\0" + exif(6), **SHARP[suffix])
    for size_px in ((64, 48), (48, 64)):
        assert np.array_equal(read_bgr(path, "a", size_px)[..., ::-1], read_rgb(path, "a", size_px))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_file_that_is_cut_short_is_told_as_training_tells_it(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    PHOTO.save(path, **SHARP[suffix])
    path.write_bytes(path.read_bytes()[:-200])
    told = []
    for read in (read_rgb, read_bgr):
        with pytest.raises(DataError) as error:
            read(path, "a", (64, 48))
        told.append(str(error.value))
    assert told[0] == told[1]
