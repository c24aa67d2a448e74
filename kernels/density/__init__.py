"""A user's function as a C function of a tile of draws, with or without its gradient."""
