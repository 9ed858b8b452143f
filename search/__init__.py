"""Search spaces, boards, the memory model and the keras-tuner oracles."""
