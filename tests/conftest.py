# SPDX-License-Identifier: Apache-2.0
"""What all tests share. The platform is JAX's own choice, or that of `JAX_PLATFORMS`."""

import os
import pathlib

# The CPU's newer emitters of fused loops make code for which most programs here take twice as long to compile.
os.environ["XLA_FLAGS"] = f"--xla_cpu_use_fusion_emitters=false {os.environ.get('XLA_FLAGS', '')}"

import jax
import pytest

# [B] + [B, D] is a mistake more often than a wish; adding an axis says which is meant.
jax.config.update("jax_numpy_rank_promotion", "raise")

TRAINING = {"recipes", "cli"}


#: Examples whose programs take long to compile; the README runs the like of them.
SLOW_EXAMPLES = {
    "memjax.addressing._beam.beam_hops",
    "memjax.hashing._clusters.cluster_buckets",
    "memjax.hashing._index.merge",
    "memjax.models.facts.FactMemNN",
    "memjax.models.key_value.KeyValueMemNN",
    "memjax.models.language_model.LanguageModel",
    "memjax.models.memn2n.MemN2N",
    "memjax.models.memnn.MemNN",
    "memjax.models.response_memn2n.ResponseMemN2N",
    "memjax.models.scenes.SceneMLP",
    "memjax.models.scenes.SceneMemNN",
    "memjax.models.segmenter.Segmenter",
    "memjax.models.sentence_memnn.SentenceMemNN",
    "memjax.models.sentence_pair_matcher.SentencePairMatcher",
    "memjax.models.sentence_responder.SentenceResponder",
    "memjax.models.sentence_responder.join_sentences",
    "memjax.models.sequence_classifier.SequenceClassifier",
    "memjax.nn.fusion.DeepFusion",
    "memjax.nn.fusion.ShallowFusion",
    "memjax.nn.fusion.SourceAttention",
    "memjax.nn.image_encoder.ImageEncoder",
    "memjax.nn.lstm.LSTM",
    "memjax.nn.lstmn.LSTMN",
    "memjax.nn.lstmn_cell.LSTMNCell",
    "memjax.nn.soft_memory.SoftMemory",
    "memjax.recipes.answerer.Answerer",
    "memjax.recipes.baseline.train_baseline",
    "memjax.recipes.end_to_end.train_end_to_end",
    "memjax.recipes.images.train_images",
    "memjax.recipes.key_value_reader.KeyValueReader",
    "memjax.recipes.knowledge_base.KnowledgeBase",
    "memjax.recipes.labelling.train_labeller",
    "memjax.recipes.language.train_language_model",
    "memjax.recipes.reader.Reader",
    "memjax.recipes.train.train",
    "memjax.search._hashed.hashed",
    "memjax.search._probed.probed",
    "memjax.search._sharded_write.sharded_write_many",
    "memjax.training.end_to_end.make_end_to_end_loss",
    "memjax.training.evaluation.predict",
    "memjax.training.key_value.make_key_value_loss",
    "memjax.training.labels.measure_labels",
    "memjax.training.ranking.make_memnn_loss",
    "memjax.training.state.create_state",
    "memjax.training.state.make_step",
}

#: Variants of tests that take long to compile, of which another variant is always run.
SLOW_VARIANTS = {
    "test_a_search_of_one_hit_a_hop_is_enough[True-False]",
    "test_a_wide_beam_finds_the_best_of_all_chains[False]",
    "test_an_exported_program_returns_what_the_jitted_one_does[LSTMN train step]",
    "test_an_exported_program_returns_what_the_jitted_one_does[MemNN train step]",
    "test_an_index_is_divided_and_written_with_the_memory[auto]",
    "test_empty_slots_change_nothing[MemNN]",
    "test_empty_slots_change_nothing[highest]",
    "test_empty_slots_change_nothing[in time order, stop]",
    "test_equals_exact_search_of_the_probed_lists[True-11]",
    "test_equals_the_equations[float32-True-3-True]",
    "test_equals_the_equations[float64-True-None-True]",
    "test_evaluate[train]",
    "test_fusion_equals_the_equations[shallow]",
    "test_gradients_agree_with_finite_differences[options1]",
    "test_gradients_agree_with_finite_differences[options2]",
    "test_hops_and_words_are_those_of_the_equations[options1]",
    "test_hops_and_words_are_those_of_the_equations[options3]",
    "test_hops_and_words_are_those_of_the_equations[options4]",
    "test_hops_and_words_are_those_of_the_equations[options7]",
    "test_hops_and_words_are_those_of_the_equations[options8]",
    "test_hops_and_words_are_those_of_the_equations[options9]",
    "test_loss_is_that_of_the_equations[softmax-options17]",
    "test_nan_and_infinity_are_never_found_and_hide_nothing[3]",
    "test_scores_are_those_of_the_equations[rnn]",
    "test_scores_follow_the_equations_at_each_hop[True]",
    "test_step_by_step_equals_the_equations[False]",
    "test_stopped_and_resumed[3]",
    "test_the_loss_falls_to_zero_where_right_facts_win[hinge-in_batch]",
    "test_the_loss_falls_to_zero_where_right_facts_win[softmax-hashed]",
    "test_without_tolerance_several_chains_are_the_one[False]",
    "test_word_by_word_is_all_at_once[lstm-None]",
    "test_word_by_word_is_all_at_once[lstmn-None]",
    "test_writes_equal_one_device[auto-free]",
    "test_writes_equal_one_device[auto-outside]",
    "test_writes_equal_one_device[explicit-least used]",
    "test_writes_equal_one_device[explicit-oldest]",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What takes longest comes first, so that no worker is left alone with it."""
    for item in items:
        if item.name in SLOW_EXAMPLES | SLOW_VARIANTS:
            item.add_marker(pytest.mark.thorough)
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        _check_lists(items)
    items.sort(key=lambda item: item.path.name not in ("test_devices.py", "README.md"))


def _check_lists(items):
    """Raises where an example of the list is not there, or no variant of a test is left to be run always."""
    gone = SLOW_EXAMPLES - {item.name for item in items}
    run = {(item.path, item.name.split("[")[0]) for item in items if not item.get_closest_marker("thorough")}
    listed = {(item.path, item.name.split("[")[0]) for item in items if item.name in SLOW_VARIANTS}
    if gone or listed - run:
        raise pytest.UsageError(f"tests/conftest.py: not there: {gone}; never run: {listed - run}")


@pytest.fixture(autouse=True)
def quick_compiles(request):
    """XLA's cheapest compile, but where models are trained: most tests run a program once or twice."""
    trains = TRAINING & set(request.path.parts)
    jax.config.update("jax_disable_most_optimizations", not trains)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True, scope="module")
def small_heap():
    """Drops a module's compiled programs, which gigabytes of would slow all later tests down."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """The folder of real corpora; skips the test where there is none."""
    folder = os.environ.get("MEMJAX_DATA")
    if not folder:
        pytest.skip("MEMJAX_DATA is not set: it names the folder of real corpora")
    path = pathlib.Path(folder)
    if not path.is_dir():
        pytest.skip(f"MEMJAX_DATA={folder} is not a folder")
    return path
