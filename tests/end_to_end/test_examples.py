import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_search_on_fashion_mnist_chooses_a_subnet(tmp_path):
    result = subprocess.run(
        [sys.executable, EXAMPLES / "search_fashion_mnist.py", "--images", "1280", "--starts", "1",
         "--steps", "1", "--population", "4", "--generations", "1", "--directory", tmp_path],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Results summary" in result.stdout
    assert "Eq. 5 of the paper" in " ".join(result.stdout.split())
