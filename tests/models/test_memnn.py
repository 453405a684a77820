# SPDX-License-Identifier: Apache-2.0
"""The Memory Network against the paper's equations as NumPy loops."""

import dataclasses
import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from memjax import hashing, search
from memjax.encoding import context_bags
from memjax.memory import empty, gather, oldest_slot, write
from memjax.models import MemNN, candidates_of, supporting_memory
from memjax.training import StoryBatch, make_memnn_loss, with_params

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

WORDS, FEATURES, SLOTS, SENTENCE = 9, 5, 7, 4
EXTENSIONS = [
    {"form": "nonlinear", "exact_match": "features", "hops": 3, "adaptive": True, "max_words": 2},
    {"form": "nonlinear", "exact_match": "lambda", "hops": 2},
    {"form": "multilinear", "places": 3, "hops": 2, "max_words": 2},
]
PLAIN = {"time": "signed", "adaptive": False, "exclude_found": True, "max_words": 1, "last_support": True}
OPTIONS = [
    {
        "hops": hops,
        "time": time,
        "adaptive": adaptive,
        "exclude_found": exclude,
        "max_words": words,
        "last_support": last,
    }
    for hops, time, adaptive, exclude, words, last in [
        (1, "none", False, True, 1, False),
        (2, "none", False, True, 1, True),
        (3, "none", True, True, 3, True),
        (2, "printed", False, True, 1, True),
        (2, "signed", False, False, 1, True),
        (3, "signed", True, True, 3, True),
        (4, "signed", True, False, 2, False),
        (9, "signed", False, True, 1, True),
    ]
] + [{**PLAIN, **options} for options in EXTENSIONS]


def embedding_of(words):
    """The same embedding for the reference."""
    array = lambda param: None if param is None else np.asarray(param[...])  # noqa: E731
    match = None if words.match_weight is None else float(words.match_weight[...])
    if "match" in words.roles:
        match = np.asarray(words.weights[words.roles.index("match")])
    return reference.Embedding(array(words.layer), array(words.places), match)


def build(seed, **options):
    """A model with weights large enough for choices to differ, and the same parameters for the reference."""
    model = MemNN(WORDS, FEATURES, param_dtype=jnp.float64, rngs=nnx.Rngs(seed), **options)
    state = nnx.state(model, nnx.Param)
    larger = 3 if "form" in options else 10
    nnx.update(model, jax.tree.map(lambda leaf: leaf * larger, state))
    roles = model.response.words.roles
    names = {"last_support": "last support"}
    parameters = reference.Parameters(
        U_O=np.asarray(model.output.words.weights[...]),
        T=None if model.output.time_rows is None else np.asarray(model.output.time_rows[...]),
        stop=None if model.output.stop is None else np.asarray(model.output.stop[...]),
        U_R=np.asarray(model.response.words.weights[...]),
        stop_word=None if model.response.stop_word is None else np.asarray(model.response.stop_word[...]),
        R_copies=tuple(names.get(role, role) for role in roles),
        E_O=embedding_of(model.output.words),
        E_R=embedding_of(model.response.words),
    )
    return model, parameters


def story(rng, told=SLOTS):
    sentences = rng.integers(0, WORDS + 2, (told, SENTENCE))
    return sentences, rng.integers(2, WORDS + 2, SENTENCE)


