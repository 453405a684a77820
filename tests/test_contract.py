# SPDX-License-Identifier: Apache-2.0
"""What holds for every part: each public function is in the table, and each row keeps every promise.

Eager = jit; vmap = loop; one compilation for one shape; bfloat16 stays bfloat16; gradients = finite differences in
float64; and for what reads a memory: empty slots and an empty memory change nothing and give no NaN, in value and in
gradient, and slots can change places.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import AxisType

from memjax import addressing, encoding, hashing, losses, lstmn, models, nn, scoring, search
from memjax.memory import Memory, empty, gather, write_many

N, D, W, S = 6, 4, 7, 3
# Of recurrent parts: batch, steps, source positions, hidden features, attention features.
B, T, J, H, A = 2, 5, 4, 3, 2
# Of one device here; `tests/search/eight_devices.py` has more.
MESH = jax.make_mesh((1,), ("slots",), axis_types=(AxisType.Auto,))


@dataclasses.dataclass(frozen=True)
class Case:
    """A part as a function of arrays; `args(rng, dtype)` makes them. Gradients go to `grad`, the float arguments.

    `float32`: what it returns is float32 whatever it is given.
    """

    call: Callable[..., Any]
    args: Callable[[np.random.Generator, Any], tuple]
    grad: tuple[int, ...] = ()
    float32: bool = False


def vector(*shape):
    return lambda rng, dtype: jnp.asarray(rng.standard_normal(shape), dtype)


def integers(low, high, *shape):
    return lambda rng, dtype: jnp.asarray(rng.integers(low, high, shape), jnp.int32)


def flags(*shape):
    return lambda rng, dtype: jnp.asarray(rng.random(shape) < 0.7)


def draw(*parts):
    return lambda rng, dtype: tuple(part(rng, dtype) for part in parts)


def memory(key, value, told=N - 2):
    """N slots with `told` statements, some of which an older one made place for."""

    def make(rng, dtype):
        keys = [key(rng, dtype) for _ in range(told)]
        values = [value(rng, dtype) for _ in range(told)]
        if not told:
            return empty(N, key(rng, dtype), value(rng, dtype))
        stacked = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *items) for items in (keys, values)]
        return write_many(empty(N, keys[0], values[0]), *stacked)

    return make


def parameters(build):
    """A module's parameters as an argument, so that gradients and dtypes reach them."""

    def make(rng, dtype):
        module = build(dtype, int(rng.integers(1000)))
        return jax.tree.map(lambda leaf: leaf * 5, nnx.state(module, nnx.Param))

    return make


def with_module(build, method):
    """`method(module, *args)` as a function of parameters and args."""

    def call(state, *args):
        module = build(jax.tree.leaves(state)[0].dtype, 0)
        nnx.update(module, state)
        return method(module, *args)

    return call


def dictionaries(dtype, seed):
    return nn.Dictionaries(W, D, ("a", "b"), param_dtype=dtype, rngs=nnx.Rngs(seed))


def output_map(dtype, seed, **options):
    return models.OutputMap(W, D, param_dtype=dtype, rngs=nnx.Rngs(seed), **{"hops": 3, **options})


def responder(dtype, seed):
    return models.WordResponder(W, D, max_words=3, param_dtype=dtype, rngs=nnx.Rngs(seed))


def memnn(dtype, seed, **options):
    return models.MemNN(W, D, param_dtype=dtype, rngs=nnx.Rngs(seed), **{"hops": 3, "max_words": 2, **options})


def key_value_memnn(dtype, seed):
    return models.KeyValueMemNN(W, W - 3, D, values="B", param_dtype=dtype, rngs=nnx.Rngs(seed))


def memn2n(dtype, seed):
    return models.MemN2N(W, D, num_ages=3, nil_slots=N, param_dtype=dtype, rngs=nnx.Rngs(seed))


def sentence_responder(dtype, seed):
    return models.SentenceResponder(W, D, H, max_words=2, param_dtype=dtype, rngs=nnx.Rngs(seed))


def score_and_write(module, prompts, replies):
    return module.scores(prompts, replies), module.write(prompts, width=2)


def sentence_memnn(dtype, seed):
    return models.SentenceMemNN(memnn(dtype, seed), sentence_responder(dtype, seed))


def embedding(dtype, seed):
    return nn.Embedding(W, D, param_dtype=dtype, rngs=nnx.Rngs(seed))


def language_model(core, **options):
    def build(dtype, seed):
        return models.LanguageModel(W, D, H, core=core, param_dtype=dtype, rngs=nnx.Rngs(seed), **options)

    return build


def read_and_step(module, tokens, lengths):
    _, scores = module.step(module.start(B, T), tokens[:, 0])
    return module(tokens, lengths), scores


def fact_memnn(dtype, seed):
    return models.FactMemNN(W, W - 3, 2, D, param_dtype=dtype, rngs=nnx.Rngs(seed))


def follow_fact(module, question, found, known, keys):
    query = module.follow(module.query(question), jnp.int32(1), found, known)
    return query.embedded, module.score(query, keys), module.vector(query)


