from example import run_example


def test_search_on_fashion_mnist_chooses_a_subnet(tmp_path, capsys):
    printed = run_example(
        capsys, "search_fashion_mnist.py", "--images", "1280", "--starts", "1",
        "--steps", "1", "--population", "4", "--generations", "1", "--directory", tmp_path,
    )  # fmt: skip
    assert "Results summary" in printed
    assert "Eq. 5 of the paper" in printed
