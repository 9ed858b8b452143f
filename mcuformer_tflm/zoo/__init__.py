"""Trained models that are shipped, and the recipes that made them."""