def response_memn2n(dtype, seed, places="age"):
    return models.ResponseMemN2N(W, D, num_types=2, places=places, num_places=3, param_dtype=dtype, rngs=nnx.Rngs(seed))


def candidates(rng, dtype):
    tokens, entities, types = integers(0, W + 2, 4, S), integers(-1, 3, 4, 2), integers(0, 2, 3)
    return models.Candidates(tokens(rng, dtype), entities(rng, dtype), types(rng, dtype))


def segmenter(dtype, seed):
    return models.Segmenter(W, D, longest=S, param_dtype=dtype, rngs=nnx.Rngs(seed))


def image_encoder(dtype, seed):
    return nn.ImageEncoder((3, 2), (4, 3), (2, 2), channels=2, param_dtype=dtype, rngs=nnx.Rngs(seed))


def scene_memnn(dtype, seed, encoder=True):
    encoder = image_encoder(dtype, seed) if encoder else None
    options = {"hops": 2, "score_features": 3, "encoder": encoder}
    return models.SceneMemNN(W, 3, 4, D, param_dtype=dtype, rngs=nnx.Rngs(seed), **options)


def scene_mlp(dtype, seed):
    return models.SceneMLP(W, 3, N, 4, D, hidden_features=H, param_dtype=dtype, rngs=nnx.Rngs(seed))


def see_and_answer(module, question, scene):
    return module(question, module.see(scene))


def embedded(rng, dtype):
    return {"candidate": vector(D)(rng, dtype), "support": vector(D)(rng, dtype)}


def hard_hops(select, stop, query, mem):
    return addressing.hard_hops(
        query,
        mem,
        hops=3,
        score_fn=scoring.inner_product,
        follow_fn=lambda query, key: query + 0.5 * key,
        select_fn=select,
        stop_fn=(lambda query: query.sum()) if stop else (lambda query: None),
    )


def beam_hops(query, mem):
    return addressing.beam_hops(
        query,
        mem,
        hops=3,
        width=2,
        score_fn=scoring.inner_product,
        follow_fn=lambda query, key: query + 0.5 * key,
        stop_fn=lambda query: query.sum(),
    )


def soft_hops(query, mem):
    return addressing.soft_hops(
        query,
        mem,
        hops=3,
        score_fn=lambda query, key, hop: (hop + 1) * scoring.inner_product(query, key),
        follow_fn=lambda query, read, hop: query + read,
    )


def a_row(rng, dtype):
    return {"row": integers(0, B)(rng, dtype), "age": integers(0, 4)(rng, dtype)}


def row_hops(query, mem, inputs, outputs, input_ages, output_ages):
    return addressing.row_hops(
        query,
        mem,
        [inputs] * 2,
        [outputs] * 2,
        follow_fn=lambda query, read, hop: query + read,
        input_ages=[input_ages] * 2,
        output_ages=[output_ages] * 2,
    )


def soft_memory(dtype, seed):
    return nn.SoftMemory(2 * D, D, hops=2, slots=3, param_dtype=dtype, rngs=nnx.Rngs(seed))


def lstmn_weights(rng, dtype):
    draw = lambda *shape: vector(*shape)(rng, dtype)  # noqa: E731
    gates = draw(D, 4 * H), draw(H, 4 * H)
    return lstmn.Weights(draw(H, A), draw(D, A), draw(H, A), draw(A), *gates, draw(A), draw(4 * H))


def source_weights(rng, dtype):
    draw = lambda *shape: vector(*shape)(rng, dtype)  # noqa: E731
    return lstmn.SourceWeights(draw(H, A), draw(D, A), draw(H, A), draw(A), draw(A))


def tape(rng, dtype):
    draw = lambda *shape: vector(*shape)(rng, dtype)  # noqa: E731
    return lstmn.Tape(draw(B, N, H), draw(B, N, H), draw(B, H), jnp.array([N, 2]))


def steps(rng, dtype):
    return lstmn.Steps(*(vector(B, T, H)(rng, dtype) for _ in range(3)))


def ring(rng, dtype):
    draw = lambda *shape: vector(*shape)(rng, dtype)  # noqa: E731
    return lstmn.Ring(draw(N, H), draw(N, H), draw(N, A), draw(H), jnp.int32(N + 1))


def layer(kind, **options):
    def build(dtype, seed):
        module = kind(D, H, param_dtype=dtype, rngs=nnx.Rngs(seed), **options)
        rng = np.random.default_rng(seed)  # biases of zeros would leave their gradient alone untested
        state = nnx.state(module, nnx.Param)
        fill = lambda leaf: jnp.asarray(0.2 * rng.standard_normal(leaf.shape), dtype)  # noqa: E731
        nnx.update(module, jax.tree.map(fill, state))
        return module

    return build


def sequence_classifier(dtype, seed):
    return models.SequenceClassifier(W, D, H, 3, param_dtype=dtype, rngs=nnx.Rngs(seed))


def pair_matcher(dtype, seed):
    return models.SentencePairMatcher(W, D, H, 3, fusion="deep", param_dtype=dtype, rngs=nnx.Rngs(seed))


