"""Benchmarks: each suite is a module of that name with ``run(progress) -> list[Row]``."""

SUITES: tuple[str, ...] = ("figure3", "kernels", "memory", "operators", "search")
