# SPDX-License-Identifier: Apache-2.0
"""Scans over a tape against the paper's equations as NumPy loops, and their gradients."""

import dataclasses
import importlib.util
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax import lstmn

_spec = importlib.util.spec_from_file_location("reference", pathlib.Path(__file__).parents[1] / "reference_lstmn.py")
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

B, T, N, D, H, A = 3, 8, 4, 3, 4, 5
LENGTHS, FILLED = np.array([8, 0, 6]), np.array([4, 3, 0])
# All of the tape, a window shorter than a block, a window of one slot; in both directions.
WAYS = ((None, True), (3, False), (1, True))


def arrays(rng, dtype, *shape):
    return jnp.asarray(0.7 * rng.standard_normal(shape), dtype)


def make_weights(rng, dtype=jnp.float64, bias=True):
    draw = partial(arrays, rng, dtype)
    weights = lstmn.Weights(draw(H, A), draw(D, A), draw(H, A), 2 * draw(A), draw(D, 4 * H), draw(H, 4 * H))
    return dataclasses.replace(weights, attention_bias=draw(A), gates_bias=draw(4 * H)) if bias else weights


def make_tape(rng, dtype=jnp.float64):
    draw = partial(arrays, rng, dtype)
    return lstmn.Tape(draw(B, N, H), draw(B, N, H), draw(B, H), jnp.asarray(FILLED, jnp.int32))


def in_numpy(weights, kind=None):
    kind = kind or reference.LSTMNWeights
    values = {field: getattr(weights, field) for field in weights.__dataclass_fields__}
    return kind(**{name: None if value is None else np.asarray(value, float) for name, value in values.items()})


def expected(weights, inputs, lengths, tape, extra, **options):
    """The oracle, row by row: hidden, cell, read `[B, T, H]`, attention `[B, T, N + T]`."""
    rows = []
    for b, length in enumerate(lengths):
        start = {}
        if tape is not None:
            used = slice(N - int(tape.length[b]), N)
            start = {"hidden0": tape.hidden[b, used], "cell0": tape.cell[b, used], "read0": tape.read[b]}
            start = {name: np.asarray(value, float) for name, value in start.items()}
        slots = 0 if tape is None else N
        row = [np.zeros((T, H)), np.zeros((T, H)), np.zeros((T, H)), np.zeros((T, slots + T))]
        if length:
            x = np.asarray(inputs[b, :length], float)
            more = None if extra is None else np.asarray(extra[b, :length], float)
            hidden, cell, read, _, weighed = reference.lstmn(in_numpy(weights), x, extra=more, **start, **options)
            for target, value in zip(row, (hidden, cell, read), strict=False):
                target[:length] = value
            old = weighed.shape[1] - length
            row[3][:length, slots - old : slots] = weighed[:, :old]
            row[3][:length, slots : slots + length] = weighed[:, old:]
        rows.append(row)
    return [np.stack(values) for values in zip(*rows, strict=True)]


def close(ours, theirs, dtype):
    tolerance = 1e-12 if dtype == jnp.float64 else 1e-5
    np.testing.assert_allclose(np.asarray(ours, float), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("dtype", "tape", "span", "reverse"),
    [(jnp.float64, True, *way) for way in WAYS] + [(jnp.float64, False, None, False), (jnp.float32, True, 3, True)],
)
def test_equals_the_equations(dtype, tape, span, reverse):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        weights, inputs = make_weights(rng, dtype), arrays(rng, dtype, B, T, D)
        start, extra = (make_tape(rng, dtype), arrays(rng, dtype, B, T, H)) if tape else (None, None)
        options = {"span": span, "reverse": reverse}
        *values, weighed = expected(weights, inputs, LENGTHS, start, extra, **options)
        lengths = jnp.asarray(LENGTHS)

        @jax.jit
        def run(weights, inputs):
            steps = lstmn.tape_scan(weights, inputs, lengths, start, extra=extra, block=4, **options)
            return steps, lstmn.tape_attention(weights, inputs, steps, lengths, start, **options)

        steps, maps = run(weights, inputs)
        for ours, theirs in zip((steps.hidden, steps.cell, steps.read), values, strict=True):
            assert ours.dtype == dtype
            close(ours, theirs, dtype)
        close(maps, weighed, dtype)


