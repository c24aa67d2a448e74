"""The numerical half of fastvi: numbers in, numbers out, nothing here knows the public API.

The listing is the data flow: draw eps (philox, normal) -> transform z (mean_field, low_rank, full_rank) -> log p
(density, lanes) -> accumulate (moments, score) -> sweep (cpu, cuda).  Only ``jit`` spells compiler options.
"""
