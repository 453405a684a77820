# SPDX-License-Identifier: Apache-2.0
"""Models of labels: the equations; padding, no words, dropout; what fits together and what does not."""

import importlib.util
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.models import SentencePairMatcher, SequenceClassifier
from memjax.training import with_params

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference_lstmn.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

W, D, H, C = 5, 3, 4, 3
TOKENS = jnp.array([[2, 3, 6, 4], [5, 1, 0, 0]])
OTHERS = jnp.array([[4, 4, 3, 0], [2, 0, 0, 0]])
LENGTHS, OTHER_LENGTHS = jnp.array([4, 2]), jnp.array([3, 1])


def classifier(**options):
    return SequenceClassifier(W, D, H, C, rngs=nnx.Rngs(0), **{"core": "lstm", **options})


def matcher(**options):
    return SentencePairMatcher(W, D, H, C, rngs=nnx.Rngs(0), **{"core": "lstm", **options})


def numbers(*params):
    return [np.asarray(param[...], np.float64) for param in params]


def head_of(model):
    biases = model.head.biases
    for bias in biases:  # zeros would test nothing
        bias[...] = jnp.linspace(-0.1, 0.2, bias.shape[0])
    return numbers(*model.head.kernels), numbers(*biases)


def lstm_average(model, core, tokens):
    (table,), layer = numbers(model.embedding.table), core.layers[0]
    weights = numbers(layer.gates_input, layer.gates_read, layer.gates_bias)
    return reference.lstm(*weights, table[np.asarray(tokens)], np.zeros(H), np.zeros(H))[0].mean(0)


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_classifier_equals_the_equations():
    model = classifier(head_features=6)
    head = head_of(model)
    scores = model(TOKENS, LENGTHS)
    for row, length in enumerate(LENGTHS):
        close(scores[row], reference.classify([lstm_average(model, model.core, TOKENS[row, :length])], *head))


@pytest.mark.parametrize("shared", [True, False])
def test_matcher_equals_the_equations(shared):
    model = matcher(shared=shared)
    head, other = head_of(model), model.reader if shared else model.other
    scores = model(TOKENS, OTHERS, LENGTHS, OTHER_LENGTHS)
    for row in range(2):
        u = lstm_average(model, model.reader, TOKENS[row, : LENGTHS[row]])
        v = lstm_average(model, other, OTHERS[row, : OTHER_LENGTHS[row]])
        close(scores[row], reference.classify([u, v], *head))


@pytest.mark.thorough
@pytest.mark.parametrize(("fusion", "compare"), [("shallow", "concat"), ("shallow", "match"), ("deep", "concat")])
def test_fused_matcher_equals_the_equations(fusion, compare):
    model = matcher(core="lstmn", fusion=fusion, compare=compare)
    head, (table,), fused = head_of(model), numbers(model.embedding.table), model.fusion
    take = lambda module, kind: kind(  # noqa: E731
        **{
            name: None if getattr(module, name) is None else numbers(getattr(module, name))[0]
            for name in kind.__dataclass_fields__
        }
    )
    cell = take(fused.encoder.layers[0], reference.LSTMNWeights)
    inter = take(fused.inter[0] if fusion == "deep" else fused.inter, reference.SourceWeights)
    gates = numbers(fused.gate_read[0], fused.gate_input[0], fused.gate_bias[0]) if fusion == "deep" else ()
    apart = {"query": "hidden", "combine": "concat"} if compare == "match" else {}
    read = reference.deep_fusion if fusion == "deep" else partial(reference.shallow_fusion, **apart)
    scores = model(TOKENS, OTHERS, LENGTHS, OTHER_LENGTHS)
    weights = model.attention(TOKENS, OTHERS, LENGTHS, OTHER_LENGTHS)
    for row, (j, t) in enumerate(zip(LENGTHS, OTHER_LENGTHS, strict=True)):
        premise, hypothesis = table[np.asarray(TOKENS[row, :j])], table[np.asarray(OTHERS[row, :t])]
        hidden, said, maps = read(cell, cell, inter, *gates, premise, hypothesis)
        joined = [hidden.mean(0), said.mean(0)]
        if compare == "match":
            (u, v), across = (hidden.mean(0), said[:, :H].mean(0)), said[:, H:]
            words = (across, abs(said[:, :H] - across), said[:, :H] * across)
            joined = [u, v, abs(u - v), u * v, *(each.mean(0) for each in words)]
        close(scores[row], reference.classify(joined, *head))
        close(weights.inter[0, row, :t, :j], maps[2])