def source_attention(dtype, seed):
    return nn.SourceAttention(D, H, A, param_dtype=dtype, rngs=nnx.Rngs(seed))


def read_source(module, hidden, cell, queries):
    return lstmn.source_scan(module.weights(queries.dtype), hidden, cell, queries)


def run_cell(module, carry, inputs):
    return module(carry, inputs)


def call_fusion(module, source, target, source_lengths, lengths):
    fused = module(source, target, source_lengths, lengths)
    return fused.source, fused.target


def batch_ring(rng, dtype):
    draw = lambda *shape: vector(*shape)(rng, dtype)  # noqa: E731
    return lstmn.Ring(draw(B, N, H), draw(B, N, H), draw(B, N, H), draw(B, H), jnp.array([N + 1, 2]))


def divided_index(rng, dtype):
    return jax.tree.map(lambda leaf: leaf[None], memory_index(rng, dtype))  # of one device


def stored(mem):
    return mem.keys, mem.values, mem.times


lengths = integers(1, T + 1, B)
scan_args = draw(lstmn_weights, vector(B, T, D), lengths, tape)
lstmn_layer, lstm_layer, lstmn_cell = layer(nn.LSTMN, span=3), layer(nn.LSTM), layer(nn.LSTMNCell, tape_length=N)
rnn_layer = layer(nn.RNN)
tied_lstmn = language_model("lstmn", tied=True)
shallow, deep = layer(nn.ShallowFusion, recurrent_query=True), layer(nn.DeepFusion)
fusion_args = (vector(B, J, D), vector(B, T, D), integers(1, J + 1, B), lengths)
in_time_order = addressing.select_in_time_order("signed", lambda query: query[:2])
select_args = draw(vector(D), vector(N), integers(-1, 5, N), integers(5, 6), vector())
prefer_args = draw(vector(D), vector(N), integers(-1, 5, N), integers(5, 6), vector(), integers(-1, 5))
hop_args = draw(vector(D), memory(vector(D), integers(0, 9, S)))
bags = draw(parameters(output_map), vector(W), memory(embedded, integers(0, 9, S)))


def memory_index(rng, dtype):
    """An index of no memory in particular: what is stale is skipped."""
    index = hashing.empty(
        empty(N, jnp.zeros(S, jnp.int32), jnp.int32(0)), hashing.word_buckets(W + 2), num_words=S, tail=4
    )
    count = N * S
    return index.replace(
        offsets=jnp.asarray(np.sort(np.append(rng.integers(0, count, W - 1), [0, count])), jnp.int32),
        slots=jnp.asarray(rng.integers(0, N, count), jnp.int32),
        times=jnp.asarray(rng.integers(0, N, count), jnp.int32),
        tail_buckets=jnp.asarray(rng.integers(-1, W, (4, S)), jnp.int32),
        tail_times=jnp.arange(4, dtype=jnp.int32),
        tail_slots=jnp.asarray(rng.integers(0, N, 4), jnp.int32),
        tail_count=jnp.int32(4),
    )


word_ids = integers(0, W + 2, S)

