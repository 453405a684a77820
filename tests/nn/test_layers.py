# SPDX-License-Identifier: Apache-2.0
"""The recurrent layers: against the oracle, against each other, and as Flax treats any cell."""

import importlib.util
import pathlib
from functools import partial

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.nnx import bridge

import memjax
from memjax import LSTM, LSTMN, DeepFusion, LSTMNCell, ShallowFusion, lstmn

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference_lstmn.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

B, T, J, D, H, A = 3, 7, 5, 3, 4, 5
LENGTHS, SOURCE_LENGTHS = np.array([7, 4, 1]), np.array([3, 5, 2])


def batch(seed, *shape, dtype=jnp.float64):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def loud(module, seed=0):
    """Gives every parameter, biases included, values that matter."""
    rng = np.random.default_rng(seed)
    state = nnx.state(module, nnx.Param)
    nnx.update(module, jax.tree.map(lambda leaf: jnp.asarray(0.7 * rng.standard_normal(leaf.shape), leaf.dtype), state))
    return module


def numpy_weights(module, kind):
    values = {name: getattr(module, name) for name in kind.__dataclass_fields__}
    return kind(**{name: None if param is None else np.asarray(param[...], float) for name, param in values.items()})


def layers_of(module):
    return [numpy_weights(cell, reference.LSTMNWeights) for cell in module.layers]


def close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("skip", "bias"),
    [
        (True, True),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in ((False, False), (False, True), (True, False))),
    ],
)
def test_layers_equal_the_equations(skip, bias):
    with jax.enable_x64(True):
        options = {"num_layers": 3, "attention_features": A, "skip_connections": skip, "use_bias": bias, "span": 5}
        layer = loud(LSTMN(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0), **options))
        inputs = batch(1, B, T, D)
        for reverse in (False, True):
            hidden = jax.jit(partial(LSTMN.__call__, reverse=reverse))(layer, inputs, jnp.asarray(LENGTHS))
            maps = jax.jit(partial(LSTMN.attention, reverse=reverse))(layer, inputs, jnp.asarray(LENGTHS))
            assert maps.shape == (3, B, T, T)
            for b, length in enumerate(LENGTHS):
                theirs = reference.stack(
                    layers_of(layer), np.asarray(inputs[b, :length]), skip, span=5, reverse=reverse
                )
                close(hidden[b, :length], theirs[-1][0])
                assert not hidden[b, length:].any()
                for number in range(3):
                    close(maps[number, b, :length, :length], theirs[number][4])


@pytest.mark.parametrize("length", [T, 3, 1])
@pytest.mark.thorough
def test_cell_and_layer_give_the_same(length):
    """The same parameters under the same names; the ring's length is the span."""
    layer = loud(LSTMN(D, H, span=length, rngs=nnx.Rngs(0)))
    cell = LSTMNCell(D, H, tape_length=length, rngs=nnx.Rngs(1))
    state = nnx.to_pure_dict(nnx.state(layer))["layers"][0]
    nnx.replace_by_pure_dict(own := nnx.state(cell), state)
    nnx.update(cell, own)
    inputs = batch(2, B, T, D, dtype=jnp.float32)
    close(nnx.RNN(cell)(inputs), layer(inputs), 2e-6)
    lengths = jnp.asarray(LENGTHS)
    keep = np.arange(T)[None] < LENGTHS[:, None]
    turned = nnx.RNN(cell, reverse=True, keep_order=True)(inputs, seq_lengths=lengths)
    close(turned[keep], layer(inputs, lengths, reverse=True)[keep], 2e-6)


@pytest.mark.parametrize("kind", [LSTM, LSTMN])
def test_reversed_outputs_and_tapes_are_those_of_turned_inputs(kind):
    layer, lengths = loud(kind(D, H, num_layers=2, rngs=nnx.Rngs(0))), jnp.asarray(LENGTHS)
    inputs = batch(15, B, T, D, dtype=jnp.float32)
    turned = jnp.stack([jnp.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(inputs, LENGTHS, strict=True)])
    run = jax.jit(partial(kind.__call__, return_tape=True), static_argnames="reverse")
    hidden, tapes = run(layer, inputs, lengths, reverse=True)
    expected, after = run(layer, turned, lengths)
    for row, length in enumerate(LENGTHS):
        close(hidden[row, :length], expected[row, :length][::-1], 1e-6)
    for one, other in zip(jax.tree.leaves(tapes), jax.tree.leaves(after), strict=True):
        close(one, other, 1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [DeepFusion, ShallowFusion])
