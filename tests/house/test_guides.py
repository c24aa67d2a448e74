"""The guides, which are the README.md of every folder: what they link to exists, they are short, their examples run."""

import contextlib
import io
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = [ROOT / name for name in ("fastvi", "kernels", "tests", "benchmarks")]
GUIDES = sorted(page for folder in FOLDERS for page in folder.rglob("README.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GUIDES]
SENDS_ELSEWHERE = {"bridges", "execution"}  # their snippets are for other libraries and processes: see test_readme
SNIPPET = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def shown(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """What GitHub makes of headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_every_package_has_a_guide():
    packages = {path.parent for path in (ROOT / "fastvi").rglob("__init__.py")}
    assert {page.parent for page in GUIDES} >= packages | set(FOLDERS)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_a_guide_is_short(page):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= (200 if page == PAGES[0] else 250)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        place, _, anchor = target.partition("#")
        there = page.parent / place if place else page
        assert target.startswith("http") or there.exists(), target
        if anchor and not target.startswith("http"):
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_paths_exist(page):
    """Names of files and folders in backquotes, from the top, from fastvi/, or anywhere below the page's folder."""
    made = {"before.json", "run.json", "fit.npz", "page.html", "captions.md", "translate-1-cpu.json"}
    for text in re.findall(r"`([^`\n]+)`", prose(page)):
        for path in re.findall(r"^[\w./*-]+(?:\.(?:py|md|json|toml)|/)$", text) if " " not in text else ():
            if path in made or "<" in path:
                continue
            below = page.parent.rglob(path.rstrip("/")) if not path.startswith("..") else ()
            assert any((place / path).exists() for place in (ROOT, page.parent, ROOT / "fastvi")) or any(below), path


@pytest.fixture(scope="module")
def example():
    """What the main README's example leaves behind."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    scope = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "README.md", "exec"), scope)
    return scope


def words_and_numbers(text):
    return NUMBER.sub("#", text).split(), [float(n.replace(",", "")) for n in NUMBER.findall(text)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [p for p in GUIDES if SNIPPET.search(p.read_text(encoding="utf-8")) and p.parent.name not in SENDS_ELSEWHERE],
    ids=shown,
)
def test_snippets_print_what_the_guide_shows(page, example):
    """One after the other, after the main README's; numbers to 5 %, as a fit's last digits belong to the machine."""
    scope = dict(example)
    for code, text in SNIPPET.findall(page.read_text(encoding="utf-8")):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, shown(page), "exec"), scope)
        (words, numbers), (expected, close) = words_and_numbers(out.getvalue()), words_and_numbers(text)
        assert words == expected and numbers == pytest.approx(close, rel=0.05, abs=1e-4, nan_ok=True), out.getvalue()
