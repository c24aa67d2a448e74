"""Draws by their address: Philox words, and standard normals from them."""