CASES = {
    "encoding.bag_of_words": Case(
        lambda tokens, dtype: encoding.bag_of_words(tokens, W, dtype.dtype), draw(integers(0, W + 2, S), vector())
    ),
    "encoding.bag_of_places": Case(
        lambda tokens, dtype: encoding.bag_of_places(tokens, W, 3, dtype.dtype), draw(integers(0, W + 2, S), vector())
    ),
    "encoding.position_bags": Case(
        lambda tokens, dtype: encoding.position_bags(tokens, W, "released", 4, dtype.dtype),
        draw(integers(0, W + 2, S), vector()),
    ),
    "encoding.position_line": Case(lambda dtype: encoding.position_line(D, dtype=dtype.dtype), draw(vector())),
    "encoding.context_bags": Case(
        lambda rows, dtype: encoding.context_bags(rows, W, dtype.dtype), draw(integers(0, W + 2, B, S), vector())
    ),
    "encoding.random_codes": Case(
        lambda ids, dtype: encoding.random_codes(ids, D, dtype.dtype), draw(integers(0, 99, S), vector())
    ),
    "encoding.grid_slots": Case(encoding.grid_slots, draw(vector(2, 3, D)), (0,)),
    "encoding.object_slots": Case(
        lambda *args: encoding.object_slots(*args[:3], size=9, num_colours=6, num_shapes=2, dtype=args[3].dtype),
        draw(integers(0, 9, N, 2), integers(0, 6, N), integers(0, 2, N), vector()),
    ),
    "encoding.slot_memory": Case(lambda slots: stored(encoding.slot_memory(slots)), draw(vector(N, D)), (0,)),
    "scoring.inner_product": Case(scoring.inner_product, draw(vector(D), vector(D)), (0, 1)),
    "scoring.bilinear": Case(scoring.bilinear, draw(vector(W), vector(W, D), vector(W), vector(W, D)), (0, 1, 2, 3)),
    "scoring.score_slots": Case(partial(scoring.score_slots, scoring.inner_product), hop_args, (0,)),
    "scoring.time_preference": Case(
        partial(scoring.time_preference, "printed"),
        draw(vector(3), integers(0, 5), integers(0, 5), integers(0, 5)),
        (0,),
    ),
    "scoring.triple_score": Case(
        partial(scoring.triple_score, "signed"),
        draw(vector(2), integers(0, 5), vector(), integers(0, 5), vector(), integers(0, 5)),
        (0, 2, 4),
    ),
    "losses.hinge": Case(losses.hinge, draw(vector(N), flags(N)), (0,)),
    "losses.softmax_margin": Case(losses.softmax_margin, draw(vector(N), flags(N)), (0,)),
    "losses.sample_one": Case(
        lambda seed, where: losses.sample_one(jax.random.key(seed), where), draw(integers(0, 9), flags(N))
    ),
    "losses.word_log_probs": Case(
        partial(losses.word_log_probs, block=2),
        draw(vector(B * T, H), vector(H, W), vector(W), integers(0, W, B * T)),
        (0, 1, 2),
        float32=True,
    ),
    "losses.word_loss": Case(
        lambda *args: losses.word_loss(*args, 4),
        draw(vector(N, H), vector(H, W), vector(W), integers(0, W, N), vector(N)),
        (0, 1, 2),
        float32=True,
    ),
    "search.exact": Case(
        lambda query, *rest: search.exact(3)(search.Queries(query), *rest),
        draw(vector(B, D), memory(vector(D), integers(0, 9, S)), flags(B, N)),
        (0,),
        float32=True,
    ),
    "hashing.buckets_of": Case(hashing.buckets_of, draw(memory_index, integers(0, W + 4, S))),
    "hashing.merge": Case(hashing.merge, draw(memory(word_ids, integers(0, 9)), memory_index)),
    "hashing.write": Case(
        lambda *args: hashing.write(*args)[1],
        draw(memory(word_ids, integers(0, 9)), memory_index, word_ids, integers(0, 9)),
    ),
    "hashing.nearest": Case(hashing.nearest, draw(vector(N, D), vector(B, D))),
    "search.hashed": Case(
        lambda index, query, words, *rest: search.hashed(index, 3, 2 * N)(search.Queries(query, words), *rest),
        draw(memory_index, vector(B, W), integers(0, W + 2, B, S), memory(word_ids, integers(0, 9)), flags(B, N)),
        (1,),
        float32=True,
    ),
    "search.sharded": Case(
        lambda query, *rest: search.sharded(MESH, "slots", 3)(search.Queries(query), *rest),
        draw(vector(B, D), memory(vector(D), integers(0, 9, S)), flags(B, N)),
        (0,),
        float32=True,
    ),
    "search.sharded_index_write": Case(
        lambda *args: search.sharded_index_write(MESH, "slots", hashing.write)(*args)[1],
        draw(memory(word_ids, integers(0, 9)), divided_index, word_ids, integers(0, 9)),
    ),
    "search.sharded_write": Case(
        lambda *args: stored(search.sharded_write(MESH, "slots")(*args)),
        draw(memory(vector(D), integers(0, 9, S)), vector(D), integers(0, 9, S)),
        (1,),
    ),
    "search.sharded_write_many": Case(
        lambda *args: stored(search.sharded_write_many(MESH, "slots")(*args)),
        draw(memory(vector(D), integers(0, 9, S)), vector(B, D), integers(0, 9, B, S)),
        (1,),
    ),
    "search.quantize": Case(lambda key: (search.quantize(key).codes, search.quantize(key).vector), draw(vector(D))),
    "addressing.select_highest": Case(addressing.select_highest, select_args),
    "addressing.select_in_time_order": Case(in_time_order, select_args),
    "addressing.prefer_highest": Case(addressing.prefer_highest, prefer_args),
    "addressing.prefer_in_time_order": Case(
        addressing.prefer_in_time_order("signed", lambda query: query[:2]), prefer_args, (0, 1, 4)
    ),
    "addressing.beam_hops": Case(beam_hops, hop_args, (0,)),
    "addressing.hard_hops": Case(partial(hard_hops, in_time_order, True), hop_args, (0,)),
    "addressing.row_hops": Case(
        row_hops,
        draw(vector(D), memory(a_row, a_row), vector(B, D), vector(B, D), vector(2, D), vector(2, D)),
        (0, 2, 3, 4, 5),
    ),
    "addressing.soft_hops": Case(soft_hops, draw(vector(D), memory(vector(D), vector(D))), (0,)),
    "addressing.read_values": Case(
        lambda weights, mem: addressing.read_values(weights, mem, 0),
        draw(vector(N), memory(vector(D), vector(D))),
        (0,),
    ),
    "addressing.weigh_softmax": Case(
        lambda scores, where: addressing.weigh_softmax(scores, where, 2.0), draw(vector(N), flags(N)), (0,)
    ),
    "addressing.weigh_linear": Case(addressing.weigh_linear, draw(vector(N), flags(N)), (0,)),
    "addressing.sums_at": Case(
        lambda weights, at: addressing.sums_at(weights, at, D), draw(vector(N), integers(0, D, N)), (0,)
    ),
    "nn.Dictionaries": Case(
        with_module(dictionaries, lambda module, bag, vec: (module.embed("a", bag), module.match("b", vec))),
        draw(parameters(dictionaries), vector(W), vector(D)),
        (0, 1, 2),
    ),
    "nn.Embedding": Case(
        with_module(embedding, lambda module, tokens: module(tokens)),
        draw(parameters(embedding), integers(0, W + 2, B, S)),
        (0,),
    ),
    "nn.remember": Case(
        lambda inputs, lengths: nn.remember(nn.Recent(inputs[:, :2], jnp.minimum(lengths, 2)), inputs, lengths),
        draw(vector(B, T, D), lengths),
        (0,),
    ),
    "nn.rectify": Case(partial(nn.rectify, activation="half"), draw(vector(D)), (0,)),
    "nn.SoftMemory": Case(
        with_module(soft_memory, lambda module, *args: module(*args)),
        draw(parameters(soft_memory), vector(B, T, 2 * D), lengths),
        (0, 1),
    ),
    "nn.ImageEncoder": Case(
        with_module(image_encoder, lambda module, image: module(image)),
        draw(parameters(image_encoder), vector(7, 5, 2)),
        (0, 1),
    ),
    "nn.SourceAttention": Case(
        with_module(source_attention, read_source),
        draw(parameters(source_attention), vector(B, J, H), vector(B, J, H), vector(B, T, D)),
        (0, 1, 2, 3),
    ),
    "nn.LSTMN": Case(
        with_module(lstmn_layer, lambda module, *args: module(*args)),
        draw(parameters(lstmn_layer), vector(B, T, D), lengths),
        (0, 1),
    ),
    "nn.LSTM": Case(
        with_module(lstm_layer, lambda module, *args: module(*args)),
        draw(parameters(lstm_layer), vector(B, T, D), lengths),
        (0, 1),
    ),
    "nn.RNN": Case(
        with_module(rnn_layer, lambda module, *args: module(*args)),
        draw(parameters(rnn_layer), vector(B, T, D), lengths),
        (0, 1),
    ),
    "nn.LSTMNCell": Case(
        with_module(lstmn_cell, run_cell), draw(parameters(lstmn_cell), batch_ring, vector(B, D)), (0, 2)
    ),
    "nn.ShallowFusion": Case(with_module(shallow, call_fusion), draw(parameters(shallow), *fusion_args), (0, 1, 2)),
    "nn.DeepFusion": Case(with_module(deep, call_fusion), draw(parameters(deep), *fusion_args), (0, 1, 2)),
    "lstmn.query": Case(lstmn.query, draw(lstmn_weights, vector(D), vector(H)), (0, 1, 2)),
    "lstmn.intra_attention": Case(
        lambda *args: lstmn.intra_attention(*args)[:2],
        draw(vector(A), vector(N, A), vector(N, H), vector(N, H), vector(A), flags(N)),
        (0, 1, 2, 3, 4),
    ),
    "lstmn.update_cell": Case(lstmn.update_cell, draw(lstmn_weights, vector(D), vector(H), vector(H)), (0, 1, 2, 3)),
    "lstmn.ring_step": Case(lstmn.ring_step, draw(lstmn_weights, ring, vector(D)), (0, 2)),
    "lstmn.to_ring": Case(lambda weights, tape: lstmn.to_ring(weights, tape, 4), draw(lstmn_weights, tape), (0,)),
    "lstmn.empty_tape": Case(lambda like: lstmn.empty_tape(B, N, H, like.dtype), draw(vector())),
    "lstmn.advance": Case(
        lambda tape, steps, lengths: lstmn.advance(tape, steps, lengths, 4), draw(tape, steps, lengths)
    ),
    "lstmn.keep": Case(lstmn.keep, draw(vector(B, T, H), lengths), (0,)),
    "lstmn.tape_scan": Case(partial(lstmn.tape_scan, span=4, block=3), scan_args, (0, 1)),
    "lstmn.tape_attention": Case(
        lambda weights, inputs, lengths, tape, steps: lstmn.tape_attention(weights, inputs, steps, lengths, tape),
        draw(lstmn_weights, vector(B, T, D), lengths, tape, steps),
        (0, 1, 4),
        float32=True,
    ),
    "lstmn.lstm_scan": Case(
        lstmn.lstm_scan,
        draw(vector(D, 4 * H), vector(H, 4 * H), vector(4 * H), vector(B, T, D), lengths),
        (0, 1, 2, 3),
    ),
    "lstmn.rnn_scan": Case(
        lstmn.rnn_scan, draw(vector(D, H), vector(H, H), vector(H), vector(B, T, D), lengths, tape), (0, 1, 2, 3)
    ),
    "lstmn.source_scan": Case(
        lstmn.source_scan,
        draw(source_weights, vector(B, J, H), vector(B, J, H), vector(B, T, D), integers(0, J + 1, B)),
        (0, 1, 2, 3),
    ),
    "lstmn.source_attention": Case(
        lstmn.source_attention,
        draw(source_weights, vector(B, J, H), vector(B, T, H), vector(B, T, D), integers(0, J + 1, B)),
        (0, 1, 2, 3),
        float32=True,
    ),
    "models.FactMemNN": Case(
        with_module(fact_memnn, follow_fact),
        draw(parameters(fact_memnn), *(integers(0, W + 2, S) for _ in range(3)), integers(0, W + 2, N, S)),
        (0,),
    ),
    "models.OutputMap": Case(with_module(output_map, lambda module, *args: module(*args)), bags, (0, 1)),
    "models.ResponseMemN2N": Case(
        with_module(response_memn2n, lambda module, *args: module(*args)),
        draw(
            parameters(response_memn2n),
            integers(0, W + 2, S),
            memory(vector(D), integers(0, 9, S)),
            candidates,
            flags(3),
        ),
        (0,),
    ),
    "models.SceneMemNN": Case(
        with_module(scene_memnn, see_and_answer),
        draw(parameters(scene_memnn), integers(0, W + 2, S), vector(7, 5, 2)),
        (0, 2),
    ),
    "models.SceneMLP": Case(
        with_module(scene_mlp, see_and_answer), draw(parameters(scene_mlp), integers(0, W + 2, S), vector(N, 4)), (0, 2)
    ),
    "models.Segmenter": Case(
        with_module(segmenter, lambda module, bag, tokens: (module(bag), module.segment(tokens))),
        draw(parameters(segmenter), vector(W), integers(0, W + 2, T)),
        (0, 1),
    ),
    "models.WordResponder": Case(
        with_module(responder, lambda module, *args: (module(*args), module.scores(*args, args[0]))),
        draw(parameters(responder), vector(W), vector(2, W), flags(2)),
        (0, 1, 2),
    ),
    "models.SequenceClassifier": Case(
        with_module(sequence_classifier, lambda module, *args: module(*args)),
        draw(parameters(sequence_classifier), integers(0, W + 2, B, T), lengths),
        (0,),
    ),
    "models.SentencePairMatcher": Case(
        with_module(pair_matcher, lambda module, *args: module(*args)),
        draw(
            parameters(pair_matcher),
            integers(0, W + 2, B, J),
            integers(0, W + 2, B, T),
            integers(1, J + 1, B),
            lengths,
        ),
        (0,),
    ),
    "models.LanguageModel": Case(
        with_module(tied_lstmn, read_and_step),
        draw(parameters(tied_lstmn), integers(0, W + 2, B, T), lengths),
        (0,),
    ),
    "models.KeyValueMemNN": Case(
        with_module(key_value_memnn, lambda module, *args: module(*args)),
        draw(
            parameters(key_value_memnn),
            integers(1, W + 2, S),
            memory(integers(2, W + 2, S), integers(2, W + 2, S)),
            integers(2, W + 2, B, S),
        ),
        (0,),
    ),
    "models.MemNN": Case(
        with_module(memnn, lambda module, *args: module(*args)),
        draw(parameters(memnn), integers(0, W + 2, S), memory(embedded, integers(0, 9, S))),
        (0,),
    ),
    "models.SentenceMemNN": Case(
        with_module(sentence_memnn, lambda module, *args: module(*args)),
        draw(parameters(sentence_memnn), integers(0, W + 2, S), memory(embedded, integers(0, 9, S))),
        (0,),
    ),
    "models.MemN2N": Case(
        with_module(memn2n, lambda module, *args: module(*args)),
        draw(parameters(memn2n), integers(1, W + 2, S), memory(vector(4, D), integers(0, 9, S))),
        (0,),
    ),
    "models.SentenceResponder": Case(
        with_module(sentence_responder, score_and_write),
        draw(parameters(sentence_responder), integers(1, W + 3, B, S), integers(1, W + 2, B, S)),
        (0,),
    ),
    "models.join_sentences": Case(partial(models.join_sentences, W + 2), draw(integers(0, W + 2, B, S))),
    "models.supporting_memory": Case(models.supporting_memory, draw(memory(vector(D), vector(S)), integers(-1, N, 2))),
}