@pytest.mark.parametrize("bias", [False, True])
def test_step_by_step_equals_the_equations(bias):
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        weights, inputs, tape = make_weights(rng, bias=bias), arrays(rng, jnp.float64, B, T, D), make_tape(rng)
        for span, slots in ((None, N + T), (3, 3), (6, 6)):
            hidden = expected(weights, inputs, [T] * B, tape, None, span=span)[0]
            ring = lstmn.to_ring(weights, tape, slots)
            step = jax.jit(jax.vmap(partial(lstmn.ring_step, weights)))
            for t in range(T):
                ring, now = step(ring, inputs[:, t])
                close(now, hidden[:, t], jnp.float64)


@pytest.mark.thorough
def test_blocks_of_any_size_and_windows_give_the_same(monkeypatch):
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        count = 17  # three windows of six steps, the last one not full
        weights, inputs = make_weights(rng), arrays(rng, jnp.float64, 2, count, D)
        extra, mix = arrays(rng, jnp.float64, 2, count, H), arrays(rng, jnp.float64, 3, 2, count, H)
        lengths, tape = jnp.array([17, 11]), jax.tree.map(lambda a: a[:2], make_tape(rng))

        def run(block, span, window, weights, inputs, hidden):
            monkeypatch.setattr("memjax.lstmn._scan._SHORTEST_WINDOW", window)
            start = dataclasses.replace(tape, hidden=hidden)
            steps = lstmn.tape_scan(weights, inputs, lengths, start, span=span, extra=extra, block=block)
            return sum(jnp.sum(a * m) for a, m in zip(jax.tree.leaves(steps), mix, strict=True))

        for span, ways in ((None, ((18, 48), (7, 48))), (5, ((4, 6), (18, 48)))):
            results = [
                jax.jit(jax.value_and_grad(partial(run, block, span, window), (0, 1, 2)))(weights, inputs, tape.hidden)
                for block, window in ways
            ]
            for other in results[1:]:
                for one, two in zip(jax.tree.leaves(results[0]), jax.tree.leaves(other), strict=True):
                    np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-11)


def slope_of(gradient, span, reverse, lengths, args):
    def value(weights, inputs, extra, tape):
        tape = dataclasses.replace(tape, length=jnp.asarray(FILLED, jnp.int32))
        steps = lstmn.tape_scan(
            weights, inputs, lengths, tape, extra=extra, span=span, reverse=reverse, gradient=gradient, block=4
        )
        rng = np.random.default_rng(3)
        return sum(jnp.sum(leaf * rng.standard_normal(leaf.shape)) for leaf in jax.tree.leaves(steps))

    return jax.jit(value), jax.jit(jax.grad(value, (0, 1, 2, 3), allow_int=True))(*args)


@pytest.mark.parametrize(("span", "reverse"), WAYS)
@pytest.mark.thorough
def test_gradient_agrees_with_autodiff_and_finite_differences(span, reverse):
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        args = make_weights(rng), arrays(rng, jnp.float64, B, T, D), arrays(rng, jnp.float64, B, T, H), make_tape(rng)
        lengths = jnp.asarray(LENGTHS)
        value, ours = slope_of("recompute", span, reverse, lengths, args)
        _, theirs = slope_of("autodiff", span, reverse, lengths, args)
        floats = [leaf for leaf in jax.tree.leaves(ours) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        # One slot has weight one, whatever its score.
        assert span == 1 or all(leaf.any() for leaf in floats), "a gradient of zeros tests nothing"
        for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            if jnp.issubdtype(one.dtype, jnp.floating):
                np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-12)
        way = jax.tree.map(
            lambda a: rng.standard_normal(a.shape) if jnp.issubdtype(a.dtype, jnp.floating) else 0 * a, args
        )
        ends = [
            value(*jax.tree.map(lambda a, w, e=eps: a + e * w if a.dtype == float else a, args, way))
            for eps in (1e-6, -1e-6)
        ]
        exact = sum(
            jnp.sum(g * w)
            for g, w in zip(jax.tree.leaves(ours), jax.tree.leaves(way), strict=True)
            if jnp.issubdtype(g.dtype, jnp.floating)
        )
        np.testing.assert_allclose(exact, (ends[0] - ends[1]) / 2e-6, rtol=1e-7)
        # Padded steps and empty slots get none.
        _, dinputs, dextra, dtape = ours
        padded = np.arange(T)[None] >= LENGTHS[:, None]
        assert not np.asarray(dinputs)[padded].any() and not np.asarray(dextra)[padded].any()
        empty = np.arange(N)[None] < N - FILLED[:, None]
        assert not np.asarray(dtape.hidden)[empty].any() and not np.asarray(dtape.cell)[empty].any()


