"""What a sweep accumulates: moments, score sums, pathwise sums, and the control variate it subtracts."""
