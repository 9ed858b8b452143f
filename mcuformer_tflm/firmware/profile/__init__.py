"""Cycles that a board has told, beside counted instructions and estimates."""