def remember(model, sentences, slots=SLOTS):
    tokens = jax.ShapeDtypeStruct((SENTENCE,), jnp.int32)
    memory = empty(slots, jax.eval_shape(model.embed, tokens), tokens)
    for sentence in jnp.asarray(sentences, jnp.int32):
        memory = write(memory, model.embed(sentence), sentence, oldest_slot)
    return memory


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("options", OPTIONS)
def test_hops_and_words_are_those_of_the_equations(options):
    model, parameters = build(1, **options)
    rng = np.random.default_rng(0)
    answer_fn = jax.jit(lambda question, memory: model(question, memory))
    chains = set()
    for told in (SLOTS, SLOTS, SLOTS, 3, 1, SLOTS + 4, 2 * SLOTS + 1):
        sentences, question = story(rng, told)
        memory = remember(model, sentences)
        answer = answer_fn(jnp.asarray(question), memory)
        rows = np.asarray(memory.values)
        found = reference.hops(
            parameters,
            question,
            rows,
            np.asarray(memory.times),
            options["hops"],
            adaptive=options["adaptive"],
            exclude_found=options["exclude_found"],
        )
        slots = [slot for slot in np.asarray(answer.hops.slots).tolist() if slot >= 0]
        assert slots == [slot for slot in found if slot >= 0]
        words = reference.respond(parameters, question, [rows[slot] for slot in slots], options["max_words"])
        assert [word for word in answer.words.tolist() if word > 0] == words
        for hop, slot in enumerate(slots):
            score = reference.s_O(parameters, question, [rows[s] for s in slots[:hop]], rows[slot])
            np.testing.assert_allclose(answer.hops.scores[hop, slot], score, rtol=1e-12)
        chains.add(tuple(slots))
    assert len(chains) > 2, "the stories must not all be answered alike"


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        pytest.param(loss, options, marks=() if (i % 2 == 0) == (loss == "softmax") else pytest.mark.thorough)
        for loss in ("hinge", "softmax")
        for i, options in enumerate(OPTIONS)
    ],
)
def test_loss_is_that_of_the_equations(options, loss):
    model, parameters = build(2, **options)
    rng = np.random.default_rng(5)
    stories = [story(rng) for _ in range(4)]
    all_supports = [rng.choice(SLOTS, num_supports, replace=False) for num_supports in range(4)]
    all_answers = [rng.integers(2, WORDS + 2, num_answers) for num_answers in (2, 1, 2, 1)]
    batch = make_batch(stories, all_supports, all_answers)
    for short in ("no_loss",) if options["exclude_found"] else ("no_loss", "repeat"):
        loss_fn = make_memnn_loss(loss=loss, negatives="all", margin=0.3, short_chains=short)
        value, metrics = jax.jit(loss_fn)(model, batch, jax.random.key(0))
        expected = [
            expected_losses(parameters, options, question, sentences, supports, answers, loss, short)
            for (sentences, question), supports, answers in zip(stories, all_supports, all_answers, strict=True)
        ]
        hops, answer = np.mean(expected, axis=0)
        np.testing.assert_allclose(metrics["hops"], hops, rtol=1e-12)
        np.testing.assert_allclose(metrics["answer"], answer, rtol=1e-12)
        np.testing.assert_allclose(value, hops + answer, rtol=1e-12)


def make_batch(stories, supports, answers):
    """Stories of `SLOTS` statements as a batch with an empty slot, and padded supports and answers."""

    def padded(rows, width, value):
        return jnp.asarray([[*row, *[value] * (width - len(row))] for row in rows], jnp.int32)

    num = len(stories)
    return StoryBatch(
        sentences=jnp.asarray(np.concatenate([np.zeros((1, SENTENCE), int), *(s for s, _ in stories)]), jnp.int32),
        slots=padded(np.arange(1, num * SLOTS + 1).reshape(num, SLOTS), SLOTS + 1, -1),
        questions=jnp.asarray([question for _, question in stories], jnp.int32),
        supports=padded(supports, 4, -1),
        answers=padded(answers, 3, 0),
    )


def expected_losses(parameters, options, question, sentences, supports, answers, loss, short):
    times = list(range(SLOTS))
    chain = reference.gold_chain(supports.tolist(), options["hops"], options["adaptive"], short)
    earlier = [chain[:hop] if options["exclude_found"] else [] for hop in range(len(chain))]
    wrong = [
        reference.all_slots_but(gold, times, options["adaptive"], before)
        for gold, before in zip(chain, earlier, strict=True)
    ]
    hops = reference.loss_O(parameters, question, sentences, times, chain, wrong, 0.3, loss)
    stop_word = options["max_words"] > 1
    words = reference.gold_words(answers.tolist(), stop_word, options["max_words"])
    wrong_words = [reference.all_words_but(word, WORDS, stop_word) for word in words]
    told = [sentences[slot] for slot in chain if slot != reference.STOP]
    return hops, reference.loss_R(parameters, question, told, words, wrong_words, 0.3, loss)


@pytest.mark.parametrize(
    "options",
    [OPTIONS[2], OPTIONS[3], OPTIONS[-3], *(pytest.param(OPTIONS[i], marks=pytest.mark.thorough) for i in (6, -2, -1))],
)
def test_gradients_agree_with_finite_differences(options):
    model, _ = build(6, **options)
    rng = np.random.default_rng(7)
    batch = make_batch([story(rng) for _ in range(2)], [[3, 1], [4]], [[5], [2, 7]])
    loss_fn = make_memnn_loss(loss="softmax", negatives="all")
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    value = jax.jit(lambda params: loss_fn(with_params(model, params), batch, jax.random.key(0))[0])
    grads = jax.grad(value)(params)
    for (path, leaf), grad in zip(jax.tree.leaves_with_path(params), jax.tree.leaves(grads), strict=True):
        assert np.abs(grad).max() > 0, f"{path} gets no gradient"
        direction = jnp.asarray(rng.standard_normal(leaf.shape))

        def along(eps, path=path, direction=direction):
            moved = jax.tree.map_with_path(lambda at, x: x + eps * direction if at == path else x, params)
            return value(moved)

        numeric = (along(1e-5) - along(-1e-5)) / 2e-5
        np.testing.assert_allclose(jnp.sum(grad * direction), numeric, rtol=1e-6, atol=1e-9)


