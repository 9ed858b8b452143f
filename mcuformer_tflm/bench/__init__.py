"""Benchmarks: each suite is a module of that name with ``run(progress) -> list[Row]``."""

SUITES: tuple[str, ...] = (
    "accuracy", "cost", "faults", "figure3", "firmware", "kernels", "memory", "operators",
    "pretrained", "quantization", "search", "specialise",
)  # fmt: skip
# Those that draw a picture.
PICTURED = ("figure3", "search")
