"""From whatever names a random stream to the one 64-bit key that draws are addressed by."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .checks import describe

# A stream is a word of every draw's address, so draws that play different parts are never the same: those that are
# reported, those a fit is trained on and judged by, those of a diagnosis, of a pilot, and those by which a pilot's
# choice is measured.  A mixture draws its components from the stream COMPONENT further on.
SAMPLE, FIT, FINAL, DIAGNOSE, PILOT, CHECK = range(6)
COMPONENT = 2**16
# Parts of a fit with keys of their own
RESTART, START, COMPARISON, SLOPE, STEP, CLIMB, SUBSAMPLE, ROWS = range(8)


@dataclass(frozen=True, slots=True)
class Key:
    """The 64-bit key of a result.  ``rng=result.key`` gives the same draws again."""

    word: int

    def child(self, part: int, index: int) -> "Key":
        """The key of a part of a job, such as a restart of a fit: apart from this one and from those of other parts."""
        return _from_sequence(np.random.SeedSequence([self.word, part, index]))

    def __repr__(self):
        return f"Key(0x{self.word:016x})"


RandomSource = int | Sequence[int] | np.random.SeedSequence | np.random.Generator | np.random.BitGenerator | Key | None


@functools.lru_cache(maxsize=1024)
def _from_int(seed: int) -> Key:
    return _from_sequence(np.random.SeedSequence(seed))


def _from_sequence(sequence) -> Key:
    return Key(int(sequence.generate_state(1, np.uint64)[0]))


def key_from(rng) -> Key:
    """The key named by ``rng`` (Scientific Python SPEC 7).

    int, sequence of ints, SeedSequence or None: the first 64-bit word of ``SeedSequence(rng)``, so the same call gives
    the same draws (None: fresh entropy).  Generator or BitGenerator: one 64-bit word, and it advances.  Key: itself.
    """
    if isinstance(rng, Key):
        return rng
    if isinstance(rng, bool | np.bool_ | np.random.RandomState | float | str):
        raise TypeError(f"rng: expected an int, a Generator, a SeedSequence, a Key or None, got {describe(rng)}")
    if isinstance(rng, int | np.integer):
        if rng < 0:
            raise ValueError(f"rng: expected a seed >= 0, got {rng}")
        return _from_int(int(rng))
    if isinstance(rng, np.random.Generator):
        return Key(int(rng.integers(0, 2**64, dtype=np.uint64)))
    if isinstance(rng, np.random.BitGenerator):
        return key_from(np.random.Generator(rng))
    if isinstance(rng, np.random.SeedSequence):
        return _from_sequence(rng)
    try:
        return _from_sequence(np.random.SeedSequence(rng))
    except (TypeError, ValueError) as error:
        raise TypeError(f"rng: {describe(rng)} names no random stream ({error})") from None
