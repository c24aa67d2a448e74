"""The README's picture, drawn from a saved run: what peers take, as multiples of fastvi's time.

python benchmarks/picture.py benchmarks/run-1-cpu.json > benchmarks/speed.svg
"""

import json
import math
import pathlib
import sys

from report import NAMES, groups, ratio_of, seconds

# The README's six rows, by the group's name in the run
ROWS = {
    "standard normal d=100: elbo": "standard normal, d = 100",
    "funnel d=10: leave_one_out": "funnel, d = 10, score gradient",
    "eight schools: elbo": "eight schools, d = 10",
    "logistic N=200 d=10: pathwise": "logistic, 200 × 10, pathwise gradient",
    "logistic N=10,000 d=200: elbo": "logistic, 10,000 × 200",
    "full rank d=400: leave_one_out": "full-rank q, d = 400, score gradient",
}
COLOURS = {"numpy": "#8c6d1f", "jax": "#1f77b4", "torch": "#c2410c", "numpyro": "#15803d"}
LEFT, RIGHT, TOP, STEP, RADIUS = 340, 770, 58, 30, 5.5
TICKS = (0.5, 1, 2, 5, 10, 20)
TEXT = 'font-family="system-ui, sans-serif" font-size="13"'
GREY = "#6b7280"  # readable on white and on black


def across(ratio: float) -> float:
    """Where a ratio lies, on a logarithmic axis."""
    low, high = math.log(TICKS[0]), math.log(TICKS[-1])
    return LEFT + (RIGHT - LEFT) * (math.log(ratio) - low) / (high - low)


def words(x: float, y: float, text: str, anchor: str = "start", colour: str = GREY) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" {TEXT}>{text}</text>'


def svg(run: dict) -> str:
    """The whole picture."""
    found = groups(run)
    bottom = TOP + STEP * len(ROWS)
    lines = [words(12, 20, "Time for the same estimate, as a multiple of fastvi's (one CPU, log scale)")]
    for k, (side, colour) in enumerate(COLOURS.items()):
        x = LEFT + 100 * k
        lines += [f'<circle cx="{x}" cy="36" r="{RADIUS}" fill="{colour}"/>', words(x + 10, 40, NAMES[side])]
    for tick in TICKS:
        x, width = across(tick), 2 if tick == 1 else 0.5
        lines.append(f'<path d="M{x:.1f} {TOP - 8}V{bottom - 8}" stroke="{GREY}" stroke-width="{width}"/>')
        lines.append(words(x, bottom + 10, "fastvi" if tick == 1 else f"{tick:g}x", "middle"))
    for k, (group, name) in enumerate(ROWS.items()):
        y, medians = TOP + STEP * k + STEP / 2 - 8, found[group]
        lines.append(words(LEFT - 12, y + 4, f"{name}: {seconds(medians['fastvi'])}", "end"))
        for side, colour in COLOURS.items():
            ratio = ratio_of(medians, side)
            if ratio:
                lines.append(f'<circle cx="{across(ratio):.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}"/>')
    size = f'width="{RIGHT + 30}" height="{bottom + 22}" viewBox="0 0 {RIGHT + 30} {bottom + 22}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n' + "\n".join(lines) + "\n</svg>\n"


if __name__ == "__main__":
    sys.stdout.write(svg(json.loads(pathlib.Path(sys.argv[1]).read_text())))