def test_forward_mode_needs_autodiff_and_begins_with_an_empty_tape():
    rng = np.random.default_rng(5)
    weights, inputs, way = make_weights(rng, jnp.float32), *arrays(rng, jnp.float32, 2, B, T, D)
    run = lambda gradient: lambda x: jnp.sin(lstmn.tape_scan(weights, x, gradient=gradient).hidden).sum()  # noqa: E731
    forward = jax.jit(lambda x, way: jax.jvp(run("autodiff"), (x,), (way,))[1])(inputs, way)
    np.testing.assert_allclose(forward, jnp.vdot(jax.jit(jax.grad(run("recompute")))(inputs), way), rtol=1e-4)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(run("recompute"), (inputs,), (inputs,))


def test_forward_mode_is_finite_where_attention_saturates():
    """E Q is 2e20 here, and its square no float32."""

    def slopes(dtype):
        one = lambda number: jnp.full((1, 1), number, dtype)  # noqa: E731
        gates = jnp.ones((1, 4), dtype)
        weights = lstmn.Weights(one(5), one(3), one(0), jnp.ones(1, dtype), gates, 0 * gates)
        inputs, along = jnp.array([[[1], [10]]], dtype), jnp.array([[[1], [0]]], dtype)
        value = lambda x, gradient: lstmn.tape_scan(weights, x, gradient=gradient).hidden.sum()  # noqa: E731
        first = jax.jvp(lambda x: value(x, "autodiff"), (inputs,), (along,))[1]
        second = jax.jvp(jax.grad(lambda x: value(x, "recompute")), (inputs,), (along,))[1]
        return [float(first), *second.ravel().tolist()]

    with jax.enable_x64(True):
        expected = slopes(jnp.float64)
    np.testing.assert_allclose(slopes(jnp.float32), expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_gradients_agree_with_autodiff():
    """From an empty tape."""
    rng = np.random.default_rng(11)
    weights, inputs = make_weights(rng, jnp.float32), arrays(rng, jnp.float32, B, 3, D)

    def steepness(gradient):
        value = lambda x: jnp.sin(lstmn.tape_scan(weights, x, gradient=gradient).hidden).sum()  # noqa: E731
        return jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(value)(x) ** 2)))(inputs)

    np.testing.assert_allclose(steepness("recompute"), steepness("autodiff"), rtol=1e-3, atol=1e-5)