def test_supporting_memory_is_the_first_or_the_last_found():
    model, _ = build(3)
    memory = remember(model, story(np.random.default_rng(4))[0])
    slots = jnp.array([5, 2, -1])
    np.testing.assert_array_equal(supporting_memory(memory, slots), memory.values[2])
    np.testing.assert_array_equal(supporting_memory(memory, slots, "first"), memory.values[5])
    np.testing.assert_array_equal(supporting_memory(memory, jnp.array([-1, -1])), jnp.zeros(SENTENCE))
    with pytest.raises(ValueError, match=r"which: expected one of \['first', 'last'\], got 'lst'; did you mean 'last'"):
        supporting_memory(memory, slots, "lst")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hops": 0}, "hops: expected an integer of at least 1, got 0"),
        ({"time": "sined"}, "time: expected one of .*did you mean 'signed'"),
        ({"max_words": 0}, "max_words: expected"),
        ({"features": -1}, "features: expected"),
        ({"form": "bilinear"}, "form: expected one of .*did you mean"),
        ({"form": "multilinear", "places": 0}, "places: expected"),
        ({"form": "multilinear", "exact_match": "lambda"}, "exact_match: expected 'none' with form 'multilinear'"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MemNN(WORDS, rngs=nnx.Rngs(0), **{"features": FEATURES, **options})


def test_repeating_a_memory_that_cannot_be_found_twice_is_an_error():
    model, _ = build(0, exclude_found=True)
    batch = StoryBatch(*(jnp.zeros((1, 2), jnp.int32) for _ in range(5)))
    with pytest.raises(ValueError, match="build the model with exclude_found=False"):
        make_memnn_loss(short_chains="repeat")(model, batch, jax.random.key(0))


@pytest.mark.thorough
@pytest.mark.parametrize("options", [OPTIONS[2], pytest.param(OPTIONS[4], marks=pytest.mark.thorough)])
def test_answers_are_the_same_over_any_search(options):
    model, _ = build(3, **options)
    rng = np.random.default_rng(3)
    tokens = jnp.asarray(rng.integers(2, WORDS + 2, (SLOTS, SENTENCE)), jnp.int32)
    memory = empty(SLOTS, model.embed(tokens[0]), tokens[0])
    for row in tokens[:-1]:
        memory = write(memory, model.embed(row), row, oldest_slot)
    question = jnp.asarray(rng.integers(2, WORDS + 2, 6), jnp.int32)  # longer than a statement
    plain = model(question, memory)
    one_bucket = jnp.asarray([-1, -1] + [0] * WORDS, jnp.int32)  # every statement is a candidate
    index = hashing.build(memory, one_bucket, memory.values)
    lists = hashing.build_lists(memory, memory.keys["candidate"][:2], keys_fn=candidates_of)
    for searching in (
        search.exact(SLOTS, keys_fn=candidates_of),
        search.hashed(index, SLOTS, 4 * SLOTS, keys_fn=candidates_of),
        search.probed(lists, SLOTS, 2, 1024, keys_fn=candidates_of),
    ):
        found = jax.jit(lambda question, memory, searching=searching: model(question, memory, search=searching))(
            question, memory
        )
        assert found.words.tolist() == plain.words.tolist()
        assert found.hops.slots.tolist() == plain.hops.slots.tolist()
        assert found.hops.candidates.shape == (options["hops"], SLOTS)
        np.testing.assert_allclose(found.hops.query["vector"], plain.hops.query["vector"], rtol=1e-6)
    rare = hashing.build(memory, hashing.word_buckets(WORDS + 2), memory.values)
    few = search.hashed(rare, SLOTS, SLOTS * SENTENCE, keys_fn=candidates_of)
    hops = model(jnp.array([0, 1]), memory, search=few).hops  # no word, no bucket, no candidate
    assert hops.slots.tolist() == [-1] * options["hops"]


@pytest.mark.parametrize("how", ["all", *(pytest.param(how, marks=pytest.mark.thorough) for how in ("beam", "search"))])
def test_slots_outside_the_mask_are_not_found(how):
    model, _ = build(3, beam=2 if how == "beam" else 1)
    sentences, question = story(np.random.default_rng(4))
    memory, question = remember(model, sentences), jnp.asarray(question)
    searching = search.exact(SLOTS, keys_fn=candidates_of) if how == "search" else None
    where = jnp.arange(SLOTS) != model(question, memory, search=searching).hops.slots[0]
    kept = gather(memory, jnp.where(where, jnp.arange(SLOTS), -1))
    found, expected = model(question, memory, where, searching), model(question, kept, search=searching)
    assert found.hops.slots.tolist() == expected.hops.slots.tolist()
    assert found.words.tolist() == expected.words.tolist()


def test_narrow_parameters_and_a_stop_slot_go_with_a_search():
    model = MemNN(WORDS, FEATURES, adaptive=True, hops=3, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    sentences, question = story(np.random.default_rng(4))
    memory, question = remember(model, sentences), jnp.asarray(question)
    found = model(question, memory, search=search.exact(SLOTS, keys_fn=candidates_of))
    assert found.hops.slots.shape == (3,) and found.hops.scores.dtype == jnp.float32


def test_words_of_what_was_found_are_hashed_at_the_next_hop():
    model, _ = build(3)
    memory = remember(model, [[2, 3, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]], 3)
    index = hashing.build(memory, hashing.word_buckets(WORDS + 2), memory.values)
    run = search.hashed(index, 3, 12, keys_fn=candidates_of)
    assert sorted(model(jnp.array([2, 0]), memory, search=run).hops.slots.tolist()) == [0, 1]
    first, second = model(jnp.array([2, 7]), memory, search=run).hops.candidates.tolist()
    assert set(first) - {-1} == {0, 2} <= set(second), "the question's words still count"


def test_sampled_wrong_memories_are_drawn_from_all_others():
    model, parameters = build(2, **{**PLAIN, "hops": 1})
    sentences, question = story(np.random.default_rng(5))
    batch = make_batch([(sentences, question)], [[3]], [[2]])
    loss_fn = make_memnn_loss(margin=0.3)
    keys = jax.random.split(jax.random.key(0), 300)
    drawn = jax.jit(jax.vmap(lambda key: loss_fn(model, batch, key)[1]["hops"]))(keys)
    wrong = [slot for slot in range(SLOTS) if slot != 3]
    expected = [
        reference.loss_O(parameters, question, sentences, list(range(SLOTS)), [3], [[slot]], 0.3) for slot in wrong
    ]
    np.testing.assert_allclose(np.unique(np.round(drawn, 9)), np.unique(np.round(expected, 9)))


def test_memories_of_the_same_text_are_no_wrong_choices():
    model, parameters = build(2, **{**PLAIN, "hops": 1})
    sentences, question = story(np.random.default_rng(5))
    sentences[4] = sentences[1]
    batch = make_batch([(sentences, question)], [[1]], [[2]])
    batch = dataclasses.replace(batch, slots=batch.slots.at[0, 4].set(batch.slots[0, 1]))
    loss_fn = jax.jit(make_memnn_loss(negatives="all", margin=0.3, same_text="ignored"))
    wrong = [slot for slot in range(SLOTS) if slot not in (1, 4)]
    expected = reference.loss_O(parameters, question, sentences, list(range(SLOTS)), [1], [wrong], 0.3)
    np.testing.assert_allclose(loss_fn(model, batch, jax.random.key(0))[1]["hops"], expected, rtol=1e-12)


@pytest.mark.parametrize("exact_match", ["none", "features"])
def test_unseen_words_are_the_words_around_them(exact_match):
    model = MemNN(WORDS, FEATURES, contexts=True, exact_match=exact_match, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    sentences = np.random.default_rng(1).integers(0, WORDS + 2, (6, SENTENCE))
    unseen = np.arange(WORDS) >= WORDS - 3
    bags = context_bags(jnp.asarray(sentences), WORDS, jnp.float64)
    changed = jax.jit(lambda model: nnx.to_pure_dict(nnx.state(model.with_unseen(jnp.asarray(unseen), bags))))(model)
    for part in ("output", "response"):
        words = getattr(model, part).words
        for role, rows in enumerate(changed[part]["words"]["weights"]):
            contexts = np.asarray(words.contexts[int(words.roles[role] == "match")])
            for word in range(WORDS):
                expected = words.weights[role, word]
                if unseen[word]:
                    expected = reference.unseen_word(word + 2, sentences, contexts, ~unseen)
                np.testing.assert_allclose(rows[word], expected, rtol=1e-12)
    with pytest.raises(ValueError, match="contexts: expected dictionaries with contexts=True"):
        build(0)[0].with_unseen(jnp.asarray(unseen), bags)


def test_words_that_match_and_a_search_by_embeddings_are_an_error():
    model, _ = build(0, exact_match="lambda")
    memory = remember(model, story(np.random.default_rng(0))[0])
    with pytest.raises(ValueError, match="search: expected None for a model with exact_match"):
        model(jnp.array([2, 3]), memory, search=search.exact(2, keys_fn=candidates_of))
