"""The two z[i] of ``z[i] * z[i]`` are one leaf: one entry on the tape, not two."""

import itertools
import re

from llvmlite import ir


def one_leaf(builder, sequence, index, load):
    """``load()``, or what it gave before for the same item within one block of the user's code."""
    block = builder.basic_block.name.partition(".")[0]
    if not re.fullmatch(r"B\d+", block):  # after a loop of ours the user's block has no name
        return load()
    key = (source(builder, sequence, block), source(builder, index, block), block)
    known = vars(builder.function).setdefault("fastvi_items", {})
    if key not in known:
        known[key] = load(), sequence, index  # kept alive: their identity is the key
    return known[key][0]


def source(builder, value, block):
    """What tells an LLVM value within one block of the user's code: of a variable, its place and number of stores."""
    if isinstance(value, ir.Constant):
        return str(value)
    if isinstance(value, ir.instructions.LoadInstr):
        return id(value.operands[0]), stores(builder, block).get(id(value.operands[0]), 0)
    return id(value)


def stores(builder, block):
    """How often each place was stored to in the LLVM blocks of one block of the user's code, so far."""
    seen, counts = vars(builder.function).setdefault("fastvi_stores", {}).setdefault(block, ({}, {}))
    for part_ in builder.function.blocks:
        if part_.name.partition(".")[0] == block:
            for instruction in itertools.islice(part_.instructions, seen.get(id(part_), 0), None):
                if isinstance(instruction, ir.instructions.StoreInstr):
                    place = id(instruction.operands[1])
                    counts[place] = counts.get(place, 0) + 1
            seen[id(part_)] = len(part_.instructions)
    return counts
