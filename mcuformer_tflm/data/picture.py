"""One picture from a file, as a network's bytes have it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from mcuformer_tflm.keras_models.exceptions import DataError
from mcuformer_tflm.keras_models.untrusted_files import MOST_PICTURE_BYTES, open_file

PICTURE_SUFFIXES = frozenset({
    ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
    ".tif", ".tiff", ".webp",
})  # fmt: skip
MODES = {1: "L", 3: "RGB"}
# From 0..65535 to 0..255, since 255 * 257 is 65535.
_STEP = 257


def read_picture(path: str | Path, channels: int, *, shorter_side: int) -> PIL.Image.Image:
    """Reads a picture, upright and opaque, with 8 bits a channel.

    It is turned as its EXIF orientation says. Of several frames the first is taken. 16-bit grey
    is scaled to 8 bits. What is transparent is laid on white; on black where nothing of it would
    show on white; and where nothing at all is opaque, the colours are taken without the
    transparency.

    Args:
        path: Of the file.
        channels: 1 (grey) or 3 (RGB).
        shorter_side: Decoders may shrink on the way, but not below this, in pixels.

    Raises:
        DataError: If it is damaged, no picture, or of pixels whose full scale is not known.
    """
    try:
        # A file, not its path: Pillow maps bare TIFFs into memory by their upright size, which
        # jumbles those that lie on their side.
        with open_file(path, MOST_PICTURE_BYTES) as file, PIL.Image.open(file) as image:
            # JPEG decoders can halve on the way, which saves most of the time.
            image.draft(None, (shorter_side, shorter_side))
            PIL.ImageOps.exif_transpose(image, in_place=True)
            return _opaque(_eight_bits(image)).convert(MODES[channels])
    except PIL.UnidentifiedImageError as error:
        raise DataError(f"{path} is no picture of a kind that Pillow knows.") from error
    # Pillow raises whatever a damaged file leads its decoders to.
    except Exception as error:
        raise DataError(f"{path} is no picture that can be read ({error}).") from error


def _eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    # Pillow keeps 16-bit grey in either mode; its own conversion would cut all above 255.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        values = np.asarray(image).astype(np.uint32)
        return PIL.Image.fromarray(((values + _STEP // 2) // _STEP).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ValueError("nothing tells the full scale of its 32-bit pixels; save 8 or 16 bits")
    return image


def _opaque(image: PIL.Image.Image) -> PIL.Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    for colour in ("white", "black"):
        background = PIL.Image.new("RGBA", image.size, colour)
        laid = PIL.Image.alpha_composite(background, image).convert("RGB")
        if laid.getextrema() != ((255, 255),) * 3:
            break
    return laid
