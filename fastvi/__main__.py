"""``python -m fastvi``: the main job on real data; ``info``, ``gallery``, ``warm``, ``examples``:
versions, pictures, compiling, programs."""

import argparse
import importlib
import time

from .estimators.elbo import elbo
from .estimators.gradient import elbo_gradient
from .estimators.kl import kl_divergence
from .examples.models import eight_schools, launches
from .info import show_versions
from .results import shown_khat, with_error

SHOWN = {"eight schools": ("mu", "tau")}  # of the parameters, where not all are of interest
PROGRAMS = ("selection",)
HEADER = ("model", "q", "ELBO", "KL(q || prior)", "|gradient|", "k-hat", "draws/s", "compiled")


def rows(num_samples, rng, num_threads, kept):
    """A row of the table for each model and family: fitted, then estimated from the same draws, timed once compiled.

    The last fit of each model is kept by its name."""
    for model in (eight_schools(), launches()):
        options = dict(rng=rng, num_threads=num_threads)
        for found in model.fitted(**options):
            q, kept[model.name] = found.q, found
            elbo(model.target, q, 10_000, **options)  # compiles
            start = time.perf_counter()
            value = elbo(model.target, q, num_samples, **options)
            rate = num_samples / (time.perf_counter() - start)
            kl = kl_divergence(q, model.prior, num_samples, **options)
            gradient = elbo_gradient(model.target, q, num_samples, **options)
            compiled = "in lanes" if model.target.density.values().vectorised else "draw by draw"
            yield (
                model.name,
                q.family.replace("_", "-"),
                with_error(value.value, value.standard_error),
                with_error(kl.value, kl.standard_error),
                with_error(*gradient.norm()),
                shown_khat(found.khat),
                f"{rate:,.0f}",
                compiled,
            )


def table(lines) -> str:
    """Aligned columns."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main(arguments=None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="fastvi", description="ELBO, KL and gradients of Gaussian approximations to two real posteriors."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["run", "info", "gallery", "warm", "examples"],
        default="run",
        help="run the job (default), print versions, draw the lecture's pictures, compile all kernels, run a program",
    )
    parser.add_argument("name", nargs="?", choices=PROGRAMS, help="of the program, with examples")
    parser.add_argument("--out", default="gallery", help="folder for the pictures (default gallery)")
    parser.add_argument("--num-samples", type=int, default=1_000_000, help="draws for each estimate (default 1000000)")
    parser.add_argument("--rng", type=int, default=0, help="seed (default 0)")
    about = "threads, or processes that compile; all CPUs by default"
    parser.add_argument("--num-threads", type=int, default=None, help=about)
    options = parser.parse_args(arguments)
    if options.num_threads is not None and options.num_threads < 1:
        parser.error(f"--num-threads: expected at least 1, got {options.num_threads}")
    if (options.command == "examples") != (options.name is not None):
        parser.error(f"expected: python -m fastvi examples {' | '.join(PROGRAMS)}")
    if options.command == "info":
        show_versions()
        return 0
    if options.command == "gallery":
        from .examples.gallery import draw

        for file in draw(options.out):
            print(file)
        return 0
    if options.command == "warm":
        from .warm import warm

        def tell(name, seconds, done, count):
            print(f"{done:>3}/{count}  {seconds:5.1f} s  {name}", flush=True)

        warm(options.num_threads, tell)
        return 0
    if options.num_samples < 1024:
        parser.error(f"--num-samples: expected at least 1024, got {options.num_samples}")
    if options.command == "examples":
        program = importlib.import_module(f"fastvi.examples.{options.name}")
        print(program.report(options.num_samples, options.rng, options.num_threads))
        return 0
    fits: dict = {}
    print(table([HEADER, *rows(options.num_samples, options.rng, options.num_threads, fits)]))
    print(
        f"\n{options.num_samples:,} draws for each number, ± one standard error, in nats; identical for any number of "
        "threads."
    )
    print("q is the best of its family. k-hat: below 0.5 good, to 0.7 usable.")
    for name, found in fits.items():
        print(f"\n{name}, by the full-rank q:\n{found.summary(names=SHOWN.get(name))}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
