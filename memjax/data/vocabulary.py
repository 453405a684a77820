# SPDX-License-Identifier: Apache-2.0
"""Words and their token ids."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable

from memjax.typing import NUM_SPECIAL, PAD, UNKNOWN


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words W of a corpus, each with a token id.

    Id `PAD` (0) is padding and id `UNKNOWN` (1) any word outside the vocabulary; `words[i]` has id `NUM_SPECIAL + i`.

    Args:
        words: the words, without repeats. The order decides the ids; `build` sorts them.

    Raises:
        ValueError: if a word is repeated, empty or not a string.

    Example:
        >>> vocabulary = Vocabulary.build([["where", "is", "joe"], ["joe", "left"]])
        >>> vocabulary.words
        ('is', 'joe', 'left', 'where')
        >>> vocabulary.encode(["joe", "sings"])
        [3, 1]
        >>> len(vocabulary), vocabulary.num_words, "joe" in vocabulary
        (6, 4, True)

    Reference: Weston et al. 2015, section 3.1 (W, "the set of all words in the dictionary").
    Departs from the paper: a fixed set, so that arrays keep their shapes; unseen words share one id.
    """

    words: tuple[str, ...]
    _ids: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks the words and numbers them."""
        object.__setattr__(self, "words", tuple(self.words))
        ids: dict[str, int] = {}
        for word in self.words:
            if not isinstance(word, str) or not word:
                raise ValueError(f"words: expected words that are not empty, got {word!r}; leave it out")
            if word in ids:
                raise ValueError(f"words: expected each word once, got {word!r} again; use Vocabulary.build")
            ids[word] = NUM_SPECIAL + len(ids)
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def build(cls, token_lists: Iterable[Iterable[str]]) -> "Vocabulary":
        """Collects the words of token lists, sorted by code point.

        Args:
            token_lists: lists of words, as `memjax.data.tokenize` gives them.

        Example:
            >>> Vocabulary.build([["b", "a"], ["b"]]).words
            ('a', 'b')
        """
        return cls(tuple(sorted({word for tokens in token_lists for word in tokens})))

    @property
    def num_words(self) -> int:
        """The number of words, without the special tokens."""
        return len(self.words)

    @property
    def hash(self) -> str:
        """SHA-256 of `to_json()`, in hexadecimal: equal for equal words in equal order, on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __len__(self) -> int:
        """The number of token ids, V: the words and the special tokens."""
        return len(self.words) + NUM_SPECIAL

    def __contains__(self, word: object) -> bool:
        """Whether the word has an id of its own."""
        return word in self._ids

    def encode(self, words: Iterable[str]) -> list[int]:
        """Returns the token id of each word, `UNKNOWN` for a word outside the vocabulary.

        Example:
            >>> Vocabulary(("a", "b")).encode(["b", "c"])
            [3, 1]
        """
        return [self._ids.get(word, UNKNOWN) for word in words]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Returns the words of token ids.

        Args:
            ids: integers in [0, len(self)); an int `[S]` array will do.

        Returns:
            One word for each id; padding is left out, and an unknown word is `"<unknown>"`.

        Raises:
            ValueError: if an id is out of range.

        Example:
            >>> Vocabulary(("a", "b")).decode([3, 1, 0])
            ['b', '<unknown>']
        """
        words = []
        for id_ in ids:
            if not 0 <= id_ < len(self):
                raise ValueError(
                    f"ids: expected ids from 0 to {len(self) - 1}, got {id_}; decode with the vocabulary that encoded"
                )
            if id_ != PAD:
                words.append("<unknown>" if id_ == UNKNOWN else self.words[id_ - NUM_SPECIAL])
        return words

    def unknown(self, words: Iterable[str]) -> list[str]:
        """Returns the words that have no id, in order and without repeats.

        Example:
            >>> Vocabulary(("a",)).unknown(["c", "a", "b", "c"])
            ['c', 'b']
        """
        return [word for word in dict.fromkeys(words) if word not in self._ids]

    def to_json(self) -> str:
        """Returns the words as JSON text, the same text for the same vocabulary on every machine.

        Example:
            >>> Vocabulary(("a", "b")).to_json()
            '{"words":["a","b"]}'
        """
        return json.dumps({"words": self.words}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """Returns the vocabulary that `to_json` wrote.

        Args:
            text: JSON text.

        Raises:
            ValueError: if the text is not what `to_json` writes.

        Example:
            >>> Vocabulary.from_json('{"words":["a","b"]}').words
            ('a', 'b')
        """
        try:
            words = json.loads(text)["words"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'text: expected JSON text like {{"words": ["a", "b"]}}, got {text[:40]!r}; pass what to_json wrote'
            ) from error
        if not isinstance(words, list):
            raise ValueError(f"text: expected a list of words, got {type(words).__name__}; pass what to_json wrote")
        return cls(tuple(words))