#: Not functions of arrays: containers of results, sizes, places.
NOT_PARTS = {
    "addressing.Hops",
    "addressing.SoftHops",
    "nn.EmbeddingForm",
    "nn.ExactMatch",
    "hashing.Index",
    "hashing.Lists",
    "hashing.build",  # on the host
    "hashing.build_lists",  # likewise; what is built and written is tested with the search
    "hashing.write_to_lists",
    "search.probed",
    "hashing.cluster_buckets",  # of random keys, as kmeans
    "hashing.empty",
    "hashing.kmeans",
    "hashing.word_buckets",
    "lstmn.Ring",
    "lstmn.SourceWeights",
    "lstmn.Steps",
    "lstmn.Tape",
    "lstmn.Weights",
    "models.Answer",
    "models.Candidates",
    "models.Cuts",
    "models.candidates_of",
    "models.FactQuery",
    "models.Hearing",
    "models.HopScores",
    "models.Response",
    "models.SceneAnswer",
    "models.Sentences",
    "models.SoftAnswer",
    "nn.Fused",
    "nn.Recent",
    "nn.FusedAttention",
    "search.Hits",
    "search.Quantized",
    "search.Queries",
    "search.shard_index",
    "search.shard_memory",
}


def float_leaves(tree):
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]


def assert_close(one, other, **tolerance):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), **tolerance)