def test_which_layer_of_the_source_is_read(kind):
    layer = loud(kind(D, H, num_layers=2, share_weights=False, rngs=nnx.Rngs(0)))
    source, target = batch(8, B, J, D, dtype=jnp.float32), batch(9, B, T, D, dtype=jnp.float32)
    before = layer(source, target, return_attention=True).attention.inter
    top = layer.encoder.layers[1].gates_input
    top[...] = 2 * top[...]
    after = layer(source, target, return_attention=True).attention.inter
    if kind is DeepFusion:
        close(after[0], before[0], 1e-6)
    assert not np.allclose(after[-1], before[-1], atol=1e-3)


@pytest.mark.thorough
def test_the_cell_is_a_cell_of_flax():
    cell = loud(LSTMNCell(D, H, tape_length=T, rngs=nnx.Rngs(0)))
    inputs, lengths = batch(3, B, T, D, dtype=jnp.float32), jnp.asarray(LENGTHS)
    carry, loop = cell.initialize_carry(inputs[:, 0].shape), []
    for t in range(T):
        carry, hidden = cell(carry, inputs[:, t])
        loop.append(hidden)
    loop = jnp.stack(loop, axis=1)
    close(nnx.RNN(cell)(inputs), loop, 1e-6)
    close(nnx.RNN(cell, time_major=True)(inputs.swapaxes(0, 1)), loop.swapaxes(0, 1), 1e-6)
    # The carry after a row's own length, handed on.
    last, outputs = nnx.RNN(cell, return_carry=True)(inputs, seq_lengths=lengths)
    close(outputs, loop, 1e-6)
    assert last.count.tolist() == LENGTHS.tolist()
    for b, length in enumerate(LENGTHS):
        close(last.hidden[b, length - 1], loop[b, length - 1], 1e-6)
    first, head = nnx.RNN(cell, return_carry=True)(inputs[:, :4])
    close(head, loop[:, :4], 1e-6)
    close(nnx.RNN(cell)(inputs[:, 4:], initial_carry=first), loop[:, 4:], 1e-6)
    # No batch, two batch axes.
    close(nnx.RNN(cell)(inputs[1]), loop[1], 1e-6)
    close(nnx.RNN(cell)(inputs[None]), loop[None], 1e-6)
    both = nnx.Bidirectional(nnx.RNN(cell), nnx.RNN(loud(LSTMNCell(D, H, tape_length=T, rngs=nnx.Rngs(1)), 1)))
    out = both(inputs, seq_lengths=lengths)
    close(out[..., :H], loop, 1e-6)
    other = both.backward_rnn.cell
    for b, length in enumerate(LENGTHS):
        close(out[b, :length, H:], nnx.RNN(other)(inputs[b : b + 1, :length][:, ::-1])[0, ::-1], 1e-6)


@pytest.mark.thorough
def test_one_compilation_jit_grad_and_vmap():
    graph, state = nnx.split(loud(LSTMN(D, H, num_layers=2, rngs=nnx.Rngs(0))))
    traces = []

    @jax.jit
    def slope(state, inputs, lengths):
        traces.append(1)
        return jax.grad(lambda s: jnp.sum(jnp.sin(nnx.merge(graph, s)(inputs, lengths))))(state)

    inputs = batch(4, B, T, D, dtype=jnp.float32)
    for lengths in (LENGTHS, LENGTHS[::-1]):
        grads = slope(state, inputs, jnp.asarray(lengths))
        assert all(leaf.any() for leaf in jax.tree.leaves(grads)), "every parameter receives a gradient"
    assert len(traces) == 1
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), state)
    seeds = jax.jit(jax.vmap(lambda s: nnx.merge(graph, s)(inputs)))(stacked)
    close(seeds[0], nnx.merge(graph, state)(inputs), 1e-5)


