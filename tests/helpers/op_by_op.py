"""Runs operation by operation what would be traced to a graph first."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def op_by_op():
    """Traces no ``tf.function`` inside: of a few steps, the trace is nearly all of the time.

    For tests of files, messages and decisions, which are the same either way.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