def test_padding_changes_nothing():
    rng = np.random.default_rng(6)
    weights, inputs = make_weights(rng, jnp.float32), arrays(rng, jnp.float32, B, T, D)
    lengths = jnp.array([5, 3, 5])

    def run(inputs, weights):
        steps = lstmn.tape_scan(weights, inputs, lengths)
        return jnp.sum(jnp.sin(steps.hidden)), steps

    both = jax.jit(jax.value_and_grad(run, (0, 1), has_aux=True))
    short = both(inputs[:, :5], weights)
    for filling in (0.0, 1e4, -3.0):
        padded = jnp.where((jnp.arange(T)[None] < lengths[:, None])[..., None], inputs, filling)
        (value, steps), (dinputs, dweights) = both(padded, weights)
        np.testing.assert_allclose(value, short[0][0], rtol=1e-6)
        np.testing.assert_allclose(steps.hidden[:, :5], short[0][1].hidden, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(dinputs[:, :5], short[1][0], rtol=1e-4, atol=1e-6)
        for one, two in zip(jax.tree.leaves(dweights), jax.tree.leaves(short[1][1]), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("span", [None, 4])
@pytest.mark.thorough
def test_windows_of_a_text_equal_the_whole(span):
    with jax.enable_x64(True):
        rng = np.random.default_rng(7)
        weights, inputs = make_weights(rng), arrays(rng, jnp.float64, B, 3 * T, D)
        lengths = np.array([3 * T, T + 2, 5])
        whole = jax.jit(partial(lstmn.tape_scan, span=span))(weights, inputs, jnp.asarray(lengths))

        def by_windows(weights, inputs):
            tape, hidden = None, []
            for window in range(3):
                here = jnp.asarray(np.clip(lengths - window * T, 0, T))
                steps = lstmn.tape_scan(weights, inputs[:, window * T : (window + 1) * T], here, tape, span=span)
                tape = lstmn.advance(tape, steps, here, span)
                hidden.append(steps.hidden)
            return jnp.concatenate(hidden, axis=1), tape

        hidden, tape = jax.jit(by_windows)(weights, inputs)
        close(hidden, whole.hidden, jnp.float64)
        slots = 3 * T if span is None else span
        assert tape.hidden.shape == (B, slots, H)
        assert tape.length.tolist() == np.minimum(lengths, slots).tolist()
        for b, length in enumerate(lengths):
            kept = min(length, slots)
            close(tape.hidden[b, slots - kept :], whole.hidden[b, length - kept : length], jnp.float64)
            close(tape.read[b], whole.read[b, length - 1], jnp.float64)
            assert not tape.cell[b, : slots - kept].any()
        # The gradient goes back through the tapes.
        ours = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(by_windows(weights, x)[0]))))(inputs)
        scan = partial(lstmn.tape_scan, weights, lengths=jnp.asarray(lengths), span=span)
        theirs = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(scan(x).hidden))))(inputs)
        close(ours, theirs, jnp.float64)


def test_float16_is_too_narrow():
    rng = np.random.default_rng(12)
    with pytest.raises(ValueError, match="inputs: expected float32, float64 or bfloat16, got float16"):
        lstmn.tape_scan(make_weights(rng, jnp.float16), arrays(rng, jnp.float16, B, T, D))


@pytest.mark.parametrize("span", [None, 3])
def test_a_tape_in_reverse_is_that_of_turned_inputs(span):
    rng = np.random.default_rng(11)
    weights, inputs = make_weights(rng, jnp.float32), arrays(rng, jnp.float32, B, T, D)
    lengths = jnp.asarray(LENGTHS)
    turned = jnp.stack([jnp.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(inputs, LENGTHS, strict=True)])
    steps = lstmn.tape_scan(weights, inputs, lengths, span=span, reverse=True)
    tape = lstmn.advance(None, steps, lengths, span, reverse=True)
    expected = lstmn.advance(None, lstmn.tape_scan(weights, turned, lengths, span=span), lengths, span)
    for one, two in zip(jax.tree.leaves(tape), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.thorough
def test_a_row_that_does_not_step_keeps_its_read():
    rng = np.random.default_rng(8)
    weights, inputs = make_weights(rng, jnp.float32), arrays(rng, jnp.float32, B, T, D)
    tape = make_tape(rng, jnp.float32)
    lengths = jnp.zeros(B, jnp.int32)
    steps = lstmn.tape_scan(weights, inputs, lengths, tape)
    after = lstmn.advance(tape, steps, lengths, N)
    np.testing.assert_allclose(after.read, tape.read, rtol=1e-6)
    assert after.length.tolist() == tape.length.tolist()
    used = (np.arange(N)[None] >= N - FILLED[:, None])[..., None]
    np.testing.assert_allclose(after.hidden, np.where(used, tape.hidden, 0), rtol=1e-6)


@pytest.mark.thorough
def test_span_one_is_an_lstm():
    with jax.enable_x64(True):
        rng = np.random.default_rng(9)
        weights, inputs = make_weights(rng), arrays(rng, jnp.float64, B, T, D)
        gates = weights.gates_input, weights.gates_read, weights.gates_bias
        lengths = jnp.asarray(LENGTHS)
        for reverse in (False, True):
            one = lstmn.tape_scan(weights, inputs, lengths, span=1, reverse=reverse)
            plain = lstmn.lstm_scan(*gates, inputs, lengths, reverse=reverse)
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(plain), strict=True):
                close(a, b, jnp.float64)
        for row in (0, 2):
            start = np.asarray(rng.standard_normal((2, H)))
            tape = lstmn.Tape(*(jnp.asarray(a)[None, None] for a in start), jnp.zeros((1, H)), jnp.ones(1, jnp.int32))
            ours = lstmn.lstm_scan(*gates, inputs[row : row + 1], None, tape)
            hidden, cell = reference.lstm(*(np.asarray(g) for g in gates), np.asarray(inputs[row]), *start)
            close(ours.hidden[0], hidden, jnp.float64)
            close(ours.cell[0], cell, jnp.float64)


