"""Philox4x32: a counter-based generator, a pure function from (counter, key) to four random words.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3.  Words are held in
64-bit integers between rounds: a widening product is then one instruction, and nothing is promoted behind our back.
"""

import numpy as np

from ..jit import routine

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # the golden ratio and sqrt(3) - 1
LOW_WORD, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@routine
def rounds_of(x0, x1, x2, x3, k0, k1, rounds):
    """The rounds on words that are held in 64 bits; of each result the low half counts."""
    m0, m1 = MULTIPLIERS
    w0, w1 = WEYL
    for _ in range(rounds):
        # only the low halves enter a product, so the high halves may hold what they like: a 32-bit multiply it stays
        p0 = (x0 & LOW_WORD) * m0
        p1 = (x2 & LOW_WORD) * m1
        x0 = (p1 >> HALF) ^ x1 ^ k0
        x2 = (p0 >> HALF) ^ x3 ^ k1
        x1 = p1
        x3 = p0
        k0 = (k0 + w0) & LOW_WORD
        k1 = (k1 + w1) & LOW_WORD
    return x0, x1, x2, x3


@routine
def philox4x32(counter, key, rounds=10):
    """Four uint32 words from a counter of four words and a key of two.

    Ten rounds pass BigCrush with a wide margin; seven is the least that passes it.
    """
    x0, x1, x2, x3 = np.uint64(counter[0]), np.uint64(counter[1]), np.uint64(counter[2]), np.uint64(counter[3])
    x0, x1, x2, x3 = rounds_of(x0, x1, x2, x3, np.uint64(key[0]), np.uint64(key[1]), rounds)
    return np.uint32(x0 & LOW_WORD), np.uint32(x1 & LOW_WORD), np.uint32(x2 & LOW_WORD), np.uint32(x3 & LOW_WORD)
