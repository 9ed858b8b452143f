import dataclasses

import pytest
from example import run_example

from mcuformer_tflm import data as datasets


@pytest.mark.usefixtures("op_by_op")
def test_search_on_fashion_mnist_chooses_a_subnet(tmp_path, capsys, monkeypatch, fashion_mnist):
    few = dataclasses.replace(
        fashion_mnist,
        train_images=fashion_mnist.train_images[:512],
        train_classes=fashion_mnist.train_classes[:512],
    )
    monkeypatch.setattr(datasets, "fashion_mnist", lambda: few)
    printed = run_example(
        capsys, "search_fashion_mnist.py", "--images", "512", "--starts", "1",
        "--steps", "1", "--population", "4", "--generations", "1", "--directory", tmp_path,
    )  # fmt: skip
    assert "Results summary" in printed
    assert "Eq. 5 of the paper" in printed
