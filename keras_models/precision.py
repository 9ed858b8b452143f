"""In which floating point a network is computed while it trains."""

from typing import Literal

Precision = Literal["float32", "mixed_bfloat16"]
