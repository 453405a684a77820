# SPDX-License-Identifier: Apache-2.0
"""A language model in use: what it writes, what it scores, what it attends to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.data import Vocabulary
from memjax.models import LanguageModel
from memjax.recipes import LanguageConfig, Reader, TextFiles
from memjax.recipes.language import TrainedLanguageModel
from memjax.recipes.language_program import build_language_program

WORDS = Vocabulary(("<eos>", "<unk>", "a", "b", "c"))


def make_trained(core, **settings):
    """Untrained."""
    config = LanguageConfig(TextFiles(), core, features=3, hidden_features=4, **settings)
    program = build_language_program(config, WORDS)
    state = nnx.state(LanguageModel(WORDS.num_words, 3, 4, core=core, rngs=nnx.Rngs(0)), nnx.Param)
    params = jax.tree.map(lambda leaf: 4 * leaf[None], nnx.to_pure_dict(state))
    return TrainedLanguageModel(config, WORDS, program, params)


def make_reader(core, **settings):
    return Reader(make_trained(core, **settings))


@pytest.fixture(scope="module")
def reader():
    return make_reader("lstmn")


def test_it_goes_on_with_a_sentence(reader):
    one, same, other = (reader.generate("a zebra", max_words=8, seed=seed) for seed in (0, 0, 1))
    assert one == same != other and one.startswith("a zebra")
    assert set(one.split()) <= {"zebra", "<unk>", "a", "b", "c"}
    assert len(one.split()) <= 10


@pytest.mark.thorough
def test_low_temperatures_and_the_best_word_alone_are_greedy(reader):
    cold = reader.generate(max_words=8, temperature=1e-4, seed=3)
    assert cold == reader.generate(max_words=8, top_k=1, seed=4)


@pytest.mark.thorough
def test_scores_are_those_of_the_model(reader):
    scored = reader.score("c A zebra")
    assert scored.words == ("c", "a", "<unk>", "<eos>")  # in lower case where only that is known
    ids = WORDS.encode(("<eos>", "c", "a", "<unk>", "<eos>"))
    found = jax.nn.log_softmax(reader.model(jnp.asarray(ids[:-1])[None])[0])
    np.testing.assert_allclose(scored.log_probs, found[jnp.arange(4), jnp.asarray(ids[1:])], rtol=1e-5)
    np.testing.assert_allclose(scored.perplexity, np.exp(-np.mean(scored.log_probs)))
    assert [each.words for each in reader.score_all(["a", "b b"])] == [("a", "<eos>"), ("b", "b", "<eos>")]


@pytest.mark.thorough
@pytest.mark.parametrize("settings", [{}, {"tape": "carried", "window": 4, "batch_size": 2}])
def test_scores_of_a_text_are_its_perplexity(settings):
    """Sentences by themselves, or each after those before it: as evaluation reads them."""
    trained = make_trained("lstmn", **settings)
    text = ["a b c", "c", "b zebra a a a b", "a"] * 40  # more windows than are read at once
    scored = Reader(trained).score_all(text)
    assert [each.words[:-1] for each in scored[:2]] == [("a", "b", "c"), ("c",)]
    nats = -np.mean([log_prob for each in scored for log_prob in each.log_probs])
    (perplexity,) = trained.evaluate([sentence.split() for sentence in text])["perplexity"]
    np.testing.assert_allclose(np.exp(nats), perplexity, rtol=1e-4)
    same = scored[4].log_probs == pytest.approx(scored[0].log_probs, abs=1e-6)
    assert same == (not settings), "a carried tape knows what came before"


@pytest.mark.thorough
def test_attention_is_over_the_words_before(reader):
    words, maps = reader.attention("a b c")
    assert words == ("<eos>", "a", "b", "c") and maps.shape == (1, 4, 4)
    assert not np.triu(maps).any()
    np.testing.assert_allclose(maps[:, 1:].sum(axis=2), 1, rtol=1e-5)


def test_bad_input_is_said(reader):
    with pytest.raises(ValueError, match="temperature: expected a number above 0, got 0"):
        reader.generate(temperature=0)
    with pytest.raises(ValueError, match="max_words: expected an integer of at least 1, got 0"):
        reader.generate(max_words=0)
    with pytest.raises(ValueError, match="core: expected an LSTMN to show the attention of, got another one"):
        make_reader("lstm").attention("a")
