"""A small data set of drawn pictures, with and without a figure, laid out as Visual Wake Words.

    python examples/make_person_pictures.py build/persons --pictures 1000

It writes train/person, train/notperson, val/person and val/notperson. The pictures are drawn, not
photographs: they prove that everything runs, and nothing about finding people.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from rich.progress import track

WIDTH, HEIGHT = 160, 120


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=1000, help="of each class, to train on")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for part, count in (("train", arguments.pictures), ("val", max(1, arguments.pictures // 5))):
        for label in ("person", "notperson"):
            folder = arguments.folder / part / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in track(range(count), f"{part}/{label}"):
                drawing = part == "val", label == "person", number
                rng = np.random.default_rng([arguments.seed, *drawing])
                drawn(rng, label == "person").save(folder / f"{number:05}.jpg", quality=90)


def drawn(rng: np.random.Generator, person: bool) -> PIL.Image.Image:
    """Returns a picture of things, a figure among them or not."""
    sky, ground = (rng.integers(0, 256, 3) for _ in range(2))
    horizon = rng.integers(HEIGHT // 3, HEIGHT)
    scene = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    scene[:horizon], scene[horizon:] = sky, ground
    image = PIL.Image.fromarray(scene)
    draw = PIL.ImageDraw.Draw(image)
    things = int(rng.integers(2, 6))
    figure_at = int(rng.integers(things + 1)) if person else -1
    for place in range(things + 1):
        if place == figure_at:
            figure(draw, rng)
        else:
            thing(draw, rng)
    image = image.filter(PIL.ImageFilter.GaussianBlur(float(rng.uniform(0, 1.2))))
    noise = rng.normal(0, rng.uniform(1, 12), (HEIGHT, WIDTH, 3))
    return PIL.Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def thing(draw: PIL.ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draws a box, a ball, a pole or a tree: parts like those of a figure, but no figure."""
    x, y = rng.integers(0, WIDTH), rng.integers(HEIGHT // 4, HEIGHT)
    size, colour = rng.integers(8, 36), colour_of(rng)
    match rng.integers(4):
        case 0:
            draw.rectangle((x, y - size, x + size * rng.uniform(0.5, 2), y), fill=colour)
        case 1:
            draw.ellipse((x, y - size, x + size, y), fill=colour)
        case 2:
            draw.line((x, y - 2 * size, x, y), fill=colour, width=int(rng.integers(2, 6)))
        case _:
            draw.rectangle((x - size / 8, y - size, x + size / 8, y), fill=colour)
            crown = [(x, y - 2.5 * size), (x - size, y - size), (x + size, y - size)]
            draw.polygon(crown, fill=colour_of(rng))


def figure(draw: PIL.ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draws a head, a trunk, two arms and two legs."""
    height = rng.uniform(45, 100)
    # Loaders cut the middle out.
    x, feet = rng.uniform(35, WIDTH - 35), rng.uniform(max(height, 70), HEIGHT)
    skin, clothes, trousers = colour_of(rng), colour_of(rng), colour_of(rng)
    head, neck, hip = 0.09 * height, feet - 0.82 * height, feet - 0.47 * height
    limb = max(2, round(0.06 * height))
    for side in (-1, 1):
        spread = side * height * rng.uniform(0.03, 0.16)
        draw.line((x + 0.3 * spread, hip, x + spread, feet), fill=trousers, width=limb + 1)
        swing, reach = side * rng.uniform(0.2, 2.4), 0.36 * height
        shoulder = neck + 0.04 * height
        hand = (x + reach * math.sin(swing), shoulder + reach * math.cos(swing))
        draw.line((x + side * 0.08 * height, shoulder, *hand), fill=clothes, width=limb)
    half = 0.1 * height
    draw.rounded_rectangle((x - half, neck, x + half, hip), radius=half / 2, fill=clothes)
    draw.ellipse((x - head, neck - 2 * head, x + head, neck), fill=skin)


def colour_of(rng: np.random.Generator) -> tuple[int, int, int]:
    """Returns any colour."""
    red, green, blue = (int(x) for x in rng.integers(0, 256, 3))
    return red, green, blue


if __name__ == "__main__":
    main()
