"""Numpy twins: the bit-exact specification of every kernel."""