@pytest.mark.thorough
def test_lstm_gradient_agrees_with_that_of_span_one_by_autodiff():
    with jax.enable_x64(True):
        rng = np.random.default_rng(10)
        weights, inputs, tape = make_weights(rng), arrays(rng, jnp.float64, B, T, D), make_tape(rng)
        tape = dataclasses.replace(tape, length=jnp.full(B, N))
        mix = jnp.asarray(rng.standard_normal((B, T, H)))

        def value(run, weights, inputs, hidden, cell):
            start = dataclasses.replace(tape, hidden=hidden, cell=cell)
            steps = run(weights, inputs, start)
            return jnp.sum(steps.hidden * mix) + jnp.sum(steps.cell * mix**2)

        plain = lambda w, x, t: lstmn.lstm_scan(w.gates_input, w.gates_read, w.gates_bias, x, None, t)  # noqa: E731
        tapes = lambda w, x, t: lstmn.tape_scan(w, x, None, t, span=1, gradient="autodiff")  # noqa: E731
        args = weights, inputs, tape.hidden, tape.cell
        ours, theirs = (jax.jit(jax.grad(partial(value, run), (0, 1, 2, 3)))(*args) for run in (plain, tapes))
        for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            close(one, two, jnp.float64)


def test_scores_of_any_size_give_no_nan():
    rng = np.random.default_rng(11)
    inputs = arrays(rng, jnp.float32, B, T, D)
    both = jax.jit(jax.value_and_grad(lambda weights, inputs: jnp.sum(lstmn.tape_scan(weights, inputs).hidden), (0, 1)))
    for scale in (1e2, 1e4):
        out = both(jax.tree.map(lambda w, s=scale: w * s, make_weights(rng, jnp.float32)), inputs)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(out))


@pytest.mark.thorough
def test_bfloat16_is_near_float32_and_sums_are_float32():
    rng = np.random.default_rng(12)
    weights, inputs = make_weights(rng, jnp.bfloat16), arrays(rng, jnp.bfloat16, B, T, D)
    scan = jax.jit(lstmn.tape_scan)
    steps = scan(weights, inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(steps)} == {jnp.dtype(jnp.bfloat16)}
    assert lstmn.tape_attention(weights, inputs, steps).dtype == jnp.float32
    to32 = partial(jax.tree.map, lambda a: a.astype(jnp.float32))
    exact = scan(to32(weights), to32(inputs))
    np.testing.assert_allclose(to32(steps.hidden), exact.hidden, atol=0.03)

    def slope(weights, inputs, gradient):
        total = lambda w: jnp.sum(lstmn.tape_scan(w, inputs, gradient=gradient).hidden.astype(jnp.float32))  # noqa: E731
        return jax.jit(jax.grad(total))(weights)

    ours, theirs = (slope(weights, inputs, gradient) for gradient in ("recompute", "autodiff"))
    assert {leaf.dtype for leaf in jax.tree.leaves(ours)} == {jnp.dtype(jnp.bfloat16)}
    exact = slope(to32(weights), to32(inputs), "recompute")
    for one, two, right in zip(*map(jax.tree.leaves, (to32(ours), to32(theirs), exact)), strict=True):
        error, usual = jnp.linalg.norm(one - right), jnp.linalg.norm(two - right)
        assert error < 1.5 * usual + 0.02 * jnp.linalg.norm(right), "further off than bfloat16 is by itself"
    text = jax.jit(lambda w, x: lstmn.tape_scan(w, x).hidden).lower(weights, inputs).as_text()
    assert "exponential" in text and not [
        line for line in text.splitlines() if "exponential" in line and "xbf16>" in line
    ]


