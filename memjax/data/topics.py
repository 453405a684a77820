# SPDX-License-Identifier: Apache-2.0
"""What statements are about, learned from questions and the facts that support their answers."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from memjax.data.stories import Example, tokenize
from memjax.data.vocabulary import Vocabulary


@dataclasses.dataclass(frozen=True)
class Topics:
    """The words that questions ask about.

    Such a word is always shared by a question and its first supporting fact: "joe", "milk", but not "where", which no
    statement has, nor "the", which some have. Of two in one statement, it is about the one that is asked for where
    the other is named too: "Joe left the milk" answers where the milk is, and no question supported by it asks for Joe.

    Attributes:
        words: the words, those last that take precedence.

    Example:
        >>> told = ("Joe went to the hall", "Joe left the milk")
        >>> topics = Topics.learn([Example(told, "Where is milk?", ("hall",), (1, 0)),
        ...                        Example(told, "Where is Joe?", ("hall",), (0,))])
        >>> topics.words
        ('joe', 'milk')

    Departs from the paper: it has none; what memories are about is left to H, "the slot choosing function".
    """

    words: tuple[str, ...]

    @classmethod
    def learn(cls, examples: Iterable[Example]) -> "Topics":
        """Finds the words that examples ask about.

        Args:
            examples: questions to train on, enough that no other word is shared by chance whenever it is asked; those
                without supports are left out.
        """
        pairs = [
            (set(tokenize(example.question)), set(tokenize(example.statements[example.supports[0]])))
            for example in examples
            if example.supports
        ]
        asked = Counter(word for question, _ in pairs for word in question)
        shared = Counter(word for question, support in pairs for word in question & support)
        words = {word for word, times in asked.items() if shared[word] == times}
        beside = Counter(word for question, support in pairs if support & words - question for word in question & words)
        return cls(tuple(sorted(words, key=lambda word: (beside[word] / asked[word], word))))

    def of(
        self, sentences: Sequence[Sequence[int]] | np.ndarray, vocabulary: Vocabulary
    ) -> tuple[np.ndarray, np.ndarray]:
        """Says what each sentence is about.

        Args:
            sentences: `[M, S]`, token ids.
            vocabulary: their words.

        Returns:
            int32 `[M]`, the index in `words` of what the sentence is about, -1 for nothing; and bool `[M, len(words)]`,
            the words that it names.

        Example:
            >>> vocabulary = Vocabulary(("joe", "left", "milk"))
            >>> about, names = Topics(("joe", "milk")).of([[2, 3, 4], [3, 0, 0]], vocabulary)
            >>> about.tolist(), names.tolist()
            ([1, -1], [[True, True], [False, False]])
        """
        ids = np.array([vocabulary.encode([word])[0] for word in self.words], np.int32)
        names = (np.asarray(sentences)[:, :, None] == ids).any(axis=1)  # [M, words]
        ranks = np.arange(len(self.words), dtype=np.int32)
        return np.where(names, ranks, -1).max(axis=1, initial=-1), names
