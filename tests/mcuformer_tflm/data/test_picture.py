"""Pictures of every kind, compared with what NumPy says that they show."""

import numpy as np
import PIL.Image
import pytest

from mcuformer_tflm.data.picture import read_picture
from mcuformer_tflm.keras_models.exceptions import DataError

# What is displayed of a picture that is stored as `a`, by its EXIF orientation.
_UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}
_ORIENTATION = 0x0112


def _read(path, channels=1):
    return np.asarray(read_picture(path, channels, shorter_side=1000))


@pytest.fixture
def ramp():
    """Grey from dark to bright, of more columns than rows."""
    return np.arange(0, 252, dtype=np.uint8).reshape(14, 18)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_of_grey_become_the_nearest_of_eight(tmp_path, suffix, channels):
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    path = tmp_path / f"grey.{suffix}"
    PIL.Image.fromarray(values).save(path)
    found = _read(path, channels).reshape(256, 256, channels)
    np.testing.assert_array_equal(found, np.repeat(np.rint(values / 257)[..., None], channels, -1))


def test_sixteen_bits_of_big_endian_grey_are_turned_and_scaled_too(tmp_path, ramp):
    exif = PIL.Image.Exif()
    exif[_ORIENTATION] = 6
    image = PIL.Image.fromarray(ramp.astype(np.uint16) * 257)
    image.save(tmp_path / "little.png", exif=exif)
    big = PIL.Image.frombytes("I;16B", image.size, (ramp.astype(">u2") * 257).tobytes())
    big.save(tmp_path / "big.tif", exif=exif)
    for name in ("little.png", "big.tif"):
        np.testing.assert_array_equal(_read(tmp_path / name), np.rot90(ramp, -1))


@pytest.mark.parametrize(("dtype", "kind"), [(np.int32, "I"), (np.float32, "F")])
def test_pixels_of_unknown_full_scale_are_refused_by_name(tmp_path, ramp, dtype, kind):
    path = tmp_path / "wide.tif"
    PIL.Image.fromarray(ramp.astype(dtype)).save(path)
    assert PIL.Image.open(path).mode == kind
    with pytest.raises(DataError, match=r"wide\.tif.*full scale.*save 8 or 16 bits"):
        _read(path)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "pbm"])
def test_one_bit_is_black_and_white(tmp_path, ramp, suffix):
    path = tmp_path / f"bits.{suffix}"
    PIL.Image.fromarray(ramp > 99).save(path)
    assert PIL.Image.open(path).mode == "1"
    np.testing.assert_array_equal(_read(path), np.where(ramp > 99, 255, 0))


@pytest.mark.parametrize("orientation", _UPRIGHT)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pictures_stand_as_their_orientation_says(tmp_path, ramp, suffix, orientation):
    path = tmp_path / f"turned.{suffix}"
    exif = PIL.Image.Exif()
    exif[_ORIENTATION] = orientation
    PIL.Image.fromarray(ramp).save(
        path, exif=exif, **({"lossless": True} if suffix == "webp" else {})
    )
    np.testing.assert_array_equal(_read(path), _UPRIGHT[orientation](ramp))


def test_a_photograph_held_upright_is_shown_upright(tmp_path):
    path = tmp_path / "photo.jpg"
    exif = PIL.Image.Exif()
    exif[_ORIENTATION] = 6
    image = PIL.Image.new("RGB", (640, 480), "red")
    image.paste("blue", (0, 0, 320, 480))
    image.save(path, exif=exif, quality=95)
    # The decoder may halve it; what was left is above now.
    picture = read_picture(path, 3, shorter_side=100)
    assert picture.size == (120, 160)
    top, bottom = (np.asarray(picture)[y, 60] for y in (10, 150))
    np.testing.assert_allclose([top, bottom], [[0, 0, 255], [255, 0, 0]], atol=8)


