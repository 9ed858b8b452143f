"""Networks from checkpoints that other programs wrote."""
