"""Progress bars."""

from mcuformer_tflm.search.progress import Report, progress_bars

__all__ = ["Report", "progress_bars"]
