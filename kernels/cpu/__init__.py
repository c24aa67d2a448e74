"""The pipeline on a CPU, and the threads that run it."""