@pytest.fixture
def sheer():
    """A colour that is opaque, half opaque and transparent from left to right."""
    image = np.zeros((8, 12, 4), np.uint8)
    image[..., :3] = 200, 100, 0
    image[..., 3] = np.repeat([255, 128, 0], 4)
    return image


def test_what_is_transparent_shows_white(tmp_path, sheer):
    PIL.Image.fromarray(sheer).save(tmp_path / "rgba.png")
    PIL.Image.fromarray(sheer).save(tmp_path / "rgba.webp", lossless=True, exact=True)
    share = sheer[..., 3:] / 255
    wanted = share * sheer[..., :3] + (1 - share) * 255
    for name in ("rgba.png", "rgba.webp"):
        np.testing.assert_allclose(_read(tmp_path / name, 3), wanted, atol=1)
    PIL.Image.fromarray(sheer[..., [1, 3]], "LA").save(tmp_path / "la.png")
    wanted = share[..., 0] * 100 + (1 - share[..., 0]) * 255
    np.testing.assert_allclose(_read(tmp_path / "la.png"), wanted, atol=1)


def test_a_colour_of_a_palette_or_of_all_colours_may_be_the_transparent_one(tmp_path):
    places = np.repeat(np.uint8([0, 1, 2]), 4)[None].repeat(8, 0)
    palette = PIL.Image.fromarray(places, "P")
    palette.putpalette([0, 0, 0, 200, 100, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.png", transparency=0)
    palette.save(tmp_path / "palette.gif", transparency=0)
    palette.convert("RGB").save(tmp_path / "colour.png", transparency=(0, 0, 0))
    wanted = np.uint8([[255, 255, 255], [200, 100, 0], [10, 20, 30]])[places]
    for name in ("palette.png", "palette.gif", "colour.png"):
        np.testing.assert_array_equal(_read(tmp_path / name, 3), wanted)
    palette.save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(_read(tmp_path / "opaque.png", 3)[0, 0], [0, 0, 0])


@pytest.mark.parametrize("colour", [0, 255])
def test_a_picture_in_the_alpha_channel_alone_is_seen(tmp_path, ramp, colour):
    image = np.full((*ramp.shape, 4), colour, np.uint8)
    image[..., 3] = ramp
    PIL.Image.fromarray(image).save(tmp_path / "alpha.png")
    # Black is seen on white, and white on black.
    wanted = 255 - ramp if colour == 0 else ramp
    np.testing.assert_allclose(_read(tmp_path / "alpha.png").astype(int), wanted, atol=1)


def test_an_alpha_channel_that_shows_nothing_at_all_is_left_out(tmp_path, ramp):
    image = np.repeat(ramp[..., None], 4, -1)
    image[..., 3] = 0
    PIL.Image.fromarray(image).save(tmp_path / "unused.png")
    np.testing.assert_array_equal(_read(tmp_path / "unused.png"), ramp)


def test_inks_are_colours(tmp_path):
    inks = np.zeros((16, 32, 4), np.uint8)
    inks[:, 16:, :2] = 255  # cyan and magenta make blue
    for name in ("inks.tif", "inks.jpg"):
        PIL.Image.fromarray(inks, "CMYK").save(tmp_path / name, quality=95)
        found = _read(tmp_path / name, 3)[8]
        np.testing.assert_allclose(found[[4, 28]], [[255, 255, 255], [0, 0, 255]], atol=12)


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_of_several_frames_the_first_is_taken(tmp_path, suffix):
    frames = [PIL.Image.new("RGB", (20, 20), (value,) * 3) for value in (40, 200, 250)]
    path = tmp_path / f"frames.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert PIL.Image.open(path).n_frames == 3
    np.testing.assert_array_equal(_read(path), 40)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "webp"])
def test_a_damaged_picture_is_named(tmp_path, ramp, suffix):
    path = tmp_path / f"damaged.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"damaged.{suffix} is no picture "):
            _read(path)
