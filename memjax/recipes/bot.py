# SPDX-License-Identifier: Apache-2.0
"""A trained bot to talk to: it hears an utterance, and answers or asks the knowledge base."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from memjax.data.conversations import utterance_words
from memjax.data.dialog import BOT, FACT, NO_RESULT, SILENCE, USER, ApiCall, Restaurants, is_fact
from memjax.memory import Memory, empty
from memjax.models import Candidates
from memjax.recipes.corpora import DialogBabi
from memjax.recipes.dialogs import TrainedDialogs, load_dialogs
from memjax.recipes.program import MAX_SENTENCE, params_of_seed
from memjax.typing import PAD, UNKNOWN

#: Marks that people write and dialogs do not have.
_MARKS = ".,;:!?"


@dataclasses.dataclass(frozen=True)
class ReadUtterance:
    """An utterance behind a response.

    Attributes:
        speaker: user, bot or fact.
        text: what was said.
        weight: the share of it in what was read, the mean over hops.
    """

    speaker: str
    text: str
    weight: float


@dataclasses.dataclass(frozen=True)
class BotReply:
    """What a bot says, or does.

    Attributes:
        response: one of the candidates.
        action: the question to the knowledge base that it is; None for what is said.
        facts: what the knowledge base gave for this utterance, as it is now in memory.
        read: the utterances that were read, most first.
        unknown: words of the utterance that training never met; they count nowhere.
    """

    response: str
    action: ApiCall | None
    facts: tuple[str, ...]
    read: tuple[ReadUtterance, ...]
    unknown: tuple[str, ...]


class Bot:
    """Holds what was said as a memory, and a trained model.

    The memory is a ring: when it is full, the oldest utterance makes place.

    Args:
        trained: of `memjax.recipes.train_dialogs` or `load_dialogs`.
        restaurants: a knowledge base that answers api_calls; without one they are only shown.
        num_slots: utterances that it remembers.
        seed_index: which of the models that were trained side by side.

    Raises:
        ValueError: if there is no such model.

    Example:
        `Bot.load("runs/dialog").say("can you book a table in rome").response`
    """

    def __init__(
        self,
        trained: TrainedDialogs,
        restaurants: Restaurants | None = None,
        num_slots: int = 256,
        seed_index: int = 0,
    ):
        self.restaurants = restaurants
        self._told_by_name = trained.config.corpus.task != 6
        self._encoder = trained.encoder
        self._program = trained.program
        self._params = params_of_seed(trained.params, seed_index)
        arrays = self._encoder.candidates()
        self._candidates = Candidates(*map(jnp.asarray, (arrays.tokens, arrays.entities, arrays.types)))
        tokens = jax.ShapeDtypeStruct((MAX_SENTENCE,), jnp.int32)
        key = jax.ShapeDtypeStruct((trained.config.features,), jnp.float32)
        self._memory = empty(num_slots, key, tokens)
        self._said: dict[int, tuple[str, str]] = {}  # what is in memory, by write time

    @classmethod
    def load(
        cls,
        folder: str | Path,
        restaurants: Restaurants | None = None,
        num_slots: int = 256,
        seed_index: int = 0,
    ) -> "Bot":
        """Loads a model of a run folder, with an empty memory.

        Raises:
            RunError: if there is no such run, or no checkpoint in it.
            ValueError: if the run has no such model.
        """
        return cls(load_dialogs(Path(folder)), restaurants, num_slots, seed_index)

    @property
    def memory(self) -> Memory:
        """The memory as it is now. The next utterance uses its buffers again: copy what is to be kept."""
        return self._memory

    def say(self, utterance: str) -> BotReply:
        """Answers a user, and remembers both.

        Of a restaurant that the user names, what the knowledge base knows is told first (but in task 6, some of whose
        restaurants have everyday words for names, as "ask"); what an api_call asks for, is told after it.

        Args:
            utterance: what the user says; `<SILENCE>` where it is empty, which lets the bot go on.

        Raises:
            ValueError: if it has more than 63 words.
        """
        text = self._known_words(utterance) or SILENCE
        tokens = self._tokens(USER, text)
        facts = self._look_up_names(text)
        present = np.zeros(self._candidates.types.shape[0], bool)
        for said in (*(said for _, said in self._said.values()), text):
            present[self._encoder.entities(said)] = True
        found = self._program.respond(self._params, self._memory, tokens, self._candidates, jnp.asarray(present))
        response = self._encoder.responses[int(jnp.argmax(found.scores))]
        read = self._read(np.asarray(found.hops.weights))
        action = ApiCall.parse(response)
        self._tell(USER, text)
        self._tell(BOT, response)
        if action is not None and self.restaurants is not None:
            told = [" ".join(fact) for fact in self.restaurants.find(action)] or [NO_RESULT]
            facts += self._tell_facts(told)
        words = utterance_words(text)
        unknown = tuple(word for word in self._encoder.vocabulary.unknown(words) if not self._encoder.entities(word))
        return BotReply(response, action, tuple(facts), read, unknown)

    def tell(self, fact: str) -> None:
        """Tells a fact, as the dialogs of tasks 3 and 4 begin with them; one that is remembered is left.

        Args:
            fact: "RESTAURANT R_RELATION VALUE", three words.

        Raises:
            ValueError: if it is no fact.
        """
        if not is_fact(fact):
            raise ValueError(f"fact: expected RESTAURANT R_RELATION VALUE, got {fact!r}")
        self._tell_facts([" ".join(fact.split())])

    def forget(self) -> None:
        """Empties the memory: the next utterance begins a dialog."""
        nothing = self._memory
        self._memory = empty(nothing.num_slots, nothing.keys[0], nothing.values[0])
        self._said = {}

    def _known_words(self, utterance: str) -> str:
        """The utterance, words without the marks around them where they are known so and not as they are."""
        words = []
        for word in utterance.split():
            bare = word.strip(_MARKS)
            known = self._encoder.vocabulary.encode(utterance_words(word)) != [UNKNOWN] or self._encoder.entities(word)
            words.append(word if known else bare)
        return " ".join(filter(None, words))

    def _tokens(self, speaker: str, text: str) -> jax.Array:
        ids = self._encoder.tokens(speaker, text)
        if len(ids) > MAX_SENTENCE:
            raise ValueError(f"utterance: expected at most {MAX_SENTENCE - 1} words, got {len(ids) - 1}: {text[:60]!r}")
        return jnp.asarray(ids + [PAD] * (MAX_SENTENCE - len(ids)), jnp.int32)

    def _tell(self, speaker: str, text: str) -> None:
        self._memory = self._program.tell(self._params, self._memory, self._tokens(speaker, text))
        time = max(self._said, default=-1) + 1
        self._said[time] = (speaker, text)
        self._said.pop(time - self._memory.num_slots, None)

    def _tell_facts(self, facts: list[str]) -> list[str]:
        """Tells the facts that are not in memory yet; that nothing was found is told each time."""
        known = {text for _, text in self._said.values()} - {NO_RESULT}
        new = [fact for fact in facts if fact not in known]
        for fact in new:
            self._tell(FACT, fact)
        return new

    def _look_up_names(self, text: str) -> list[str]:
        if self.restaurants is None or not self._told_by_name:
            return []
        found = [" ".join(fact) for word in text.lower().split() for fact in self.restaurants.about(word)]
        return self._tell_facts(found)

    def _read(self, weights: np.ndarray) -> tuple[ReadUtterance, ...]:
        """What was read, from weights `[P, N]`."""
        times, shares = np.asarray(self._memory.times), weights.mean(axis=0)
        order = [slot for slot in np.argsort(-shares, kind="stable") if times[slot] >= 0 and shares[slot] > 0]
        said = [(*self._said[int(times[slot])], round(float(shares[slot]), 4)) for slot in order]
        return tuple(ReadUtterance(speaker, text, weight) for speaker, text, weight in said)


def find_restaurants(trained: TrainedDialogs, data_folder: str) -> Restaurants:
    """The knowledge base that the corpus of a run has.

    Args:
        trained: of a run.
        data_folder: where the corpora lie.
    """
    corpus: DialogBabi = dataclasses.replace(trained.config.corpus, data=data_folder)
    return corpus.restaurants()
