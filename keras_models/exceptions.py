"""Exceptions that name what was wrong, where, and what to do about it."""


class McuformerError(Exception):
    """Base of every error that this package raises for bad input or a bad environment."""


class ConfigError(McuformerError, ValueError):
    """A field of a configuration has a value that is not allowed."""


class BudgetError(McuformerError):
    """Nothing in the search space fits the memory of the board."""


class DataError(McuformerError):
    """A data set is missing, damaged, or of the wrong shape or dtype."""


class CheckpointError(McuformerError):
    """A checkpoint is damaged, belongs to another network, or cannot be written."""


class DivergedError(McuformerError):
    """Training reached a loss that is no number."""


class SearchError(McuformerError):
    """Every trial of a search failed."""


class ModelError(McuformerError):
    """A ``.tflite`` file is damaged, foreign, or not one that this package can run."""


class PlanError(McuformerError):
    """A memory plan would let two live buffers share bytes, or leaves the arena."""


class RuntimeVersionError(McuformerError):
    """The installed TFLM is not one that our operators can be registered with."""


class ToolchainError(McuformerError):
    """The cross compiler is missing or failed."""


class EmulatorError(McuformerError):
    """A kernel misbehaved on the emulated Cortex-M."""


class QuantizationWarning(UserWarning):
    """Quantization goes on, but something about the network or the data will cost accuracy."""


class DataWarning(UserWarning):
    """A data set is read, but something in its files is passed over or missing."""