@pytest.mark.thorough
def test_decoding_goes_on_where_a_sequence_ended():
    for span in (None, 4):
        layer = loud(LSTMN(D, H, num_layers=2, span=span, skip_connections=True, rngs=nnx.Rngs(0)))
        inputs = batch(5, B, T, D, dtype=jnp.float32)
        whole = layer(inputs)
        _, tapes = layer(inputs[:, :3], return_tape=True)
        rings, step = layer.rings(tapes, slots=span or T), jax.jit(LSTMN.step)
        for t in range(3, T):
            rings, hidden = step(layer, rings, inputs[:, t])
            close(hidden, whole[:, t], 2e-6)
        rings = layer.rings(layer.empty_tape(B, 0 if span is None else span), slots=span or T)
        for t in range(T):
            rings, hidden = step(layer, rings, inputs[:, t])
            close(hidden, whole[:, t], 2e-6)


@pytest.mark.thorough
def test_windows_share_one_program():
    layer = loud(LSTMN(D, H, span=4, rngs=nnx.Rngs(0)))
    inputs, traces = batch(6, B, 12, D, dtype=jnp.float32), []

    @jax.jit
    def window(inputs, tapes):
        traces.append(1)
        return layer(inputs, initial_tape=tapes, return_tape=True)

    tapes, hidden = layer.empty_tape(B), []
    for start in range(0, 12, 4):
        out, tapes = window(inputs[:, start : start + 4], tapes)
        hidden.append(out)
    assert len(traces) == 1
    close(jnp.concatenate(hidden, axis=1), layer(inputs), 2e-6)


@pytest.mark.thorough
def test_lstm_has_the_same_interface():
    with jax.enable_x64(True):
        layer = loud(LSTM(D, H, num_layers=2, skip_connections=True, param_dtype=jnp.float64, rngs=nnx.Rngs(0)))
        inputs, lengths = batch(7, B, T, D), jnp.asarray(LENGTHS)
        hidden, tapes = layer(inputs, lengths, return_tape=True)
        gates = [[np.asarray(p[...]) for p in (g.gates_input, g.gates_read, g.gates_bias)] for g in layer.layers]
        for b, length in enumerate(LENGTHS):
            x = np.asarray(inputs[b, :length])
            first, _ = reference.lstm(*gates[0], x, np.zeros(H), np.zeros(H))
            second, cell = reference.lstm(*gates[1], np.concatenate([first, x], 1), np.zeros(H), np.zeros(H))
            close(hidden[b, :length], second)
            close(tapes[1].cell[b, 0], cell[-1])
        first, tapes = layer(inputs[:, :4], return_tape=True)
        close(jnp.concatenate([first, layer(inputs[:, 4:], initial_tape=tapes)], axis=1), layer(inputs))


FUSIONS = {
    "shallow": (ShallowFusion, {}),
    "shallow, hidden query, recurrent, concat, separate": (
        ShallowFusion,
        {
            "query": "hidden",
            "recurrent_query": True,
            "combine": "concat",
            "share_weights": False,
            "decoder_start": "source",
        },
    ),
    "deep": (DeepFusion, {}),
    "deep, no W_g~, separate, source start": (
        DeepFusion,
        {"recurrent_query": False, "share_weights": False, "decoder_start": "source", "use_bias": False},
    ),
}


