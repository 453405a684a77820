# SPDX-License-Identifier: Apache-2.0
"""The loss over a knowledge base: which facts are right, which are wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax.data.facts import FactEncoder, KnowledgeGraph, build_vocabulary
from memjax.data.metaqa import Question
from memjax.models import FactMemNN
from memjax.recipes.knowledge import encode_facts, encode_questions
from memjax.training import make_facts_loss, with_params
from memjax.training.facts import _is_right

TRIPLES = [
    (f"f{i}", relation, f"{relation}{(i * (1 + len(relation))) % 5}") for i in range(6) for relation in ("a", "bb")
]
GRAPH = KnowledgeGraph.build(TRIPLES)
QUESTIONS = [
    Question("a of [f1]", ("a2",), (("a", "subject"),)),
    Question("films with [bb0]", ("f0", "f5"), (("bb", "object"),)),
    Question("a of [f2]", ("a4",), (("a", "subject"),)),
]
ENCODER = FactEncoder(GRAPH, "both", build_vocabulary(GRAPH, QUESTIONS, "both"))


@pytest.fixture(scope="module")
def batch():
    return encode_questions(ENCODER, encode_facts(ENCODER)[0], QUESTIONS, "answers", 1)


def build(seed=0):
    vocabulary = ENCODER.vocabulary
    return FactMemNN(vocabulary.num_words, ENCODER.num_trained, GRAPH.num_steps, 8, rngs=nnx.Rngs(seed))


def test_facts_are_drawn_from_the_group_and_not_found_again(batch):
    facts, entity = batch.facts, GRAPH.entity("bb0")
    (step,) = GRAPH.steps((("bb", "object"),))
    rows = set(GRAPH.rows(entity, step).tolist())
    assert len(rows) == 2
    draw = jax.jit(jax.vmap(facts.draw, in_axes=(0, None, None, None)))
    keys = jax.random.split(jax.random.key(0), 40)
    drawn, there = draw(keys, jnp.int32(entity), jnp.int32(step), jnp.array([-1, -1]))
    assert set(drawn.tolist()) == rows and there.all()
    one = min(rows)
    drawn, there = draw(keys, jnp.int32(entity), jnp.int32(step), jnp.array([one, -1]))
    assert set(drawn.tolist()) == rows - {one} and there.all()
    for where, by, found in ((entity, step, sorted(rows)), (entity, step - 1, [-1, -1]), (-1, step, [-1, -1])):
        assert not draw(keys, jnp.int32(where), jnp.int32(by), jnp.array(found))[1].any()


def test_facts_of_a_bucket_share_a_token(batch):
    tokens = batch.questions[0]
    draw = jax.jit(batch.facts.draw_bucket, static_argnums=2)
    drawn = draw(jax.random.key(0), tokens, 50)
    shared = set(tokens.tolist()) - {0, 1}
    assert all(shared & set(row.tolist()) for row in batch.facts.keys[drawn])
    assert draw(jax.random.key(0), jnp.zeros(tokens.shape, jnp.int32), 50).shape == (50,)


def test_rare_words_are_drawn_more_often_than_one_that_comes_more_often_than_there_are_facts():
    graph = KnowledgeGraph.build([("the one of the two", relation, "three") for relation in ("a", "b")])
    asked = [Question("the a of [the one of the two]", ("three",))]
    encoder = FactEncoder(graph, "words", build_vocabulary(graph, asked, "words"))
    facts, _ = encode_facts(encoder)
    often, once = encoder.vocabulary.encode(["the", "a"])
    assert facts.bucket_starts[often + 1] - facts.bucket_starts[often] > len(graph.triples) + 1
    drawn = facts.draw_bucket(jax.random.key(0), jnp.array([often, once]), 40)
    assert (drawn == 0).mean() > 0.75, "the triple with the rare word; by the other word both are alike"


def test_all_facts_that_lead_to_an_answer_are_right(batch):
    every = jnp.arange(len(TRIPLES))
    right = _is_right(batch.facts, every, batch.entities, batch.paths[:, :, 0])
    for row, question in zip(right, QUESTIONS, strict=True):
        relation, side = question.path[0]
        known = [t[1] == relation and t[0 if side == "subject" else 2] == question.entity for t in triples()]
        assert row.tolist() == known


def triples():
    return [(GRAPH.entities[s], GRAPH.relations[r], GRAPH.entities[o]) for s, r, o in GRAPH.triples.tolist()]


@pytest.mark.parametrize(("loss", "negatives"), [("softmax", "hashed"), ("hinge", "in_batch"), ("hinge", "sampled")])
def test_the_loss_falls_to_zero_where_right_facts_win(batch, loss, negatives):
    loss_fn = make_facts_loss(loss=loss, negatives=negatives, margin=0.1, num_sampled=8, num_hashed=4)
    jitted = jax.jit(lambda params: loss_fn(with_params(build(), params), batch, jax.random.key(0)))
    model = build()
    model.match_weights[...] = jnp.zeros(2)  # nothing tells right facts from wrong ones but random words
    value, metrics = jitted(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    assert metrics["hop_1"] == value > 0
    for relation, word in (("a", "of"), ("bb", "with")):  # by hand: each word of a question asks for one relation
        row, column = (ENCODER.vocabulary.encode([name])[0] - 2 for name in (word, f"relation|{relation}"))
        code = 20 * jnp.eye(8)[len(relation)]
        model.words[...] = model.words[...].at[0, row].set(code).at[1, column].set(code)
    model.match_weights[...] = jnp.array([0.0, 300.0])
    assert jitted(nnx.to_pure_dict(nnx.state(model, nnx.Param)))[0] < 1e-3


def test_questions_that_nothing_answers_are_left_out(batch):
    more = [*QUESTIONS, Question("a of [nobody]", ("a2",)), Question("a of [f1]", ("nothing",))]
    encoded = encode_questions(ENCODER, batch.facts, more, "answers", 1)
    np.testing.assert_array_equal(encoded.entities, batch.entities)
    with pytest.raises(ValueError, match="questions: expected at least one that the knowledge base answers"):
        encode_questions(ENCODER, batch.facts, more[3:], "answers", 1)


def test_switches_are_checked():
    with pytest.raises(ValueError, match="negatives: expected one of"):
        make_facts_loss(negatives="hard")
    with pytest.raises(ValueError, match="loss: expected one of"):
        make_facts_loss(loss="square")
