# SPDX-License-Identifier: Apache-2.0
"""Labels from a configuration: vectors of words, run folders, what is wrong is named."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from experiments import inference as inference_experiment
from experiments import sentiment as sentiment_experiment
from memjax.cli.read import Line, labels
from memjax.data import Vocabulary
from memjax.errors import DataError, RunError
from memjax.recipes import (
    SNLI,
    SST,
    AnsweringConfig,
    InferenceConfig,
    LabelledTexts,
    Labeller,
    SentimentConfig,
    evaluate_labeller,
    load_labeller,
    train_labeller,
)
from memjax.recipes.config import from_json, to_json
from memjax.recipes.labeller import Label
from memjax.recipes.labelling import encode_texts
from memjax.recipes.reading import like_lengths
from memjax.recipes.runs import create_run
from memjax.typing import NUM_SPECIAL, UNKNOWN
from tests.interrupted import killed

TREES = "(4 (2 a) (4 gem))\n(0 (2 a) (0 bore))\n(4 (4 superb) (2 .))\n(0 (0 dull) (2 .))\n(2 (2 a) (2 film))\n"


@pytest.fixture(autouse=True)
def corpora(tmp_path, monkeypatch):
    """A folder with both corpora, and vectors of some of their words."""
    monkeypatch.setenv("MEMJAX_DATA", str(tmp_path / "data"))
    for split in ("train", "dev", "test"):
        path = tmp_path / "data" / "sst" / "trees" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TREES)
    pairs = tmp_path / "data" / "snli"
    pairs.mkdir()
    (pairs / "train_subset_a.tsv").write_text(
        "3\t3\ta dog runs\ta dog\n2\t2\ta dog runs\ta cat\n1\t1\ta man\tan old man\n"
    )
    (pairs / "dev.tsv").write_text("premise\thypothesis\tlabel\na dog runs\ta dog .\t0\na dog runs\tthe cat\t2\n")
    (pairs / "test.tsv").write_text("premise\thypothesis\tlabel\nthe dog runs\ta dog .\t0\n")
    vectors = tmp_path / "data" / "glove" / "glove.tiny.txt"
    vectors.parent.mkdir()
    vectors.write_text("great 1 0 1 0\na 0 1 0 1\ngem 2 0 0 0\n. 0 0 0 1\n")
    return tmp_path / "data"


def sentiment(**options):
    settings = {"core": "lstm", "features": 4, "hidden_features": 8, "dropout": 0.0, "learning_rate": 0.05, "epochs": 8}
    return SentimentConfig(SST(fine=False), **{**settings, "vectors": "glove", "batch_size": 2, **options})


@pytest.mark.thorough
def test_a_run_is_trained_kept_and_used(tmp_path, corpora):
    config = sentiment(tuning="frozen", file_words=1, epochs=20)
    trained = train_labeller(config, folder=tmp_path / "run")
    assert trained.evaluate(config.corpus.texts("train"))["accuracy"] == [100.0]
    table = trained.params["embedding"]["table"]
    row = dict(zip(trained.vocabulary.words, np.moveaxis(table[:, NUM_SPECIAL:], 1, 0), strict=True))
    np.testing.assert_array_equal(row["gem"], [[2, 0, 0, 0]])  # found, frozen
    np.testing.assert_array_equal(row["great"], [[1, 0, 1, 0]])  # of the file, not of the texts
    assert not table[:, UNKNOWN].any()

    (corpora / "glove" / "glove.tiny.txt").unlink()  # a trained model does not want it
    assert evaluate_labeller(tmp_path / "run")["accuracy"] == [100.0]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert sorted(results) == ["test", "valid"] and sorted(results["test"]) == ["accuracy", "nats"]
    assert str(corpora) not in (tmp_path / "run" / "config.json").read_text()
    labeller = Labeller.load(tmp_path / "run")
    lines = ["A gem.", "dull\n", "", "a bore zzz zzz"]
    said = labeller.label(lines)
    assert [label.name for label in said[:2]] == ["positive", "negative"] and said[3].unknown == ("zzz",)
    assert all(abs(sum(label.probabilities.values()) - 1) < 1e-5 for label in said)
    assert labeller.label([]) == []
    printed = labels(labeller, [Line("-", 1, "A gem."), Line("-", 4, "dull")], False)
    assert list(printed) == ["positive  A gem.", "", "", "negative  dull"], "a line for a line"
    several = labeller.label(["A gem.", "dull " * 300, "dull"])  # a long line is read beside no short ones
    assert [label.name for label in several] == ["positive", "negative", "negative"]
    assert several[0].probabilities == pytest.approx(said[0].probabilities, abs=1e-5)
    with pytest.raises(ValueError, match="seed_index: expected 0 to 0, got 1"):
        Labeller(load_labeller(tmp_path / "run"), 1)


@pytest.mark.thorough
def test_a_run_goes_on_to_the_same_bits(tmp_path):
    config = sentiment(tuning="scaled_first", epochs=3)
    whole = train_labeller(config, seeds=(0, 1), folder=tmp_path / "whole")
    assert not np.array_equal(*whole.params["embedding"]["table"]), "words without a vector have one of each seed"
    killed(partial(train_labeller, config, seeds=(0, 1)), tmp_path / "stopped", epochs=1.1)
    stopped = train_labeller(config, seeds=(0, 1), folder=tmp_path / "stopped", resume=True)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(stopped.params), strict=True):
        np.testing.assert_array_equal(one, other)
    records = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "stopped")]
    assert [json.loads(line)["valid"] for line in records[0]] == [json.loads(line)["valid"] for line in records[1]]


def test_vectors_that_do_not_fit_cost_no_run(tmp_path):
    with pytest.raises(ValueError, match="features: expected 4, the numbers of each vector"):
        train_labeller(sentiment(tuning="frozen", features=5), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{"fusion": "deep"}, {"core": "lstm", "compare": "match", "shared": False}])
def test_pairs_are_trained_and_told(tmp_path, options):
    settings = {"features": 4, "hidden_features": 8, "epochs": 30, "learning_rate": 0.02, "dropout": 0.0, **options}
    config = InferenceConfig(SNLI(), **settings)
    trained = train_labeller(config, folder=tmp_path / "run")
    assert trained.evaluate(config.corpus.texts("valid"))["accuracy"] == [100.0]
    labeller = Labeller.load(tmp_path / "run")
    lines = ["A dog runs\tthe cat", "a dog runs\t", "a dog runs\ta dog."]
    said, alone = labeller.label(lines), labeller.label(lines[:1])[0]
    assert said[0].name == "contradiction" and said[2].name == "entailment"
    assert alone.probabilities == pytest.approx(said[0].probabilities, abs=1e-5)
    with pytest.raises(ValueError, match="line: expected a premise, a tab and a hypothesis, got 'a dog'"):
        labeller.label(["a dog"])
    if options.get("fusion"):
        words, weights = labeller.attention("A dog runs\ta cat")
        assert words == (("a", "dog", "runs"), ("a", "cat")) and weights.inter.shape == (1, 2, 3)


def test_settings_that_do_not_fit_are_named(corpora):
    with pytest.raises(ValueError, match="features: expected 4, the numbers of each vector in .*--features 4"):
        train_labeller(sentiment(features=5))
    with pytest.raises(ValueError, match="tuning, file_words: expected 'all' and 0 without vectors"):
        sentiment(vectors="none", tuning="frozen")
    with pytest.raises(ValueError, match="fusion: expected 'none' with core 'lstm'"):
        InferenceConfig(core="lstm", fusion="deep")
    (corpora / "glove" / "glove.tiny.txt").rename(corpora / "glove" / "other.txt")
    with pytest.raises(DataError, match="expected one file glove.*got none; pass --vectors PATH"):
        train_labeller(sentiment())
    trained = sentiment(vectors=str(corpora / "glove" / "other.txt"))
    assert to_json(trained)["vectors"] == "other.txt"
    assert from_json(to_json(trained), "config.json").vectors == "other.txt"
    assert from_json(to_json(InferenceConfig(fusion="deep")), "config.json") == InferenceConfig(fusion="deep")


def test_what_cannot_be_labelled_is_named():
    class Pairs:
        """Does not get to labelling."""

        names = ("yes",)
        split = staticmethod(SNLI().split_line)

    with pytest.raises(DataError, match=r"a\.tsv:3: line: expected a premise, a tab and a hypothesis, got 'a dog'"):
        list(labels(Pairs, [Line("a.tsv", 3, "a dog")], False))
    with pytest.raises(DataError, match=r"a\.tsv:2: expected words in each sentence, got 'a dog\\t'"):
        list(labels(Pairs, [Line("a.tsv", 1, "a\tb"), Line("a.tsv", 2, "a dog\t")], False))


def test_words_that_are_unknown_are_counted(capsys):
    class Told:
        """Says yes to everything."""

        names, vocabulary = ("yes",), Vocabulary(("a",))
        split = staticmethod(SST().split_line)

        @staticmethod
        def label_texts(texts):
            return [Label("yes", {"yes": 1.0}, ()) for _ in texts]

    assert list(labels(Told, [Line("-", 1, "a b"), Line("-", 2, "b")], False)) == ["yes  a b", "yes  b"]
    assert (
        capsys.readouterr().err == "memjax: 2 of 3 words are unknown to the model, which reads nothing in their place\n"
    )
    assert list(labels(Told, [Line("-", 1, "a")], True)) == ["yes  yes 1.000  a"]
    assert capsys.readouterr().err == ""


def test_no_array_is_made_of_lines_of_unlike_length():
    lengths = np.array([3] * 40 + [300, 100_000])
    shapes = [(len(batch.rows), batch.num_steps) for batch in like_lengths(lengths)]
    assert shapes == [(32, 8), (32, 8), (16, 512), (1, 131072)]
    assert sorted(row for batch in like_lengths(lengths) for row in batch.rows if row >= 0) == list(range(42))


@pytest.mark.thorough
def test_experiments_measure_a_row(tmp_path, capsys):
    """Sentiment and inference, from corpora of a few lines to their tables; a second call measures nothing anew."""
    flags = {"features": 4, "seeds": 2, "epochs": 1}
    sentiment_flags = sentiment_experiment.Config(folder=tmp_path / "sst", tasks=("fine",), models=("LSTM",), **flags)
    pair_flags = inference_experiment.Config(
        folder=tmp_path / "snli", models=("LSTMN, shallow",), vectors=("none",), hidden_features=12, **flags
    )
    for experiment, config in ((sentiment_experiment, sentiment_flags), (inference_experiment, pair_flags)):
        experiment.main(config)
        table, before = capsys.readouterr().out, (config.folder / "results.json").read_text()
        experiment.main(config)
        assert capsys.readouterr().out == table and (config.folder / "results.json").read_text() == before
        (row,) = json.loads(before)["rows"].values()
        assert len(row["accuracy"]) == len(row["valid"]) == 2 and row["epochs"] == 1 and 0 < row["padding"] < 1
    assert "| LSTMN, shallow, h = 12 | none    |" in table


def test_labels_outside_are_named():
    texts = LabelledTexts([(("a",),), (("b", "a"),)], [0, 2])
    with pytest.raises(ValueError, match=r"labels: expected integers from 0 to 1, got \[0, 2\]"):
        encode_texts(texts, Vocabulary(("a",)), 2)
    with pytest.raises(ValueError, match="texts: expected at least one, got none"):
        encode_texts(LabelledTexts([], []), Vocabulary(("a",)), 2)
    batch, lengths = encode_texts(texts, Vocabulary(("a",)), 3)
    assert batch.tokens.tolist() == [[2, 0], [1, 2]] and lengths.tolist() == [1, 2]


def test_another_run_is_refused(tmp_path):
    create_run(tmp_path / "run", AnsweringConfig(), (0,), Vocabulary(("a",)))
    with pytest.raises(RunError, match="expected the run of a model of labels, found one of AnsweringConfig"):
        load_labeller(tmp_path / "run")
