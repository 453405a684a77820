# SPDX-License-Identifier: Apache-2.0
"""A bot from its configuration: trained, kept, talked to; runs that go on; what is wrong is named."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from memjax.data import ApiCall, Restaurants
from memjax.errors import DataError, RunError
from memjax.recipes import (
    AnsweringConfig,
    Bot,
    DialogBabi,
    DialogConfig,
    evaluate_dialogs,
    find_restaurants,
    load_dialogs,
    train_dialogs,
)
from memjax.recipes.config import from_json, to_json
from memjax.recipes.runs import create_run
from tests.interrupted import killed

CALLS = tuple(f"api_call thai {place} two cheap" for place in ("rome", "oslo", "bonn"))
CANDIDATES = ("hello", "where should it be", *CALLS, "how is a")
KNOWN = {"a": ("rome", "two"), "b": ("oslo", "six"), "c": ("bonn", "two")}
TOLD = (
    "1 hi\thello\n2 thai for two please\twhere should it be\n3 in {place} then\tapi_call thai {place} two cheap\n"
    "4 a R_location rome\n5 <SILENCE>\thow is a\n\n"
)


@pytest.fixture(autouse=True)
def corpus(tmp_path, monkeypatch):
    """A folder with tasks 1 and 6, of few words."""
    folder = tmp_path / "data" / "dialog-bAbI-tasks"
    folder.mkdir(parents=True)
    listed = "".join(f"1 {response}\n" for response in CANDIDATES)
    rome, oslo, bonn = (TOLD.format(place=place) for place in ("rome", "oslo", "bonn"))
    for name in ("dialog-babi-candidates", "dialog-babi-task6-dstc2-candidates"):
        (folder / f"{name}.txt").write_text(listed)
    for task in ("task1-API-calls", "task6-dstc2"):
        for split in ("trn", "dev", "tst"):
            (folder / f"dialog-babi-{task}-{split}.txt").write_text(rome + oslo)
    (folder / "dialog-babi-task1-API-calls-tst-OOV.txt").write_text(bonn)
    facts = [(name, relation, value) for name, (place, people) in KNOWN.items() for relation, value in
             (("R_cuisine", "thai"), ("R_location", place), ("R_number", people), ("R_price", "cheap"))]  # fmt: skip
    (folder / "dialog-babi-kb-all.txt").write_text("".join(f"1 {a} {b}\t{c}\n" for a, b, c in facts))
    monkeypatch.setenv("MEMJAX_DATA", str(tmp_path / "data"))
    return folder


def config_of(**options):
    settings = {"features": 8, "hops": 1, "learning_rate": 0.05, "batch_size": 2, "epochs": 30, **options}
    return DialogConfig(DialogBabi(settings.pop("task", 1)), **settings)


@pytest.mark.thorough
def test_a_bot_is_trained_kept_and_talked_to(tmp_path, corpus):
    """Training never met bonn: its type leads from what the user says to the right api_call."""
    config = config_of()
    trained = train_dialogs(config, folder=tmp_path / "run")
    assert trained.evaluate(config.corpus.dialogs("test")) == {"responses": [100.0], "dialogs": [100.0]}
    assert evaluate_dialogs(tmp_path / "run", "oov") == {"responses": [100.0], "dialogs": [100.0]}
    content = json.loads((tmp_path / "run" / "results.json").read_text())
    assert sorted(content) == ["oov", "valid"]
    known = find_restaurants(trained, str(corpus.parent))
    for path in corpus.iterdir():  # a trained bot does not want them
        path.unlink()
    bot = Bot.load(tmp_path / "run", known)
    assert bot.say("Hi!").response == "hello"
    reply = bot.say("thai for two, please")
    assert reply.response == "where should it be" and reply.action is None and reply.unknown == ()
    assert {said.text for said in reply.read} == {"Hi", "hello"}
    assert sum(said.weight for said in reply.read) == pytest.approx(1, abs=1e-3)
    reply = bot.say("in bonn then quickly")
    assert reply.action == ApiCall("thai", "bonn", "two", "cheap") and reply.unknown == ("quickly",)
    assert reply.facts == ("c R_cuisine thai", "c R_location bonn", "c R_number two", "c R_price cheap")
    assert int(bot.memory.count) == 6 + 4
    assert bot.say("").response in CANDIDATES  # <SILENCE>
    assert bot.say("what of b").facts[0] == "b R_cuisine thai"
    held = int(bot.memory.count)
    bot.tell("d  R_price cheap")
    bot.tell("d R_price cheap")
    assert int(bot.memory.count) == held + 1, "what is remembered is told once"
    with pytest.raises(ValueError, match="fact: expected RESTAURANT R_RELATION VALUE, got 'a cheap one'"):
        bot.tell("a cheap one")
    bot.forget()
    assert int(bot.memory.count) == 0 and bot.say("hi").read == ()
    with pytest.raises(ValueError, match="utterance: expected at most 63 words, got 64"):
        bot.say("hi " * 64)
    with pytest.raises(ValueError, match="seed_index: expected 0 to 0, got 1"):
        Bot(trained, seed_index=1)
    small = Bot(trained, Restaurants({}), num_slots=2)
    small.say("hi")
    assert len(small.say("thai for two please").read) == 2
    assert small.say("in rome then").facts == ("api_call no result",) and len(small.say("hi").read) == 2
    assert small.say("in rome then").facts == ("api_call no result",), "each time"


@pytest.mark.thorough
def test_a_run_goes_on_to_the_same_bits(tmp_path):
    config = config_of(epochs=4)
    whole = train_dialogs(config, seeds=(0, 1), folder=tmp_path / "whole")
    killed(partial(train_dialogs, config, seeds=(0, 1)), tmp_path / "stopped", epochs=2.1)
    stopped = train_dialogs(config, seeds=(0, 1), folder=tmp_path / "stopped", resume=True)
    for one, other in zip(jax.tree.leaves(whole.params), jax.tree.leaves(stopped.params), strict=True):
        np.testing.assert_array_equal(one, other)
    records = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "stopped")]
    assert [json.loads(line)["valid"] for line in records[0]] == [json.loads(line)["valid"] for line in records[1]]


@pytest.mark.thorough
def test_task_6_without_types(tmp_path):
    trained = train_dialogs(config_of(task=6, match=False, places="index", optimizer="sgd", epochs=2))
    assert trained.choices.types == {} and trained.program.model.type_words is None
    with pytest.raises(ValueError, match=r"split: expected one of \['train', 'valid', 'test'\] for task 6, got 'oov'"):
        trained.config.corpus.dialogs("oov")
    known = DialogBabi(6).restaurants()
    assert known.types() == {"rome": "R_location"}
    assert Bot(trained, known).say("how is a").facts == (), "everyday words are no names"


def test_what_is_wrong_is_named(tmp_path, corpus):
    with pytest.raises(ValueError, match="task: expected an integer from 1 to 6, got 0"):
        DialogBabi(0)
    with pytest.raises(ValueError, match="decay: expected a number above 0, 1 at most, got 1.5"):
        config_of(decay=1.5)
    with pytest.raises(ValueError, match="places: expected one of"):
        config_of(places="late")
    assert from_json(to_json(config_of(match=False)), "config.json") == config_of(match=False)

    create_run(tmp_path / "other", AnsweringConfig(), (0,), load_vocabulary())
    with pytest.raises(RunError, match="expected a run over dialogs, found one of AnsweringConfig"):
        load_dialogs(tmp_path / "other")
    create_run(tmp_path / "begun", config_of(), (0,), load_vocabulary())
    (tmp_path / "begun" / "choices.json").write_text('{"candidates": ["hello"]}')
    with pytest.raises(RunError, match="other candidates or entities than when the run was started; point --data"):
        train_dialogs(config_of(), folder=tmp_path / "begun", resume=True)
    with pytest.raises(DataError, match="expected candidates, types and num_places, got another file: KeyError"):
        load_dialogs(tmp_path / "begun")

    (corpus / "dialog-babi-candidates.txt").write_text("1 hello\n")
    with pytest.raises(DataError, match=r"dev.txt:2|trn.txt:2: expected a response that is among the candidates"):
        train_dialogs(config_of())


def load_vocabulary():
    from memjax.data.conversations import build_vocabulary

    return build_vocabulary(DialogBabi(1).dialogs("train"))
