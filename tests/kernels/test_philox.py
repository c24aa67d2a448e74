"""The generator against Random123's published words, in Python and in compiled code, with its types."""

import numpy as np
import pytest
from numba import njit, types

from fastvi.kernels.random.philox import philox4x32

import naive

# Random123 (BSD-3, D. E. Shaw Research), tests/kat_vectors: rounds, counter, key, words
KNOWN = """
7  00000000 00000000 00000000 00000000 00000000 00000000 5f6fb709 0d893f64 4f121f81 4f730a48
7  ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 5207ddc2 45165e59 4d8ee751 8c52f662
7  243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 4dfccaba 190a87f0 c47362ba b6b5242a
10 00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
10 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
10 243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
""".strip().splitlines()


def parse(line):
    rounds, *words = line.split()
    words = [int(w, 16) for w in words]
    return int(rounds), tuple(words[:4]), tuple(words[4:6]), tuple(words[6:])


@njit
def compiled(counter, key, rounds):
    return philox4x32(counter, key, rounds)


@pytest.mark.parametrize("line", KNOWN)
def test_known_answers(line):
    rounds, counter, key, words = parse(line)
    assert naive.philox4x32(counter, key, rounds) == words
    assert tuple(int(w) for w in philox4x32(counter, key, rounds)) == words
    typed = compiled(tuple(map(np.uint32, counter)), tuple(map(np.uint32, key)), rounds)
    assert tuple(int(w) for w in typed) == words


def test_types_are_words_whatever_comes_in():
    word4, word2 = types.UniTuple(types.uint32, 4), types.UniTuple(types.uint32, 2)
    wide4, wide2 = types.UniTuple(types.uint64, 4), types.UniTuple(types.uint64, 2)
    for signature in ((word4, word2, types.int64), (wide4, wide2, types.int64)):
        compiled.compile(signature)
        assert compiled.overloads[signature].signature.return_type == word4


def test_ten_rounds_unless_told_otherwise():
    assert philox4x32((1, 2, 3, 4), (5, 6)) == philox4x32((1, 2, 3, 4), (5, 6), 10)
