"""Networks to compare ours with, under one roof: the same training, the same measurement."""
