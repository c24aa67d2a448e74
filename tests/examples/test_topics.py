"""Topics of the Bible: scikit-learn's score, a bound by ``elbo``, and a better one."""

import numpy as np
import pytest

from fastvi.__main__ import main
from fastvi.examples import topics


@pytest.fixture(scope="module")
def chapters():
    return topics.split()


def by_sections(C):
    """q(beta) of topics that are the tenths of the book"""
    return np.stack([topics.WORDS + part.sum(axis=0) for part in np.array_split(C, topics.TOPICS)])


def test_the_counts_are_those_of_the_book():
    """1189 chapters, in the first of which "God" stands 32 times"""
    C, words, names = topics.bible()
    assert C.shape == (1189, 1000) == (len(names), len(words)) and C.sum() == 182_219
    assert (names[0], names[-1]) == ("Genesis 1", "Revelation 22")
    assert C[0, list(words).index("god")] == 32


def test_elbo_is_the_closed_form_and_summing_out_is_better(chapters):
    trained, held_out = chapters
    found = topics.bounds(held_out[:40], by_sections(trained), 400, num_threads=1)
    assert abs(found.with_z.value - found.closed) < 1e-6 and found.with_z.standard_error < 1e-6
    assert found.summed.value - 5 * found.summed.standard_error > found.closed
    assert found.of_topics > 0.0


@pytest.mark.slow
def test_the_bound_is_scikit_learns_score(chapters):
    """``score`` of scikit-learn 1.9.1's LatentDirichletAllocation(10, doc_topic_prior=0.1, topic_word_prior=0.05) whose
    ``components_`` are these, of the chapters trained on and of those held out; its local q's stop at 1e-3"""
    C, held_out = chapters
    found = topics.train(C, passes=15)
    B, less = topics.exp_mean_log(found), topics.of_topics(found)
    bound = (topics.local(C, B).closed - less) / C.sum()
    assert bound > -6.00 and abs(bound + 984078.2033330323 / 164_712) < 1e-3
    assert abs((topics.local(held_out, B).closed - less + 121736.70978525263) / held_out.sum()) < 1e-3


def test_it_prints_its_topics(chapters, capsys, monkeypatch):
    monkeypatch.setattr(topics, "split", lambda: (chapters[0][:30], chapters[1][:10]))
    assert main(["examples", "topics", "--num-samples", "8192", "--num-threads", "1"]) == 0
    assert "z summed out" in capsys.readouterr().out
