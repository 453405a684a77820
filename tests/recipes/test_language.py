# SPDX-License-Identifier: Apache-2.0
"""Language models from configuration to perplexity: the best is kept, a killed run goes on to the same bits."""

import dataclasses
import json
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memjax.errors import DataError, RunError
from memjax.recipes import (
    AnsweringConfig,
    LanguageConfig,
    PennTreebank,
    Reader,
    TextFiles,
    evaluate_language_model,
    language_course,
    load_language_model,
    train_language_model,
)
from memjax.recipes.language_course import known_words
from memjax.recipes.reading import ReadingState, _settle, fall, make_optimizer
from memjax.recipes.runs import create_run
from memjax.training import TrainState
from tests.interrupted import killed

SMALL = LanguageConfig(core="lstm", features=3, hidden_features=4, batch_size=4, epochs=3)


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch):
    """Fewer programs to compile."""
    monkeypatch.setattr(language_course, "NUM_BUCKETS", 2)


@pytest.fixture
def text(tmp_path):
    """A folder with a text in which each word says the next one."""
    words = ["the", "cat", "sees", "a", "dog", "and", "a", "dog", "sees", "the", "cat"]
    for split, count in (("train", 30), ("valid", 6), ("test", 6)):
        lines = [" ".join(words[start : start + 2 + start % 7]) for start in np.arange(count) % 9]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    return str(tmp_path)


def test_rate_and_best_follow_the_validation_text():
    optimizer = make_optimizer("sgd", 1.0, clip_norm=5.0)
    seeds = jnp.zeros(2)

    def settled(state, value, valid):
        train = dataclasses.replace(state.train, params={"w": jnp.full((2, 3), value)})
        rate, valid = train.opt_state[1].hyperparams["learning_rate"], jnp.array(valid)
        return _settle(dataclasses.replace(state, train=train), valid, fall(0.5, 0.1)(rate, valid, state.best, 0))

    params = {"w": jnp.zeros((2, 3))}
    train = TrainState(seeds, params, jax.vmap(optimizer.init)(params), seeds)
    state = ReadingState(train, params, jnp.full(2, jnp.inf))
    state = settled(state, 1.0, [2.0, 2.0])
    assert state.params["w"].tolist() == [[1.0] * 3] * 2
    state = settled(state, 2.0, [1.9, 1.0])  # the first seed is better, but not clearly
    state = settled(state, 3.0, [2.5, 1.5])
    assert state.params["w"][:, 0].tolist() == [2.0, 2.0] and state.best.tolist() == [np.float32(1.9), 1.0]
    rate = state.train.opt_state[1].hyperparams["learning_rate"]
    assert rate.tolist() == [0.25, 0.5]


def test_a_rate_falls_along_a_cosine(text, tmp_path):
    config = dataclasses.replace(SMALL, corpus=TextFiles(text), schedule="cosine", learning_rate=1.0, epochs=4)
    train_language_model(config, folder=tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["learning_rate"][0] for line in lines]
    np.testing.assert_allclose(rates, (1 + np.cos(np.pi * np.arange(4) / 4)) / 2, rtol=1e-6)
    with pytest.raises(ValueError, match="decay: expected no other than 0.85 with schedule 'cosine'.*got 0.5"):
        dataclasses.replace(config, decay=0.5)


@pytest.mark.thorough
def test_a_run_is_trained_measured_and_loaded(text, tmp_path):
    config = dataclasses.replace(SMALL, corpus=TextFiles(text))
    told = []
    folder = tmp_path / "run"
    trained = train_language_model(config, folder=folder, report=lambda done, epochs, metrics: told.append(done))
    assert told[0] < 1 and told[-1] == 3
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [8, 16, 24]
    assert {"loss", "valid", "learning_rate", "seconds"} <= set(lines[0]) and 0 <= lines[0]["padding"][0] < 0.6
    best = min(line["valid"][0] for line in lines)
    valid = trained.evaluate(config.corpus.sentences("valid"))["perplexity"]
    np.testing.assert_allclose(valid, np.exp(best), rtol=1e-4)
    found = evaluate_language_model(folder, "test", text)
    assert found == load_language_model(folder, text).evaluate(config.corpus.sentences("test"))
    assert json.loads((folder / "results.json").read_text()) == {"valid": {"perplexity": valid}, "test": found}


