"""An interpreter of PTX: it runs compiled CUDA kernels on NumPy arrays where there is no GPU.

Each kernel becomes Python source, a statement an instruction.  The threads of a block are generators that stop at
barriers, and every load and store is checked against the arrays that were passed.  It knows the instructions that these
kernels use and refuses any other.
"""

import ctypes
import ctypes.util
import itertools
import math
import re
import struct

import numpy as np

libm = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
libm.fma.restype, libm.fma.argtypes = ctypes.c_double, [ctypes.c_double] * 3
libm.fmaf.restype, libm.fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3

INSTRUCTION = re.compile(r"(?:@(!?)(%p\d+)\s+)?([a-z][\w.]*)\s*(.*)", re.S)


def instructions(text):
    """(guard, register, opcode, operands) of each instruction of a kernel, and its labels as strings."""
    body = text[text.index("{", text.index(".entry")) + 1 : text.rindex("}")]
    body = re.sub(r"//.*", "", body)
    for piece in re.split(r";|(?<=:)\s*\n", body):
        piece = piece.strip(" \t\n{}") if piece.strip().startswith(("{", "}")) else piece.strip()
        if piece.endswith(":"):
            yield piece[:-1]
            continue
        while (label := re.match(r"([\w$]+):\s*", piece)) and not piece.startswith("@"):
            yield label.group(1)
            piece = piece[label.end() :]
        if piece and not piece.startswith((".", "{", "}")):
            guard, register, opcode, rest = INSTRUCTION.fullmatch(piece).groups()
            yield guard, register, opcode, operands(rest)


def operands(text):
    """Operands apart; a vector in braces or an address in brackets is one."""
    return [part.strip() for part in re.findall(r"\s*(\{[^}]*\}|\[[^\]]*\]|[^,]+)", text) if part.strip()]


# ---- operations, by names that the generated source uses
def signed(x, bits=64):
    x &= (1 << bits) - 1
    return x - (1 << bits) if x >> (bits - 1) else x


def divide(a, b):
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


def root(x):
    return math.sqrt(x) if x >= 0.0 else math.nan


def to_bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def to_double(n):
    return struct.unpack("<d", struct.pack("<Q", n))[0]


def single(x):
    """Rounded to float32: for one operation on float32 in float64 that rounds as float32 would."""
    return float(np.float32(x))


