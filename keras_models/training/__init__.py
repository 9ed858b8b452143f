"""Training of supernets and subnets: recipes, batches, checkpoints, starts."""
