import pytest

from mcuformer_tflm.bench.operators import compare


@pytest.fixture(scope="module")
def figures(quantized, fashion_mnist):
    images = fashion_mnist.test_images[:4]
    rows = compare(quantized, images, fashion_mnist.labels, lambda *_: None)
    return {(row.case, row.metric): row.value for row in rows}


@pytest.mark.parametrize(
    ("case", "limit"),
    [
        ("layer_norm/3_iterations", 0.56),
        ("layer_norm/4_iterations", 0.51),
        ("layer_norm/converged", 0.51),
        ("gelu", 0.5001),
        ("attention", 2.5),
        ("mean_pool", 0.6),
    ],
)
def test_every_operator_stays_near_float64_on_real_images(figures, case, limit):
    assert 0.15 < figures[case, "error_mean"] < 0.4
    assert 0.4 < figures[case, "error_max"] <= limit
