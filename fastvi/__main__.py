"""``python -m fastvi``: the main job on real data; ``info``, ``gallery``, ``warm``, ``examples``:
versions, figures, compiling, programs."""

import argparse
import importlib
import pathlib
import sys
import time
import webbrowser

from .estimators.elbo import elbo
from .estimators.gradient import elbo_gradient
from .estimators.kl import kl_divergence
from .examples.models import eight_schools, launches
from .info import show_versions
from .results import shown_khat, with_error

SHOWN = {"eight schools": ("mu", "tau")}  # of the parameters, where not all are of interest
PROGRAMS = (
    "linear_vae", "selection", "mixture", "ising", "topics", "bayesian_neural_net", "vae", "helmholtz",
    "deep_belief_net", "boltzmann",
)  # fmt: skip
# All that the main job runs, so that it can say how far compiling is
KERNELS = (
    *("way back, 32", "evaluation at points", "merger", "score merger", "path results"),
    "values, float64",
    *(f"mean_field, {what}" for what in ("transform", "float64, scores", "float64, paths")),
    *(f"full_rank, {what}" for what in ("transform", "float64, scores", "float64, paths")),
)
NEXT = f"""
next
  python -m fastvi gallery --open   figures with their numbers, as a page (pip install 'fastvi[plot]')
  python -m fastvi warm             compile all other kernels now
  python -m fastvi examples NAME    programs that end with a number that is known:
                                    {", ".join(PROGRAMS)}
  help(fastvi.Target), help(fastvi.fit), help(fastvi.diagnose)   a model of your own"""
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


def say(text: str) -> None:
    """A line on the terminal that the next one replaces; nothing where nobody looks."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def gallery(out: str | None, open_: bool) -> int:
    """One page, or a folder of pictures where ``out`` is not called .html; shown if asked for."""
    from .examples.page import FIGURES, folder, page

    def tell(name):
        say(f"drawing {list(FIGURES).index(name) + 1} of {len(FIGURES)}: {FIGURES[name][0]}")

    place = pathlib.Path("gallery.html" if out is None else out)
    as_page = place.suffix in (".html", ".htm")
    try:
        files = [page(place, tell=tell)] if as_page else folder(place, tell=tell)
    except ImportError as missing:
        print(f"fastvi: error: {missing}", file=sys.stderr)
        return 1
    finally:
        say("")
    print(*files, sep="\n")
    if open_:
        webbrowser.open((files[0] if as_page else place).resolve().as_uri())
    return 0


def run(num_samples: int, rng: int, num_threads: int | None) -> int:
    """The main job: two tables, and what to do next."""
    if sys.stderr.isatty():
        from .warm import prepare

        prepare(KERNELS, lambda number, count: say(f"compiling {number} of {count}, once per machine"))
        say("")
    fits: dict = {}
    print(table([HEADER, *rows(num_samples, rng, num_threads, fits)]))
    print(
        f"\n{num_samples:,} draws for each number, ± one standard error, in nats; identical for any number of threads."
    )
    print("q is the best of its family. k-hat: below 0.5 good, to 0.7 usable.")
    for name, found in fits.items():
        print(f"\n{name}, by the full-rank q:\n{found.summary(names=SHOWN.get(name))}")
    if sys.stdout.isatty():
        print(NEXT)
    return 0


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
        help="run the job (default), print versions, draw the lecture's figures, compile all kernels, run a program",
    )
    parser.add_argument("name", nargs="?", choices=PROGRAMS, help="of the program, with examples")
    parser.add_argument("--out", help="page of the gallery (default gallery.html), or a folder for pictures")
    parser.add_argument("--open", action="store_true", help="show the gallery in a browser")
    parser.add_argument("--num-samples", type=int, default=1_000_000, help="draws for each estimate (default 1000000)")
    parser.add_argument("--rng", type=int, default=0, help="seed (default 0)")
    about = "threads, or processes that compile; all CPUs by default"
    parser.add_argument("--num-threads", type=int, default=None, help=about)
    options = parser.parse_args(arguments)
    if options.num_threads is not None and options.num_threads < 1:
        parser.error(f"--num-threads: expected at least 1, got {options.num_threads}")
    if (options.command == "examples") != (options.name is not None):
        parser.error(f"expected: python -m fastvi examples {' | '.join(PROGRAMS)}")
    if (options.out is not None or options.open) and options.command != "gallery":
        parser.error(f"--out, --open: of the gallery only, got {options.command}")
    if options.command == "info":
        show_versions()
        return 0
    if options.command == "gallery":
        return gallery(options.out, options.open)
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
    return run(options.num_samples, options.rng, options.num_threads)


if __name__ == "__main__":
    raise SystemExit(main())
