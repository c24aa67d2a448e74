"""Compiler options, spelled once.

A *routine* is a plain Python function of scalars or tiles that kernels inline.  A *kernel* is what Python calls:
compiled once per signature, released from the GIL and kept on disk for the next process.
"""

import contextlib
import functools
import hashlib
import pathlib
import warnings

from llvmlite import binding, ir
from numba import cfunc, njit, types
from numba.core import config, event
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_jitable

from .interrupts import compiling

# What a user's log density may assume of floating point: multiply-adds may be fused.  Never nnan or ninf, as the checks
# for non-finite values must survive, and never arcp, which makes 0 / 1e-310 a NaN.
DENSITY_FASTMATH = {"contract"}


def routine(function):
    """Let kernels inline this function by its name.

    ``error_model="numpy"`` belongs to the callee in Numba: without it each division carries a branch that keeps
    loops from vectorising.  No fastmath, so that explicit ``fma`` gives the same bits on every machine.
    """
    return register_jitable(error_model="numpy", forceinline=True)(function)


@functools.cache
def source_stamp() -> int:
    """A hash of every kernel source file.

    Numba's disk cache looks at one file's time stamp and at the closure of the cached function.  Each kernel closes
    over this number, so editing any routine in any file makes a new cache entry instead of running the old code.  This
    file must therefore stay at the top of kernels/: the folder that is hashed is its own, with all below it.
    """
    digest = hashlib.blake2b(digest_size=7)
    folder = pathlib.Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        try:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
        except OSError:  # a zipped install: it cannot change under a running process
            continue
    return int.from_bytes(digest.digest(), "little")


def kernel(signature_, function):
    """Compile ``function`` for one signature, from the disk cache where there is one.

    No place to keep a cache is no error, and a damaged cache file is replaced with a warning.
    """
    return _cached(
        lambda **options: njit(signature_, nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options), function
    )


@contextlib.contextmanager
def compilations(begins):
    """Call ``begins()`` as often as Numba starts to compile: where the disk cache has the code, it does not."""

    class Begins(event.Listener):
        def on_start(self, event):
            begins()

        def on_end(self, event):
            pass

    with event.install_listener("numba:compile", Begins()):
        yield


def named(thing, *name):
    """An intrinsic or a helper that cached kernels close over, known to the cache by a name of its own.

    Numba would write a random number into the key of the cache, and no process would find what another has compiled.
    """
    thing._reduce_states = lambda: {"name": name}
    return thing


def c_kernel(signature_, function):
    """The same as a C function, to be called by its address."""
    return _cached(lambda **options: cfunc(signature_, error_model="numpy", **options), function)


def _cached(decorator, function):
    with compiling():
        return _cached_unheld(decorator, function)


def _cached_unheld(decorator, function):
    try:
        return decorator(cache=True)(function)
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
        return decorator()(function)
    except Exception as error:  # a truncated file may surface as almost anything
        try:
            njit(cache=True)(function)._cache.flush()
            compiled = decorator(cache=True)(function)
        except Exception:
            compiled = decorator()(function)
        warnings.warn(
            f"fastvi could not read a compiled kernel from the disk cache ({type(error).__name__}: {error}); it was "
            "compiled again",
            RuntimeWarning,
            stacklevel=3,
        )
        return compiled


def template(function, targets=("cpu", "cuda")):
    """Add a Numba typing template for ``function``, which may be any global callable."""

    def decorate(cls):
        # ahead of Numba's own, which are many for an operator: it sorts by how specific they are to a target
        for target in targets:
            ours = type(cls.__name__, (cls,), {"key": function, "metadata": {"target": target}})
            infer_global(function, types.Function(ours))
        return cls

    return decorate


