"""Models with their real data, and the pictures of the lecture."""
