# SPDX-License-Identifier: Apache-2.0
"""Responders that write sentences: against the equations as loops, and against all sentences there are."""

import importlib.util
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.memory import empty, write_many
from memjax.models import MemNN, SentenceMemNN, SentenceResponder, join_sentences
from memjax.training.sentences import reply_loss

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

W, D, H, LENGTH = 3, 4, 5, 3
END = W + 2
PROMPTS = jnp.array([[2, 3, END, 4, END, 0], [3, 1, 2, 4, 3, END], [0, 0, 0, 0, 0, 0], [4, END, 0, 0, 0, 0]])
SEED = 7  # of parameters with which greedy search does not find what is best
REPLIES = jnp.array([[3, 2, 4], [2, 0, 0], [4, 1, 0], [0, 0, 0]])


def build(cell, dtype=jnp.float64):
    """A responder whose parameters matter, and the same one for the oracle."""
    module = SentenceResponder(W, D, H, cell=cell, max_words=LENGTH, param_dtype=dtype, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(SEED)
    state = nnx.state(module, nnx.Param)
    fill = lambda leaf: jnp.asarray(1.5 * rng.standard_normal(leaf.shape), dtype)  # noqa: E731
    nnx.update(module, jax.tree.map(fill, state))
    layer = module.cell if cell == "rnn" else module.cell.layers[0]
    names = ("weights_input", "weights_read", "bias") if cell == "rnn" else ("gates_input", "gates_read", "gates_bias")
    arrays = [module.words, *(getattr(layer, name) for name in names), module.output, module.output_bias]
    return module, reference.LanguageModel(*(np.asarray(array[...], float) for array in arrays))


def unpadded(rows):
    return [[int(token) for token in row if token] for row in rows]


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_scores_are_those_of_the_equations(cell):
    with jax.enable_x64(True):
        module, parameters = build(cell)
        scores = jax.jit(SentenceResponder.scores)(module, PROMPTS, REPLIES)
        for row, (prompt, reply) in enumerate(zip(unpadded(PROMPTS), unpadded(REPLIES), strict=True)):
            expected = reference.reply_log_probabilities(parameters, prompt, reply)
            np.testing.assert_allclose(scores[row], expected + [0.0] * (LENGTH + 1 - len(expected)), rtol=1e-12)


def test_the_loss_is_the_mean_over_rows_of_sums():
    with jax.enable_x64(True):
        module, parameters = build("lstm")
        rows = zip(unpadded(PROMPTS), unpadded(REPLIES), strict=True)
        sums = [sum(reference.reply_log_probabilities(parameters, prompt, reply)) for prompt, reply in rows]
        np.testing.assert_allclose(jax.jit(reply_loss)(module, PROMPTS, REPLIES), -np.mean(sums), rtol=1e-12)


def test_sentences_are_the_best_of_all():
    """The oracle tries all sentences: a beam wide enough finds the best one, a beam of 1 the greedy one."""
    with jax.enable_x64(True):
        module, parameters = build("lstm")
        greedy = jax.jit(partial(SentenceResponder.write, width=1))(module, PROMPTS)
        widest = jax.jit(partial(SentenceResponder.write, width=W**LENGTH + W**2 + W + 1))(module, PROMPTS)
    different = 0
    for row, prompt in enumerate(unpadded(PROMPTS)):
        score, best = reference.best_sentence(parameters, prompt, LENGTH)
        assert unpadded(widest.words)[row] == best
        np.testing.assert_allclose(widest.scores[row], score, rtol=1e-12)
        words = reference.greedy_sentence(parameters, prompt, LENGTH)
        assert unpadded(greedy.words)[row] == words
        different += words != best
    assert different, "where greedy search finds all that is best, a beam is not tested"


@pytest.mark.thorough
def test_padding_changes_nothing():
    module, _ = build("rnn", jnp.float32)
    graph, state = nnx.split(module)
    wider = partial(jnp.pad, pad_width=((0, 0), (0, 3)))

    @jax.jit
    @jax.value_and_grad
    def slope(state, prompts, replies):
        return nnx.merge(graph, state).scores(prompts, replies).sum()

    one, other = slope(state, PROMPTS, REPLIES), slope(state, wider(PROMPTS), wider(REPLIES))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_sentences_are_joined_in_order():
    rng = np.random.default_rng(2)
    join = jax.jit(partial(join_sentences, 9))
    for _ in range(5):
        groups = [[rng.integers(2, 9, rng.integers(0, width + 1)).tolist() for _ in range(3)] for width in (2, 4)]
        padded = [  # n-grams, ids from the mark on, are no words
            jnp.array([row + [11] * (width - len(row)) for row in group])
            for width, group in zip((2, 4), groups, strict=True)
        ]
        joined = join(*padded)
        assert joined.shape == (3 * 3 + 3 * 5,)
        expected = [token for group in groups for row in group if row for token in [*row, 9]]
        assert joined.tolist() == expected + [0] * (24 - len(expected))


@pytest.fixture(scope="module")
def model():
    writer = SentenceResponder(W, D, H, max_words=LENGTH, rngs=nnx.Rngs(1))
    return SentenceMemNN(MemNN(W, D, hops=2, exclude_found=False, rngs=nnx.Rngs(0)), writer, beam=2)


@pytest.mark.thorough
def test_a_network_writes_after_what_it_found(model):
    """A memory that both hops find is read once; without a memory it writes after the question alone."""
    sentences = jnp.array([[2, 3, 0], [4, 2, 3]])
    memory = empty(3, jax.eval_shape(model.embed, sentences[0]), sentences[0])
    answer = jax.jit(SentenceMemNN.__call__)
    written = jax.jit(partial(SentenceResponder.write, width=2))
    question = jnp.array([4, 3, 0])
    for told in range(3):
        if told:
            one = sentences[told - 1 : told]
            memory = jax.jit(write_many)(memory, jax.vmap(model.embed)(one), one)
        reply = answer(model, question, memory)
        read = [4, 3, END]
        for slot in dict.fromkeys(reply.hops.slots.tolist()):
            read += [*unpadded([sentences[slot]])[0], END] if slot >= 0 else []
        prompt = jnp.array([read + [0] * (12 - len(read))])
        assert reply.words.tolist() == written(model.writer, prompt).words[0].tolist()


def test_what_is_asked_for_is_checked(model):
    with pytest.raises(ValueError, match="cell: expected one of .*'rnn', 'lstm'.*, got 'lstmn'; did you mean 'lstm'"):
        SentenceResponder(W, D, H, cell="lstmn", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="width: expected an integer of at least 1, got 0"):
        model.writer.write(PROMPTS, width=0)
    with pytest.raises(ValueError, match=r"prompts: expected token ids .*, got shape \(6,\) of int32; one sequence is"):
        model.writer.write(PROMPTS[0])
    with pytest.raises(ValueError, match="replies: expected token ids .* of float32"):
        model.writer.scores(PROMPTS, jnp.ones((4, 3)))
    with pytest.raises(ValueError, match="writer: expected 4 words, as the network, got 3; build both"):
        SentenceMemNN(MemNN(4, D, rngs=nnx.Rngs(0)), model.writer)