def primitive(function, result, emit, arguments):
    """Make ``function(*arguments)`` one inlined instruction sequence in compiled code.

    ``arguments`` are Numba types, ``result`` the type returned, ``emit(builder, *values)`` writes the LLVM IR.
    """

    @template(function)
    class Template(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == len(arguments) and not kws:
                if all(self.context.can_convert(a, t) is not None for a, t in zip(args, arguments, strict=True)):
                    return signature(result, *arguments)

    @lower_builtin(function, *arguments)
    def lower(context, builder, sig, args):
        return emit(builder, *args)


def widest_vectors():
    """Let the loops of the calling function use the CPU's full vector width.

    LLVM prefers 256-bit vectors on most AVX-512 CPUs; the integer rounds of Philox lose a third of their speed by it.
    """


def on_gpu(builder) -> bool:
    """Whether the code being written is for a GPU, whose LLVM knows less."""
    return builder.module.triple.startswith("nvptx")


def use_widest(builder):
    """The same for the function that is being written."""
    if not on_gpu(builder):
        # llvmlite knows no string attributes; the set behind its check holds them all the same
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
    return ir.Constant(ir.IntType(8).as_pointer(), None)


primitive(widest_vectors, types.none, use_widest, ())


@intrinsic
def call_density(typingctx, address, z, dim, width, data, log_p, gradient, scratch, scratch_bytes):
    """Call a log density by its address: see ``density.abi`` for the contract."""

    def codegen(context, builder, sig, args):
        word, real = ir.IntType(64), ir.DoubleType().as_pointer()
        kinds = [real, word, word, word, real, real, word, word]
        function = builder.inttoptr(args[0], ir.FunctionType(word, kinds).as_pointer())
        pointers = [
            context.make_array(sig.args[k])(context, builder, args[k]).data
            if isinstance(sig.args[k], types.Array)
            else builder.inttoptr(args[k], real)
            if kinds[k - 1] == real and not isinstance(sig.args[k], types.CPointer)
            else args[k]
            for k in range(1, len(args))
        ]
        return builder.call(function, pointers)

    arguments = [
        types.int64 if isinstance(a, types.Integer) else a
        for a in (address, z, dim, width, data, log_p, gradient, scratch, scratch_bytes)
    ]
    return signature(types.int64, *arguments), codegen


@intrinsic
def call_with_words(typingctx, address, words):
    """Call a C function of 64-bit words, given as a tuple, by its address; it returns a float64."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)] * len(words))
        given = [builder.extract_value(args[1], k) for k in range(len(words))]
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), given)

    return signature(types.float64, types.int64, types.UniTuple(types.int64, len(words))), codegen


@intrinsic
def words_at(typingctx, address):
    """A pointer to the 64-bit words at an address."""

    def codegen(context, builder, sig, args):
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return signature(types.CPointer(types.int64), types.int64), codegen


def raise_error(context, builder, kind, message):
    """Leave the function that is being written with an exception."""
    convention = getattr(getattr(context, "fndesc", None), "call_conv", None)  # where numba-cuda keeps it
    (convention or context.call_conv).return_user_exc(builder, kind, (message,))


def host_cpu() -> tuple[str, set[str]]:
    """LLVM's name for this CPU and the features that compiled code may use."""
    name, features = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if features is not None:
        return name or binding.get_host_cpu_name(), {f[1:] for f in features.split(",") if f.startswith("+")}
    return binding.get_host_cpu_name(), {f for f, on in binding.get_host_cpu_features().items() if on}


def has_wide_registers() -> bool:
    """Whether vectors of 64 bytes are one register, of which there are 32."""
    return "avx512f" in host_cpu()[1]


WITHOUT_FMA = "no fused multiply-add in hardware: some 30 times slower than a CPU that has it"


def has_fma() -> bool:
    """Whether compiled code may use fused multiply-add; without it LLVM calls a function of libm for each."""
    return bool({"fma", "fma4", "neon", "asimd", "fp-armv8", "vfp4"} & host_cpu()[1])


def cache_folder() -> str | None:
    """Where compiled kernels are kept for the next process, or None."""
    try:
        return str(njit(cache=True)(host_cpu).stats.cache_path)
    except RuntimeError:
        return None
