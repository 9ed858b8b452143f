"""How many tokens one pass over weights may serve."""

from __future__ import annotations

from mcuformer_tflm.custom_ops.reference.dot import BLOCK_TOKENS
from mcuformer_tflm.custom_ops.reference.token_blocks import MAX_BLOCK_TOKENS
from mcuformer_tflm.keras_models.checked_values import checked_whole
from mcuformer_tflm.keras_models.exceptions import ConfigError


def checked_block_tokens(block_tokens: object) -> int:
    """Returns the tokens of a pass.

    Raises:
        ConfigError: If they are no multiple of 4, or more than the kernels take.
    """
    tokens = checked_whole("block_tokens", block_tokens, least=BLOCK_TOKENS, most=MAX_BLOCK_TOKENS)
    if tokens % BLOCK_TOKENS:
        raise ConfigError(f"block_tokens is {tokens}; it must be a multiple of {BLOCK_TOKENS}.")
    return tokens
