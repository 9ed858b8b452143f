"""Some of Fashion-MNIST as a folder of images, a folder a class, as one's own would lie.

    python examples/make_clothes_pictures.py pictures --pictures 300

It takes the first pictures of each class that the data set trains on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import PIL.Image

from mcuformer_tflm.data import fashion_mnist


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=300, help="of each class")
    arguments = parser.parse_args()
    data = fashion_mnist()
    for index, label in enumerate(data.labels):
        folder = arguments.folder / label.replace("/", "-").replace(" ", "-").lower()
        folder.mkdir(parents=True, exist_ok=True)
        images = data.train_images[data.train_classes == index]
        for number, image in enumerate(images[: arguments.pictures]):
            PIL.Image.fromarray(image[:, :, 0]).save(folder / f"{number:05}.png")
    print(f"Written to {arguments.folder}: {len(data.labels)} classes.")


if __name__ == "__main__":
    main()
