"""Numbers: traced IR, fused multiply-add and bits, exp and log, triangular products, functions for densities."""