def test_every_public_part_is_in_the_table():
    found = set()
    for module in (encoding, scoring, hashing, lstmn, losses, search, addressing, nn, models):
        short = module.__name__.removeprefix("memjax.")
        for name, member in vars(module).items():
            ours = getattr(member, "__module__", "").startswith(module.__name__)
            if not name.startswith("_") and ours and (inspect.isfunction(member) or inspect.isclass(member)):
                found.add(f"{short}.{name}")
    assert found - NOT_PARTS == set(CASES)


def quick(names):
    """The names, those marked that take long to compile: layers and models have files of tests of their own."""
    slow = ("nn.", "models.", "sharded", "hashing.", "search.hashed", "beam_hops", "lstmn.")
    return [pytest.param(n, marks=pytest.mark.thorough) if any(word in n for word in slow) else n for n in names]


@pytest.mark.parametrize("name", quick(CASES))
def test_jit_vmap_and_one_compilation(name):
    case = CASES[name]
    traces = []

    def counted(*args):
        traces.append(1)
        return case.call(*args)

    rng = np.random.default_rng(0)
    rows = [case.args(rng, jnp.float32) for _ in range(3)]
    jitted = jax.jit(counted)
    expected = [case.call(*row) for row in rows]
    assert_close([jitted(*row) for row in rows], expected, rtol=1e-5, atol=1e-5)
    assert len(traces) == 1
    batched = jax.jit(jax.vmap(case.call))(*jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows))
    assert_close(batched, jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", quick(CASES))
def test_bfloat16_stays_bfloat16(name):
    case = CASES[name]
    out = jax.eval_shape(case.call, *case.args(np.random.default_rng(1), jnp.bfloat16))
    assert {leaf.dtype for leaf in float_leaves(out)} <= {jnp.dtype(jnp.float32 if case.float32 else jnp.bfloat16)}


@pytest.mark.parametrize("name", quick(name for name, case in CASES.items() if case.grad))
def test_gradients_agree_with_finite_differences(name):
    case = CASES[name]
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        shapes = jax.eval_shape(case.call, *case.args(rng, jnp.float64))
        weights = [jnp.asarray(rng.standard_normal(leaf.shape)) for leaf in float_leaves(shapes)]

        @jax.jit
        def value(*args):
            out = [jnp.where(jnp.isfinite(leaf), leaf, 0) for leaf in float_leaves(case.call(*args))]
            return sum(jnp.sum(leaf * weight) for leaf, weight in zip(out, weights, strict=True))

        gradient = jax.jit(jax.grad(value, case.grad))
        slopes = dict.fromkeys(case.grad, 0)
        for _ in range(8):  # time features and flags can switch an argument off: some draw must have a slope
            args = case.args(rng, jnp.float64)
            for place, grad in zip(case.grad, gradient(*args), strict=True):
                way = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), args[place])
                ends = [
                    value(
                        *args[:place], jax.tree.map(lambda x, w, e=eps: x + e * w, args[place], way), *args[place + 1 :]
                    )
                    for eps in (1e-6, -1e-6)
                ]
                numeric = (ends[0] - ends[1]) / 2e-6
                exact = sum(jax.tree.leaves(jax.tree.map(lambda g, w: jnp.sum(g * w), grad, way)))
                np.testing.assert_allclose(exact, numeric, rtol=1e-6, atol=1e-8)
                slopes[place] += np.abs(numeric) > 1e-4
            if all(slopes.values()):
                break
        assert all(slopes.values()), "a direction without slope tests nothing"


