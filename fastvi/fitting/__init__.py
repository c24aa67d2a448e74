"""Make q good: fits by several methods, their results and checkpoints, Laplace, and an objective for optimizers."""
