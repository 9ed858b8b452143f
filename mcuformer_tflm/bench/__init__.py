"""Benchmarks: each suite is a module of that name with ``run(progress) -> list[Row]``."""

SUITES: tuple[str, ...] = (
    "accuracy", "firmware", "kernels", "memory", "operators", "quantization", "search",
)  # fmt: skip