# What reads a memory


def reader(select, stop):
    return Case(partial(hard_hops, select, stop), hop_args, (0,))


READERS = {
    "highest": reader(addressing.select_highest, False),
    "highest, stop": reader(addressing.select_highest, True),
    "in time order": reader(in_time_order, False),
    "in time order, stop": reader(in_time_order, True),
    "OutputMap": Case(with_module(output_map, lambda module, *args: module(*args)), bags, (0, 1)),
    "MemNN": Case(
        with_module(memnn, lambda module, *args: module(*args).hops),
        draw(parameters(memnn), integers(0, W + 2, S), memory(embedded, integers(0, 9, S))),
        (0,),
    ),
}


def slope(case, args):
    """Gradients of the finite scores and the last query."""

    def value(*args):
        hops = case.call(*args)
        leaves = jax.tree.leaves((hops.scores, hops.query))
        return sum(jnp.sum(jnp.where(jnp.isfinite(leaf), leaf, 0) ** 2) for leaf in leaves)

    return jax.grad(value, case.grad)(*args)


@pytest.mark.parametrize("name", READERS)
def test_empty_slots_change_nothing(name):
    case = READERS[name]
    *rest, mem = case.args(np.random.default_rng(3), jnp.float32)
    wider = gather(mem, jnp.array([9, *range(N), 9, 9]))  # outside: empty slots before and after
    plain, padded = case.call(*rest, mem), case.call(*rest, wider)
    assert plain.slots.max() >= 0, "nothing found, nothing tested"
    np.testing.assert_array_equal(jnp.where(plain.slots >= 0, plain.slots + 1, -1), padded.slots)
    np.testing.assert_allclose(plain.scores, padded.scores[:, 1 : N + 1], rtol=1e-6)
    assert np.all(np.isneginf(padded.scores[:, [0, N + 1, N + 2]]))
    assert_close(plain.query, padded.query, rtol=1e-6)
    assert_close(slope(case, (*rest, mem)), slope(case, (*rest, wider)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", READERS)
def test_slots_can_change_places(name):
    case = READERS[name]
    *rest, mem = case.args(np.random.default_rng(4), jnp.float32)
    order = np.random.default_rng(5).permutation(N)
    plain, moved = case.call(*rest, mem), case.call(*rest, gather(mem, jnp.asarray(order)))
    np.testing.assert_allclose(plain.scores[:, order], moved.scores, rtol=1e-6)
    assert [slot if slot < 0 else order[slot] for slot in moved.slots] == plain.slots.tolist()


@pytest.mark.parametrize("name", READERS)
def test_an_empty_memory_gives_no_nan(name):
    case = READERS[name]
    *rest, mem = case.args(np.random.default_rng(6), jnp.float32)
    nothing = gather(mem, jnp.full(N, -1))
    hops = case.call(*rest, nothing)
    assert hops.slots.tolist() == [-1] * 3
    assert np.all(np.isneginf(hops.scores)) and not np.any(np.isnan(hops.stop_scores))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope(case, (*rest, nothing))))