@pytest.mark.parametrize(
    "name",
    [name if name in ("shallow", "deep") else pytest.param(name, marks=pytest.mark.thorough) for name in FUSIONS],
)
def test_fusion_equals_the_equations(name):
    kind, options = FUSIONS[name]
    with jax.enable_x64(True):
        layer = loud(kind(D, H, attention_features=A, param_dtype=jnp.float64, rngs=nnx.Rngs(0), **options))
        source, target = batch(8, B, J, D), batch(9, B, T, D)
        lengths = jnp.asarray(SOURCE_LENGTHS), jnp.asarray(LENGTHS)
        fused = jax.jit(partial(kind.__call__, return_attention=True))(layer, source, target, *lengths)
        encoder, decoder = layers_of(layer.encoder)[0], layers_of(layer.decoder or layer.encoder)[0]
        deep = kind is DeepFusion
        inter = numpy_weights(layer.inter[0] if deep else layer.inter, reference.SourceWeights)
        for b, (many, length) in enumerate(zip(SOURCE_LENGTHS, LENGTHS, strict=True)):
            x, y = np.asarray(source[b, :many]), np.asarray(target[b, :length])
            start = options.get("decoder_start", "empty")
            if deep:
                bias = layer.gate_bias[0]
                gate = layer.gate_read[0][...], layer.gate_input[0][...], None if bias is None else bias[...]
                gate = [None if part is None else np.asarray(part) for part in gate]
                theirs = reference.deep_fusion(encoder, decoder, inter, *gate, x, y, decoder_start=start)
            else:
                choices = {name: options[name] for name in ("query", "combine") if name in options}
                theirs = reference.shallow_fusion(encoder, decoder, inter, x, y, decoder_start=start, **choices)
            close(fused.source[b, :many], theirs[0])
            close(fused.target[b, :length], theirs[1])
            assert not fused.source[b, many:].any() and not fused.target[b, length:].any()
            for ours, expected in zip(jax.tree.leaves(fused.attention), theirs[2], strict=True):
                close(ours[0, b, : expected.shape[0], : expected.shape[1]], expected)
                assert not ours[0, b, expected.shape[0] :].any() and not ours[0, b, :, expected.shape[1] :].any()


@pytest.mark.parametrize("kind", [ShallowFusion, pytest.param(DeepFusion, marks=pytest.mark.thorough)])
def test_what_pads_a_pair_reaches_no_gradient(kind):
    with jax.enable_x64(True):
        layer = kind(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
        source, target = batch(8, B, J, D), batch(9, B, T, D)
        lengths = jnp.asarray(SOURCE_LENGTHS), jnp.asarray(LENGTHS)
        padded = jnp.where((jnp.arange(T)[None] >= lengths[1][:, None])[..., None], jnp.nan, target)
        slope = nnx.jit(nnx.grad(lambda layer, target: jnp.sum(layer(source, target, *lengths).target ** 2)))
        for one, other in zip(*(jax.tree.leaves(slope(layer, each)) for each in (padded, target)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [ShallowFusion, DeepFusion])
@pytest.mark.thorough
def test_fusion_gradients(kind):
    """All parameters of two layers and both sequences receive one; padding and an empty source none, and no NaN."""
    with jax.enable_x64(True):
        options = {"num_layers": 2, "skip_connections": True, "decoder_start": "source"}
        layer = loud(kind(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0), **options))
        graph, state = nnx.split(layer)
        lengths = jnp.array([0, 5, 2]), jnp.array([7, 4, 0])

        @jax.jit
        def value(state, source, target):
            fused = nnx.merge(graph, state)(source, target, *lengths)
            return jnp.sum(jnp.sin(fused.target)) + jnp.sum(jnp.cos(fused.source))

        args = state, batch(10, B, J, D), batch(11, B, T, D)
        grads = jax.jit(jax.grad(value, (0, 1, 2)))(*args)
        assert all(leaf.any() and np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        assert not grads[1][0].any() and not grads[1][2, 2:].any()
        assert not grads[2][1, 4:].any() and not grads[2][2].any()
        rng = np.random.default_rng(12)
        way = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), args)
        ends = [value(*jax.tree.map(lambda a, w, e=eps: a + e * w, args, way)) for eps in (1e-6, -1e-6)]
        exact = sum(jnp.sum(g * w) for g, w in zip(jax.tree.leaves(grads), jax.tree.leaves(way), strict=True))
        np.testing.assert_allclose(exact, (ends[0] - ends[1]) / 2e-6, rtol=1e-7)


def count(module):
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