def to_bits32(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def to_single(n):
    return struct.unpack("<f", struct.pack("<I", n & 0xFFFFFFFF))[0]


def quotient(a, b):
    """Towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


COMPARE = dict(eq="==", ne="!=", lt="<", le="<=", gt=">", ge=">=", lo="<", ls="<=", hi=">", hs=">=")
UNORDERED = dict(equ="!=", neu="==", ltu=">=", leu=">", gtu="<=", geu="<")  # the opposite, negated


def constants(text):
    """(name, bytes) of each array that a kernel carries."""
    for name, size, values in re.findall(r"\.b8 ([\w$]+)\[(\d+)\] = \{([^}]*)\}", text):
        values = bytes(int(v) % 256 for v in values.split(","))
        yield name, np.frombuffer(values.ljust(int(size), b"\0"), np.uint8)


class Unknown(Exception):
    """An instruction that the interpreter does not know."""


class Kernel:
    """A kernel that can be launched on NumPy arrays."""

    def __init__(self, text):
        entry = text.index(".entry")
        self.parameters = re.findall(r"\.param \.\w+ (\S+?)[,\s]", text[entry : text.index("{", entry)] + " ")
        self.constants = dict(constants(text[:entry]))
        self.shared, self.local, place = {}, 0, 0
        for size_align, name, size in re.findall(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\]", text):
            place = -(-place // int(size_align)) * int(size_align)
            self.shared[name], place = place, place + int(size)
        self.shared_bytes = place
        depot = re.search(r"\.local \.align \d+ \.b8\s+(\w+)\[(\d+)\]", text)
        self.depot, self.local = (depot.group(1), int(depot.group(2))) if depot else (None, 0)
        self.source = self.translate(list(instructions(text)))
        scope = dict(globals())
        exec(compile(self.source, "<ptx>", "exec"), scope)
        self.thread = scope["thread"]

    def translate(self, entries):
        labels = {"": 0}
        for entry in entries:
            if isinstance(entry, str):
                labels[entry] = len(labels)
        lines = [
            "def thread(m, param, symbol, sreg):",
            " if False: yield",
            " block = 0",
            " while True:",
            "  if block == 0:",
        ]
        ended = False
        for entry in entries:
            if isinstance(entry, str):
                if not ended:
                    lines.append(f"   block = {labels[entry]}")
                lines.append(f"  if block == {labels[entry]}:")
                lines.append("   pass")
                ended = False
                continue
            guard, register, opcode, arguments = entry
            try:
                statement = self.statement(opcode, arguments, labels)
            except (KeyError, ValueError, NotImplementedError, AttributeError) as error:
                raise Unknown(f"{opcode} {arguments}") from error
            if register:
                statement = f"if {'not ' if guard else ''}{register[1:]}: {statement}"
            lines.append(f"   {statement}")
            ended = not register and opcode.split(".")[0] in ("bra", "ret")
        return "\n".join(lines) + "\n"

    def value(self, text):
        """An operand as Python source."""
        if re.fullmatch(r"%(rd|rs|r|fd|f|p|SP|SPL|temp)\d*", text):
            return text[1:]
        if text.startswith("%"):
            return f"sreg[{text!r}]"
        if text.startswith("0d"):
            return f"to_double(0x{text[2:]})"
        if text.startswith("0f"):
            return f"to_single(0x{text[2:]})"
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)U?", text):
            return str(int(text.rstrip("U"), 0) % 2**64)
        return f"symbol[{text!r}]"

    def address(self, text):
        base, _, offset = text[1:-1].replace(" ", "").partition("+")
        return f"{self.value(base)} + {offset or 0}"

    def statement(self, opcode, arguments, labels):
        name, *parts = opcode.split(".")
        kind = parts[-1] if parts else ""
        if name == "bra":
            return f"block = {labels[arguments[0]]}; continue"
        if name == "ret":
            return "return"
        if name in ("bar", "barrier"):
            return "yield"
        if name == "ld" and parts[0] == "param":
            return f"{arguments[0][1:]} = param[{arguments[1].strip('[]')!r}]"
        if name in ("ld", "st"):
            vector, pointer = arguments if name == "ld" else arguments[::-1]
            registers = operands(vector.strip("{}")) if vector.startswith("{") else [vector]
            size, place = int(re.sub(r"\D", "", kind)) // 8, self.address(pointer)
            moves = [
                f"{r[1:]} = m.load({place} + {k * size}, {kind!r})"
                if name == "ld"
                else f"m.store({place} + {k * size}, {kind!r}, {self.value(r)})"
                for k, r in enumerate(registers)
            ]
            return "; ".join(moves)
        if opcode == "mov.b64" and arguments[0].startswith("{"):
            low, high = operands(arguments[0].strip("{}"))
            word = self.value(arguments[1])
            word = f"to_bits({word})" if arguments[1].startswith("%fd") else word
            return f"{low[1:]}, {high[1:]} = {word} & 0xFFFFFFFF, {word} >> 32"
        if opcode == "mov.b64" and arguments[1].startswith("{"):
            low, high = map(self.value, operands(arguments[1].strip("{}")))
            word = f"({high} << 32 | {low} & 0xFFFFFFFF) & {2**64 - 1}"
            return f"{arguments[0][1:]} = " + (f"to_double({word})" if arguments[0].startswith("%fd") else word)
        target, values = arguments[0], [self.value(a) for a in arguments[1:]]
        return f"{target[1:]} = {self.expression(name, parts, kind, target, arguments[1:], values)}"

    def expression(self, name, parts, kind, target, raw, v):
        floating, bits = kind.startswith("f"), int(re.sub(r"\D", "", kind) or 1)
        mask = (1 << bits) - 1

        def s(x):
            return f"signed({x}, {bits})" if kind.startswith("s") else x

        if name in ("mov", "cvta"):
            source = v[0]
            if target.startswith("%rd") and raw[0].startswith(("%fd", "0d")):
                return f"to_bits({source})"
            if re.match(r"%r\d", target) and raw[0].startswith(("%f", "0f")):
                return f"to_bits32({source})"
            if re.match(r"%f\d", target) and not raw[0].startswith(("%f", "0f")):
                return f"to_single({source})"
            if target.startswith("%fd") and not raw[0].startswith(("%fd", "0d")):
                return f"to_double({source})"
            return (
                f"bool({source})"
                if kind == "pred"
                else source
                if floating
                else f"{source} & {mask if mask > 1 else -1}"
            )
        if name == "setp":
            a, b = (s(x) for x in v[:2])
            how = parts[0]
            if how in ("num", "nan"):
                return f"{'' if how == 'nan' else 'not '}({a} != {a} or {b} != {b})"
            if how in UNORDERED:
                return f"not ({a} {UNORDERED[how]} {b})"
            if how == "ne" and floating:
                return f"{a} < {b} or {a} > {b}"
            return f"{a} {COMPARE[how]} {b}"
        if name == "selp":
            return f"{v[0]} if {v[2]} else {v[1]}"
        if name == "cvt":
            to, source = parts[-2], parts[-1]
            width = int(source[1:])
            if parts[0] == "rzi":  # towards zero
                return f"int({v[0]}) & {(1 << int(to[1:])) - 1}"
            x = (
                f"signed({v[0]} & {(1 << width) - 1}, {width})"
                if source.startswith("s")
                else f"({v[0]} & {(1 << width) - 1})"
            )
            if (to, source) == ("f64", "f32"):
                return v[0]
            if to.startswith("f") and not source.startswith("f"):
                return f"float({x})" if to == "f64" else f"single(float({x}))"
            if not to.startswith("f") and not source.startswith("f"):
                return f"{x} & {(1 << int(to[1:])) - 1}"
            raise NotImplementedError((name, parts))
        if kind == "pred":
            return {"and": "{} and {}", "or": "{} or {}", "xor": "{} != {}", "not": "not {}"}[name].format(*v)
        if floating:
            forms = {
                "add": "{} + {}",
                "sub": "{} - {}",
                "mul": "{} * {}",
                "neg": "-{}",
                "abs": "abs({})",
                "copysign": "math.copysign({1}, {0})",  # the sign is that of the first
                "fma": "libm.fma({}, {}, {})",
                "div": "divide({}, {})",
                "rcp": "divide(1.0, {})",
                "sqrt": "root({})",
                "min": "float(np.fmin({}, {}))",  # the number where the other is none
                "max": "float(np.fmax({}, {}))",
            }
            if bits == 32:
                return "libm.fmaf({}, {}, {})".format(*v) if name == "fma" else f"single({forms[name].format(*v)})"
            return forms[name].format(*v)
        if name == "mul" and parts[0] == "wide":
            return f"({s(v[0])} * {s(v[1])}) & {(1 << 2 * bits) - 1}"
        if name == "mul" and parts[0] == "hi":
            return f"({s(v[0])} * {s(v[1])} >> {bits}) & {mask}"
        if name == "bfi":
            field = f"((1 << {v[3]}) - 1)"
            return f"({v[1]} & ~({field} << {v[2]}) | ({v[0]} & {field}) << {v[2]}) & {mask}"
        forms = {
            "add": "{} + {}",
            "sub": "{} - {}",
            "mul": "{} * {}",
            "mad": "{} * {} + {}",
            "neg": "-{}",
            "and": "{} & {}",
            "or": "{} | {}",
            "xor": "{} ^ {}",
            "not": "~{}",
            "shl": "{} << min({}, 64)",
            "shr": "{} >> min({}, 64)",
            "min": "min({}, {})",
            "max": "max({}, {})",
            "div": "quotient({}, {})",
            "rem": "{0} - quotient({0}, {1}) * {1}",
            "abs": "abs({})",
        }
        signed_ones = ("shr", "min", "max", "div", "rem", "abs")
        return f"({forms[name].format(*(s(x) for x in v) if name in signed_ones else v)}) & {mask}"

    def launch(self, grid, threads, *arguments):
        """Run it for NumPy arrays, numbers and tuples of them."""
        memory, words = Memory(), []
        for argument in arguments:
            words += memory.words(argument)
        assert len(words) == len(self.parameters), (len(words), len(self.parameters))
        param = dict(zip(self.parameters, words, strict=True))
        for y, x in itertools.product(range(grid[1]), range(grid[0])):
            fixed = {name: memory.add(array) for name, array in self.constants.items()}
            shared = memory.add(np.full(self.shared_bytes // 8 + 1, np.nan))
            symbol = fixed | {name: shared + place for name, place in self.shared.items()}
            running = []
            for t in range(threads):
                local = memory.add(np.full(self.local // 8 + 1, np.nan)) if self.local else 0
                sreg = {"%tid.x": t, "%ctaid.x": x, "%ctaid.y": y, "%ntid.x": threads, "%nctaid.x": grid[0]}
                running.append(self.thread(memory, param, {**symbol, self.depot: local}, sreg))
            while running:
                left = [thread for thread in running if next(thread, "ended") != "ended"]
                assert len(left) in (0, len(running)), "some threads of a block wait at a barrier, others have ended"
                running = left
        return memory


REGION = 2**32
KINDS = dict(f64="<d", f32="<f", u64="<Q", s64="<q", b64="<Q", u32="<I", s32="<i", b32="<I", u8="<B", s8="<b", b8="<B")


class Memory:
    """Arrays in an address space of their own, one to a region: what lies outside of them is an error."""

    def __init__(self):
        self.regions = [None]

    def add(self, array):
        assert array.flags.c_contiguous
        self.regions.append(memoryview(array).cast("B") if array.size else memoryview(b""))
        return REGION * (len(self.regions) - 1)

    def words(self, argument):
        """An argument as a kernel's parameters, as numba-cuda flattens it."""
        if isinstance(argument, tuple):
            return [word for part in argument for word in self.words(part)]
        if isinstance(argument, np.ndarray):
            return [0, 0, argument.size, argument.itemsize, self.add(argument), *argument.shape, *argument.strides]
        return [float(argument) if isinstance(argument, float) else int(argument) & (2**64 - 1)]

    def place(self, address, size):
        region, offset = divmod(address, REGION)
        if not 0 < region < len(self.regions) or offset + size > len(self.regions[region]):
            raise IndexError(f"{size} bytes at offset {offset} of array {region}")
        return self.regions[region], offset

    def load(self, address, kind):
        form = KINDS[kind]
        value = struct.unpack_from(form, *self.place(address, struct.calcsize(form)))[0]
        return value & (2 ** (8 * struct.calcsize(form)) - 1) if kind[0] == "s" else value

    def store(self, address, kind, value):
        form = KINDS[kind.replace("s", "u")] if kind[0] == "s" else KINDS[kind]
        buffer, offset = self.place(address, struct.calcsize(form))
        struct.pack_into(
            form, buffer, offset, value if form in "<d<f" else value & (2 ** (8 * struct.calcsize(form)) - 1)
        )