def test_hard_hops_checks_what_it_is_given():
    query, mem = hop_args(np.random.default_rng(7), jnp.float32)
    call = partial(addressing.hard_hops, score_fn=scoring.inner_product, follow_fn=jnp.add)
    with pytest.raises(ValueError, match="hops: expected an integer of at least 1, got 0"):
        call(query, mem, hops=0)
    with pytest.raises(ValueError, match=r"where: expected shape \(6,\), one for each slot, got \(2,\)"):
        call(query, mem, hops=1, where=jnp.ones(2, bool))
    with pytest.raises(ValueError, match=r"key: expected shape \(3,\), as the query, got \(4,\)"):
        call(query[:3], mem, hops=1)
    assert call(query, mem, hops=2, where=jnp.arange(N) == 2).slots.tolist() == [2, -1]


def test_a_memory_can_be_found_twice_when_asked_for():
    query, mem = hop_args(np.random.default_rng(8), jnp.float32)
    call = partial(addressing.hard_hops, hops=2, score_fn=scoring.inner_product, follow_fn=lambda query, key: query)
    first, second = call(query, mem, exclude_found=False).slots.tolist()
    assert first == second
    first, second = call(query, mem).slots.tolist()
    assert first != second


def test_losses_without_wrong_choices_are_zero_with_zero_gradients():
    none = jnp.zeros(N, bool)
    for loss in (losses.hinge, losses.softmax_margin):
        value, grad = jax.value_and_grad(loss)(jnp.arange(N, dtype=jnp.float32), none)
        assert value == 0 and not grad.any()
    assert not losses.sample_one(jax.random.key(0), none).any()
    huge = jnp.array([-1e30, 1e30, 0.0, 0.0, 0.0, 0.0])
    assert np.isfinite(jax.grad(losses.softmax_margin)(huge, ~none)).all()


def test_negatives_are_drawn_uniformly():
    where = jnp.array([True, False, True, True])
    drawn = jax.vmap(lambda key: losses.sample_one(key, where))(jax.random.split(jax.random.key(0), 3000))
    assert drawn.sum(axis=1).tolist() == [1] * 3000
    np.testing.assert_allclose(drawn.mean(axis=0), [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)


def test_printed_time_features_cannot_reach_the_first_hop():
    """Why the signed form is the default: Algorithm 1 meets a newer y with an older y', and the question is newest."""
    rng = np.random.default_rng(9)
    for _ in range(20):
        weights, older, newer = (
            jnp.asarray(rng.standard_normal(3), jnp.float32),
            *np.sort(rng.choice(9, 2, replace=False)),
        )
        assert scoring.time_preference("printed", weights, jnp.int32(9), jnp.int32(newer), jnp.int32(older)) == 0
        signed = scoring.time_preference("signed", weights[:2], jnp.int32(9), jnp.int32(newer), jnp.int32(older))
        np.testing.assert_allclose(signed, weights[1])
    with pytest.raises(ValueError, match="did you mean 'signed'"):
        scoring.time_preference("singed", weights, 1, 2, 3)


def test_memory_is_a_pytree_of_named_fields():
    mem = hop_args(np.random.default_rng(10), jnp.float32)[1]
    names = {path[0].name for path, _ in jax.tree.leaves_with_path(mem)}
    assert names == {field.name for field in dataclasses.fields(Memory)}
    assert isinstance(jax.tree.map(lambda leaf: leaf, mem), Memory)
