# SPDX-License-Identifier: Apache-2.0
"""What questions ask about, learned from the simulated world without its lists of names."""

from memjax.data import Topics, Vocabulary, encode, simulation, token_lists
from memjax.data.stories import Example
from memjax.data.world import DEFAULT_WORLD


def test_names_are_found_and_objects_take_precedence():
    examples = simulation.generate(0, "train", num_statements=600, num_questions=300, difficulty=5)
    topics = Topics.learn(examples)
    actors, objects = len(DEFAULT_WORLD.actors), len(DEFAULT_WORLD.objects)
    assert set(topics.words[:actors]) == {name.lower() for name in DEFAULT_WORLD.actors}
    assert set(topics.words[actors:]) == set(DEFAULT_WORLD.objects) and len(topics.words) == actors + objects
    vocabulary = Vocabulary.build(token_lists(examples))
    texts = ("Joe went to the kitchen", "Dan left the milk there", "someone saw milk", "")
    stories = encode([Example(texts, "Where?", (), ())], vocabulary)
    about, names = topics.of(stories.sentences[stories.slots[0]], vocabulary)
    assert [topics.words[i] if i >= 0 else None for i in about] == ["joe", "milk", "milk", None]
    named = [{word for word, is_named in zip(topics.words, row, strict=True) if is_named} for row in names]
    assert named == [{"joe"}, {"dan", "milk"}, {"milk"}, set()]


def test_nothing_to_learn_from_is_no_topic():
    topics = Topics.learn([Example(("Joe left",), "Where is Joe?", ("hall",), ())])
    about, names = topics.of([[2, 3]], Vocabulary(("joe", "left")))
    assert topics.words == () and about.tolist() == [-1] and names.shape == (1, 0)