@pytest.mark.parametrize(
    ("h", "shallow", "deep"), [(100, 280.5e3, 330.5e3), (300, 1.44e6, 1.71e6), (450, 2.84e6, 3.38e6)]
)
def test_parameter_counts_are_those_of_the_paper(h, shallow, deep):
    """With the classifier's 2h -> h -> h -> 3 without biases; Table 3 prints 280k, 330k, 1.4M, 1.7M, 2.8M, 3.4M."""
    for kind, printed in ((ShallowFusion, shallow), (DeepFusion, deep)):
        layer = nnx.eval_shape(lambda kind=kind: kind(300, h, use_bias=False, rngs=nnx.Rngs(0)))
        assert abs(count(layer) + 3 * h * h + 3 * h - printed) < printed / 200
    if h == 100:
        layer = nnx.eval_shape(lambda: ShallowFusion(300, h, use_bias=False, rngs=nnx.Rngs(0)))
        assert count(layer) + 3 * h * h + 3 * h == 280_500
        layer = nnx.eval_shape(lambda: DeepFusion(300, h, use_bias=False, rngs=nnx.Rngs(0)))
        assert count(layer) + 3 * h * h + 3 * h == 330_500


@pytest.mark.thorough
def test_dtypes():
    dtype = jnp.bfloat16
    layer = LSTMN(D, H, dtype=dtype, rngs=nnx.Rngs(0))
    inputs = batch(13, B, T, D, dtype=jnp.float32)
    assert layer(inputs).dtype == dtype
    assert layer.layers[0].key[...].dtype == jnp.float32
    assert layer.attention(inputs).dtype == jnp.float32
    fused = DeepFusion(D, H, dtype=dtype, rngs=nnx.Rngs(0))(inputs, inputs)
    assert fused.target.dtype == dtype
    assert LSTMN(D, H, rngs=nnx.Rngs(0))(inputs).dtype == jnp.float32


LAYERS = {
    "LSTMN": lambda rngs: LSTMN(D, H, rngs=rngs),
    "LSTM": lambda rngs: LSTM(D, H, rngs=rngs),
    "RNN of LSTMNCell": lambda rngs: nnx.RNN(LSTMNCell(D, H, tape_length=T, rngs=rngs), rngs=False),
    "ShallowFusion": lambda rngs: ShallowFusion(D, H, rngs=rngs),
    "DeepFusion": lambda rngs: DeepFusion(D, H, rngs=rngs),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.thorough
def test_inside_a_linen_module(name):
    """Flax's bridge takes a function that builds the layer: its parameters lie under the name given."""
    two = "Fusion" in name

    class Tagger(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, inputs):
            layer = bridge.to_linen(LAYERS[name], name="memory")
            hidden = layer(inputs, inputs).target if two else layer(inputs)
            return flax.linen.Dense(2)(hidden)

    inputs = batch(14, B, 3, D, dtype=jnp.float32)
    tagger = Tagger()
    variables = jax.jit(tagger.init)(jax.random.key(0), inputs)
    out = jax.jit(tagger.apply)(variables, inputs)
    assert out.shape == (B, 3, 2)
    plain = LAYERS[name](nnx.Rngs(0))
    nnx.update(plain, _nnx_state(plain, variables["params"]["memory"]))
    run = nnx.jit(lambda plain, inputs: plain(inputs, inputs).target if two else plain(inputs))
    hidden = run(plain, inputs)
    dense = variables["params"]["Dense_0"]
    close(out, hidden @ dense["kernel"] + dense["bias"][None, None], 1e-5)
    grads = jax.jit(jax.grad(lambda v: jnp.sum(tagger.apply(v, inputs) ** 2)))(variables)
    assert all(leaf.any() for leaf in jax.tree.leaves(grads["params"]["memory"]) if leaf.size)


def _nnx_state(module, params):
    """The bridge's parameters, whose list places are strings, as a state of the module."""
    state = nnx.state(module, nnx.Param)
    flat = dict(nnx.to_flat_state(state))

    def find(path):
        leaf = params
        for part in path:
            leaf = leaf[part] if part in leaf else leaf[str(part)]
        return leaf

    return nnx.from_flat_state({path: param.replace(find(path)) for path, param in flat.items()})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda r: LSTMN(0, H, rngs=r), "in_features: expected an integer of at least 1, got 0"),
        (lambda r: LSTMN(D, H, span=0, rngs=r), "span: expected an integer of at least 1, got 0"),
        (lambda r: LSTMN(D, H, num_layers=0, rngs=r), "num_layers: expected an integer of at least 1, got 0"),
        (lambda r: LSTMN(D, H, gradient="recompile", rngs=r), "gradient: .*did you mean 'recompute'"),
        (lambda r: LSTMNCell(D, H, tape_length=0, rngs=r), "tape_length: expected an integer of at least 1, got 0"),
        (lambda r: LSTM(D, -1, rngs=r), "hidden_features: expected an integer of at least 1, got -1"),
        (lambda r: ShallowFusion(D, H, query="inputs", rngs=r), "query: .*did you mean 'input'"),
        (lambda r: ShallowFusion(D, H, combine="add", rngs=r), "combine: expected one of"),
        (lambda r: DeepFusion(D, H, decoder_start="sauce", rngs=r), "decoder_start: .*did you mean 'source'"),
    ],
)
def test_bad_sizes_and_choices_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build(nnx.Rngs(0))