@pytest.mark.thorough
@pytest.mark.parametrize("tape", ["sentence", "carried"])
@pytest.mark.parametrize("core", ["lstm", "lstmn", "memn2n"])
def test_a_killed_run_goes_on_to_the_same_bits(text, tmp_path, tape, core):
    dropped = {"dropout": 0.2, "word_dropout": 0.1, "optimizer": "adam", "window": 5 if tape == "carried" else 35}
    sizes = {"features": 8, "span": 6} if core == "memn2n" else {}
    config = dataclasses.replace(
        SMALL, corpus=TextFiles(text), core=core, tape=tape, learning_rate=0.02, **dropped, **sizes
    )
    whole = train_language_model(config, folder=tmp_path / "whole", seeds=(0, 1))
    killed(partial(train_language_model, config, seeds=(0, 1)), tmp_path / "cut", epochs=2)
    again = train_language_model(config, folder=tmp_path / "cut", seeds=(0, 1), resume=True)
    jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)


@pytest.mark.thorough
@pytest.mark.parametrize("marks", [False, True])
def test_words_that_training_never_met(text, marks):
    path = pathlib.Path(text, "train.txt")
    path.write_text(path.read_text().replace("cat", "<unk>" if marks else "cat"))
    trained = train_language_model(dataclasses.replace(SMALL, corpus=TextFiles(text), epochs=1))
    told = [("the", "zebra", "dog"), ("DOG", "sees")]
    found, scored = trained.evaluate(told), Reader(trained).score_all([" ".join(words) for words in told])
    assert known_words(told[1], trained.vocabulary) == ["dog", "sees"]
    assert found.get("unknown") == (None if marks else [20.0])
    log_probs = np.concatenate([one.log_probs for one in scored])
    assert np.isnan(log_probs).tolist() == [False, not marks, *[False] * 5]
    assert found["perplexity"][0] == pytest.approx(np.exp(-np.nanmean(log_probs)), rel=1e-4)


@pytest.mark.thorough
def test_it_learns(text):
    config = dataclasses.replace(SMALL, corpus=TextFiles(text), core="lstmn", hidden_features=16, epochs=30)
    assert train_language_model(config).evaluate(config.corpus.sentences("test"))["perplexity"][0] < 3


def test_bad_input_is_said(text, tmp_path):
    with pytest.raises(ValueError, match=r"tape: expected one of .* did you mean 'carried'"):
        LanguageConfig(tape="caried")
    with pytest.raises(ValueError, match="decay: expected a number above 0, got 0"):
        LanguageConfig(decay=0)
    with pytest.raises(ValueError, match="skip_connections: expected False for a single layer"):
        LanguageConfig(skip_connections=True)
    with pytest.raises(ValueError, match="span: expected 0 with core 'lstm', which has no slots, got 3"):
        LanguageConfig(core="lstm", span=3)
    with pytest.raises(ValueError, match="weight_decay: expected 0 with optimizer 'sgd'"):
        LanguageConfig(weight_decay=0.1)
    with pytest.raises(ValueError, match="window: expected no other than 35 with tape 'sentence'.* got 7"):
        LanguageConfig(window=7)
    create_run(tmp_path / "other", AnsweringConfig(), (0,), make_vocabulary())
    with pytest.raises(RunError, match="expected the run of a language model, found one of AnsweringConfig"):
        load_language_model(tmp_path / "other")
    (tmp_path / "valid.txt").write_text("\n")
    with pytest.raises(DataError, match=r"valid\.txt.*expected at least one sentence"):
        train_language_model(dataclasses.replace(SMALL, corpus=TextFiles(text)))


def make_vocabulary():
    from memjax.data import Vocabulary

    return Vocabulary(("a",))


@pytest.mark.thorough
def test_the_penn_treebank_at_hand(data_dir):
    corpus = PennTreebank(str(data_dir))
    assert [len(corpus.sentences(split)) for split in ("valid", "test")] == [3370, 3761]