def source_case(rng, dtype, recurrent):
    draw = partial(arrays, rng, dtype)
    read = draw(H, A) if recurrent else None
    weights = lstmn.SourceWeights(draw(H, A), draw(D, A), read, 2 * draw(A), draw(A))
    return weights, draw(B, 6, H), draw(B, 6, H), draw(B, 2 * T, D)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_inter_attention_equals_the_equations(dtype, recurrent):
    with jax.enable_x64(True):
        weights, hidden, cell, queries = source_case(np.random.default_rng(13), dtype, recurrent)
        lengths = [6, 0, 4]

        @jax.jit
        def run(weights, hidden, cell, queries):
            read, read_cell = lstmn.source_scan(weights, hidden, cell, queries, jnp.asarray(lengths))
            counted = jnp.array([2 * T, 3, 5])
            maps = lstmn.source_attention(weights, hidden, read, queries, jnp.asarray(lengths), counted)
            return read, read_cell, maps

        read, read_cell, maps = run(weights, hidden, cell, queries)
        plain = in_numpy(weights, reference.SourceWeights)
        for b, length in enumerate(lengths):
            if not length:
                assert not read[b].any() and not read_cell[b].any() and not maps[b].any()
                continue
            theirs = reference.inter_attention(
                plain, *(np.asarray(a[b], float) for a in (hidden[:, :length], cell[:, :length], queries))
            )
            close(read[b], theirs[0], dtype)
            close(read_cell[b], theirs[1], dtype)
            counted = [2 * T, 3, 5][b]
            close(maps[b, :counted, :length], theirs[2][:counted], dtype)
            assert not maps[b, counted:].any() and not maps[b, :, length:].any()


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.thorough
def test_inter_attention_gradient_agrees_with_finite_differences(recurrent):
    with jax.enable_x64(True):
        rng = np.random.default_rng(14)
        args = source_case(rng, jnp.float64, recurrent)
        mix = jnp.asarray(rng.standard_normal((2, B, 2 * T, H)))
        lengths = jnp.array([6, 0, 4])

        @jax.jit
        def value(*args):
            read, cell = lstmn.source_scan(*args, lengths)
            return jnp.sum(read * mix[0] + cell * mix[1])

        grads = jax.jit(jax.grad(value, (0, 1, 2, 3)))(*args)
        assert all(leaf.any() and np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
        assert not grads[1][1].any() and not grads[1][2, 4:].any() and not grads[3][1].any()
        square = lambda *args: sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(jax.grad(value, (0, 1, 2, 3))(*args)))  # noqa: E731
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.jit(jax.grad(square, (0, 1, 2, 3)))(*args)))
        for leaf in range(len(jax.tree.leaves(args))):
            leaves, tree = jax.tree.flatten(args)
            way = rng.standard_normal(leaves[leaf].shape)
            ends = []
            for eps in (1e-6, -1e-6):
                moved = [*leaves[:leaf], leaves[leaf] + eps * way, *leaves[leaf + 1 :]]
                ends.append(value(*jax.tree.unflatten(tree, moved)))
            exact = jnp.sum(jax.tree.leaves(grads)[leaf] * way)
            np.testing.assert_allclose(exact, (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-8)


def temporary_bytes(count, gradient):
    def struct(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    weights = lstmn.Weights(struct(64, 64), struct(8, 64), struct(64, 64), struct(64), struct(8, 256), struct(64, 256))
    run = jax.grad(lambda w, x: jnp.sum(lstmn.tape_scan(w, x, gradient=gradient, block=count).hidden), (0, 1))
    compiled = jax.jit(run).lower(weights, struct(2, count, 8)).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.thorough
def test_memory_is_linear_in_the_steps():
    ours = [temporary_bytes(count, "recompute") for count in (128, 256)]
    assert ours[1] < 2.5 * ours[0], "memory of attention that is kept grows fourfold"
    assert temporary_bytes(256, "autodiff") > 4 * ours[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((T, D), np.float32)}, r"inputs: expected shape \[B, T, 3\].*got \(8, 3\)"),
        ({"inputs": np.zeros((B, T, D + 1), np.float32)}, r"inputs: expected shape \[B, T, 3\].*got \(3, 8, 4\)"),
        ({"inputs": np.zeros((B, T, D), np.int32)}, "inputs: expected floats, got dtype int32; embed"),
        ({"inputs": np.zeros((B, 0, D), np.float32)}, "inputs: expected at least one step"),
        ({"lengths": np.array([1, 2])}, r"lengths: expected shape \(3,\), got \(2,\)"),
        ({"lengths": np.array([1.0, 2, 3])}, "lengths: expected integers, got dtype float"),
        ({"lengths": np.array([1, T + 1, 3])}, r"lengths: expected values in \[0, 8\].*got \[1, 9, 3\]"),
        ({"lengths": np.array([1, -1, 3])}, r"lengths: expected values in \[0, 8\]"),
        ({"span": 0}, "span: expected an integer of at least 1, got 0"),
        ({"block": 0}, "block: expected an integer of at least 1, got 0"),
        ({"gradient": "autodif"}, "gradient: .*did you mean 'autodiff'"),
        ({"extra": np.zeros((B, T, H + 1))}, r"extra: expected shape \(3, 8, 4\), got \(3, 8, 5\)"),
        ({"initial_tape": lstmn.empty_tape(B + 1, 2, H)}, r"initial_tape.hidden: expected shape \(3, 2, 4\), got \(4,"),
        ({"initial_tape": lstmn.empty_tape(B, 2, H + 1)}, r"initial_tape.hidden: expected shape \(3, 2, 4\), got \(3,"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"inputs": np.zeros((B, T, D), np.float32), **change}
    with pytest.raises(ValueError, match=message):
        lstmn.tape_scan(make_weights(np.random.default_rng(0), jnp.float32), **given)


@pytest.mark.parametrize("kind", ["lstmn", "lstm", "rnn"])
def test_what_is_padded_may_be_nan(kind):
    rng = np.random.default_rng(0)
    weights, draw = make_weights(rng, jnp.float32), partial(arrays, rng, jnp.float32)
    inputs, lengths = draw(B, T, D).at[0, 5].set(jnp.nan), jnp.array([5, 0, 4])

    def loss(weights):
        if kind == "lstmn":
            return lstmn.tape_scan(weights, inputs, lengths).hidden.sum()
        args = (weights.gates_input, weights.gates_read, weights.gates_bias)
        if kind == "lstm":
            return lstmn.lstm_scan(*args, inputs, lengths).hidden.sum()
        return lstmn.rnn_scan(args[0][:, :H], args[1][:, :H], args[2][:H], inputs, lengths).hidden.sum()

    value, grads = jax.value_and_grad(loss)(weights)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((value, grads)))


def test_an_empty_tape_can_be_donated():
    tape = jax.jit(lambda tape: dataclasses.replace(tape, hidden=tape.hidden + 1), donate_argnums=0)(
        lstmn.empty_tape(2, 3, 4)
    )
    assert tape.hidden.sum() == 24 and not tape.cell.any()
