# SPDX-License-Identifier: Apache-2.0
"""Dialogs as the padded arrays that models read."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from memjax.data.dialog import Dialog
from memjax.data.vocabulary import Vocabulary

#: The word that says who spoke.
SPEAKER_WORDS = {"user": "<user>", "bot": "<bot>", "fact": "<fact>"}


def utterance_words(utterance: str) -> list[str]:
    """The words of an utterance, lower-case; marks are words or parts of words, since responses differ by them alone.

    Example:
        >>> utterance_words("Hello , what now?")
        ['hello', ',', 'what', 'now?']
    """
    return utterance.lower().split()


def build_vocabulary(dialogs: Sequence[Dialog]) -> Vocabulary:
    """The words of dialogs, and those that say who spoke.

    Example:
        >>> build_vocabulary([Dialog(("user", "bot"), ("hi", "hello"))]).words
        ('<bot>', '<fact>', '<user>', 'hello', 'hi')
    """
    said = {utterance for dialog in dialogs for utterance in dialog.utterances}
    return Vocabulary.build([*map(utterance_words, said), SPEAKER_WORDS.values()])


@dataclasses.dataclass(frozen=True, eq=False)
class CandidateArrays:
    """C responses to choose from, and the E entities of a knowledge base.

    Attributes:
        tokens: int32 `[C, S]`; 0 = padding.
        entities: int32 `[C, J]`, which entities a response names; -1 = none.
        types: int32 `[E]`, the type of each entity.
    """

    tokens: np.ndarray
    entities: np.ndarray
    types: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Conversations:
    """G dialogs of at most T turns; a dialog is rows of one table of M different utterances.

    The history of a response is what was said before it, so it needs no array of its own: of the dialog's rows those
    before `told` are in memory, row `told` is the user's last utterance, and the response follows.

    Attributes:
        utterances: int32 `[M, S]`, words and speaker of each different utterance; 0 = padding. Row 0 is empty.
        entities: int32 `[M, J]`, which entities each names; -1 = none.
        lines: int32 `[G, L]`, rows of `utterances`; -1 = after the end.
        told: int32 `[G, T]`, utterances before the user's last one; -1 = no turn.
        responses: int32 `[G, T]`, which candidate is right; -1 = no turn.
    """

    utterances: np.ndarray
    entities: np.ndarray
    lines: np.ndarray
    told: np.ndarray
    responses: np.ndarray

    def __len__(self) -> int:
        """G, the number of dialogs."""
        return len(self.lines)


class DialogEncoder:
    """Turns utterances into token ids, and knows which words are entities of a knowledge base.

    Args:
        vocabulary: words outside it become `UNKNOWN`.
        candidates: the responses to choose from.
        types: the type of each entity.

    Raises:
        ValueError: if there is no candidate, or one comes twice.

    Attributes:
        type_names: the types, sorted.

    Example:
        >>> dialog = Dialog(("user", "bot"), ("rome please", "api_call thai rome two cheap"))
        >>> encoder = DialogEncoder(build_vocabulary([dialog]), dialog.utterances[1:], {"rome": "R_location"})
        >>> encoded = encoder.encode([dialog])
        >>> encoded.told.tolist(), encoded.responses.tolist(), encoded.entities[encoded.lines[0, 0]].tolist()
        ([[0]], [[0]], [0])
        >>> encoder.candidates().entities.tolist()
        [[0]]
    """

    def __init__(self, vocabulary: Vocabulary, candidates: Sequence[str], types: Mapping[str, str]):
        self.vocabulary = vocabulary
        self.responses = tuple(candidates)
        self._rows = {response: i for i, response in enumerate(self.responses)}
        if not self.responses or len(self._rows) < len(self.responses):
            found = f"{len(self.responses)}, {len(self._rows)} of them different"
            raise ValueError(f"candidates: expected one or more different responses, got {found}")
        self.type_names = tuple(sorted(set(types.values())))
        self._entities = {entity: i for i, entity in enumerate(types)}
        self._types = [self.type_names.index(type_) for type_ in types.values()]

    def tokens(self, speaker: str, utterance: str) -> list[int]:
        """The token ids of an utterance, the speaker's word first."""
        return self.vocabulary.encode([SPEAKER_WORDS[speaker], *utterance_words(utterance)])

    def entities(self, utterance: str) -> list[int]:
        """The entities that an utterance names, each once."""
        words = dict.fromkeys(utterance_words(utterance))
        return [self._entities[word] for word in words if word in self._entities]

    def candidates(self) -> CandidateArrays:
        """The responses to choose from, without a speaker."""
        tokens = [self.vocabulary.encode(utterance_words(response)) for response in self.responses]
        return CandidateArrays(
            tokens=_pad(tokens, 0),
            entities=_pad([self.entities(response) for response in self.responses], -1),
            types=np.asarray(self._types, np.int32),
        )

    def encode(self, dialogs: Sequence[Dialog]) -> Conversations:
        """Turns dialogs into arrays.

        Raises:
            ValueError: if there is no dialog, or a response is none of the candidates.
        """
        if not dialogs:
            raise ValueError("dialogs: expected at least one, got none")
        rows: dict[tuple[str, str], int] = {}
        tokens: list[list[int]] = [[]]
        entities: list[list[int]] = [[]]
        for dialog in dialogs:
            for said in zip(dialog.speakers, dialog.utterances, strict=True):
                if said not in rows:
                    rows[said] = len(tokens)
                    tokens.append(self.tokens(*said))
                    entities.append(self.entities(said[1]))
        return Conversations(
            utterances=_pad(tokens, 0),
            entities=_pad(entities, -1),
            lines=_pad([[rows[said] for said in zip(d.speakers, d.utterances, strict=True)] for d in dialogs], -1),
            told=_pad([[place - 1 for place in dialog.responses] for dialog in dialogs], -1),
            responses=_pad([self._right(number, dialog) for number, dialog in enumerate(dialogs)], -1),
        )

    def _right(self, number: int, dialog: Dialog) -> list[int]:
        """The candidates that the bot's responses are."""
        given = [dialog.utterances[place] for place in dialog.responses]
        unknown = next((response for response in given if response not in self._rows), None)
        if unknown is not None or not given:
            found = "a dialog without any" if unknown is None else repr(unknown)
            raise ValueError(
                f"dialogs[{number}]: expected responses that are among the {len(self._rows)} candidates, got {found}"
            )
        return [self._rows[response] for response in given]


def _pad(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    array = np.full((len(rows), max(1, *(len(row) for row in rows), 1)), fill, np.int32)
    for i, row in enumerate(rows):
        array[i, : len(row)] = row
    return array
