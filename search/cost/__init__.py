"""What a network costs before it exists: arena, model file, Eq. 5, and whether it fits a board."""