def test_padding_changes_nothing_and_no_words_are_zeros():
    model = classifier()
    wider = jnp.pad(TOKENS, ((0, 1), (0, 2)), constant_values=3)

    @jax.jit
    def score(params, tokens, lengths):
        return with_params(model, params)(tokens, lengths)

    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    scores = score(params, wider, jnp.array([4, 2, 0]))
    close(scores[:2], score(params, TOKENS, LENGTHS))
    close(scores[2], model.head(jnp.zeros((1, H)))[0])
    slope = jax.jit(jax.grad(lambda params: score(params, TOKENS, jnp.array([0, 2]))[0].sum()))(params)
    slope = slope["embedding"]["table"]
    assert not np.any(slope), "of a sentence without words, no vector has a slope, and none is nan"


def test_pairs_of_equal_and_of_other_width_read_alike():
    model = matcher(compare="match")
    score = jax.jit(lambda *inputs: model(*inputs))
    narrow = score(TOKENS, OTHERS[:, :3], LENGTHS, OTHER_LENGTHS)  # two scans
    close(score(TOKENS, OTHERS, LENGTHS, OTHER_LENGTHS), narrow)  # one
    assert np.isfinite(score(TOKENS, OTHERS, jnp.array([0, 1]), jnp.array([0, 0]))).all()


def test_dropout_wants_a_key():
    model = classifier(dropout=0.5, embedding_dropout=0.5, word_dropout=0.3)
    plain, dropped = jax.jit(lambda key: (model(TOKENS, LENGTHS), model(TOKENS, LENGTHS, key=key)))(jax.random.key(0))
    assert not np.allclose(plain, dropped)
    close(plain, jax.jit(lambda: classifier()(TOKENS, LENGTHS))())


def test_attention_is_of_lstmns():
    of_one = jax.eval_shape(classifier(core="lstmn", num_layers=2).attention, TOKENS, LENGTHS)
    assert of_one.shape == (2, 2, 4, 4)
    weights = jax.eval_shape(matcher(core="lstmn").attention, TOKENS, OTHERS[:, :3], LENGTHS, OTHER_LENGTHS)
    assert weights.source.shape == (1, 2, 4, 4) and weights.target.shape == (1, 2, 3, 3) and weights.inter is None
    for fail in (lambda: classifier().attention(TOKENS), lambda: matcher().attention(TOKENS, OTHERS)):
        with pytest.raises(ValueError, match="core: expected 'lstmn' for attention weights, got 'lstm'"):
            fail()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "depe"}, "fusion: expected one of .*did you mean 'deep'"),
        ({"fusion": "deep"}, "fusion: expected 'none' with core 'lstm'.*take core 'lstmn'"),
        ({"core": "gru"}, "core: expected one of"),
        ({"compare": "sum"}, "compare: expected one of"),
        ({"dropout": 1.0}, "dropout: expected a rate of at least 0 and below 1"),
        ({"head_features": 0}, "head_features: expected an integer of at least 1"),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        matcher(**options)


@pytest.mark.parametrize(("fusion", "paper"), [("none", 240_400), ("shallow", 280_500), ("deep", 330_600)])
def test_parameters_are_as_many_as_the_paper_prints(fusion, paper):
    """Its counts at h = 100 have no biases; "none" is printed as 260k, one square of 2h² more than its parts."""
    build = lambda: SentencePairMatcher(9, 300, 100, fusion=fusion, rngs=nnx.Rngs(0))  # noqa: E731
    leaves = jax.tree.leaves_with_path(nnx.to_pure_dict(nnx.state(nnx.eval_shape(build), nnx.Param)))
    counts = {jax.tree_util.keystr(path): leaf.size for path, leaf in leaves}
    weights = sum(size for name, size in counts.items() if "bias" not in name and "embedding" not in name)
    assert weights == pytest.approx(paper, abs=100)
