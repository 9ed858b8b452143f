"""The layers of a vision transformer, float and as integers, one a file."""