def test_bad_calls_are_named():
    layer, cell = LSTMN(D, H, num_layers=2, rngs=nnx.Rngs(0)), LSTMNCell(D, H, tape_length=None, rngs=nnx.Rngs(0))
    inputs = np.zeros((B, T, D), np.float32)
    with pytest.raises(ValueError, match=r"inputs: expected shape \[B, T, 3\].*got \(3, 7, 4\)"):
        layer(np.zeros((B, T, D + 1), np.float32))
    fused, rows = ShallowFusion(3, 4, rngs=nnx.Rngs(0)), jnp.ones((2, 5, 3))
    with pytest.raises(ValueError, match=r"target: expected shape \[B, T, 3\].*got \(2, 5, 4\)"):
        fused(rows, jnp.ones((2, 5, 4)))
    with pytest.raises(ValueError, match=r"target: expected 2 rows, as many as source has, got shape \(1, 5, 3\)"):
        fused(rows, rows[:1])
    with pytest.raises(ValueError, match=r"source_lengths: expected values in \[0, 5\]"):
        fused(rows, rows, jnp.array([6, 1]))
    with pytest.raises(ValueError, match="inputs: expected floats, got dtype int"):
        layer(np.zeros((B, T, D), np.int32))
    with pytest.raises(ValueError, match=r"lengths: expected values in \[0, 7\]"):
        layer(inputs, np.array([8, 1, 1]))
    with pytest.raises(ValueError, match="initial_tape: expected a tuple of 2 tapes, one a layer, got 1 of them"):
        layer(inputs, initial_tape=(lstmn.empty_tape(B, 2, H),))
    with pytest.raises(ValueError, match="initial_tape: expected a tuple of 2 tapes, one a layer, got Tape"):
        layer(inputs, initial_tape=lstmn.empty_tape(B, 2, H))
    with pytest.raises(ValueError, match=r"initial_tape.hidden: expected shape \(3, 2, 4\), got \(3, 2, 5\)"):
        layer(inputs, initial_tape=(lstmn.empty_tape(B, 2, H + 1),) * 2)
    with pytest.raises(ValueError, match="slots: expected a number where the layer has no span"):
        layer.empty_tape(B)
    with pytest.raises(ValueError, match="tape_length: expected a number to make a carry from, got None"):
        cell.initialize_carry((B, D))
    carry = LSTMNCell(D, H, tape_length=3, rngs=nnx.Rngs(0)).initialize_carry((B, D))
    with pytest.raises(ValueError, match=r"carry.hidden: expected shape \(2, 3, 4\), got \(3, 3, 4\)"):
        cell(carry, jnp.zeros((2, D)))
    with pytest.raises(ValueError, match=r"inputs: expected 3 features on the last axis, got shape \(3, 9\)"):
        cell(carry, jnp.zeros((B, 9)))
    with pytest.raises(ValueError, match=r"lengths: expected shape \(3,\), got \(2,\)"):
        DeepFusion(D, H, rngs=nnx.Rngs(0))(inputs, inputs, np.array([1, 2]))


def test_the_top_level_names_the_layers():
    for name in ("LSTM", "LSTMN", "LSTMNCell", "ShallowFusion", "DeepFusion"):
        assert name in memjax.__all__ and getattr(memjax, name).__module__.startswith("memjax.nn")
