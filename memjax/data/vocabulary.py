# SPDX-License-Identifier: Apache-2.0
"""Words and their token ids."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator

from memjax.typing import NUM_SPECIAL, PAD, UNKNOWN


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The words W of a corpus, each with a token id.

    Id `PAD` (0) is padding and id `UNKNOWN` (1) any word outside the vocabulary; `words[i]` has id `NUM_SPECIAL + i`.
    N-grams of words may have ids too, after those of all words: a bag of n-grams is then a bag of `features`.

    Args:
        words: the words, without repeats. The order decides the ids; `build` sorts them.
        ngrams: n-grams of 2 and more words, separated by spaces, without repeats.
        function_words: what examples are bound with before they are encoded (`memjax.data.variables`); None: they are
            encoded as they are.

    Attributes:
        longest_ngram: N, the words of the longest n-gram; 1 without n-grams.

    Raises:
        ValueError: if a word or n-gram is repeated, empty or not a string.

    Example:
        >>> vocabulary = Vocabulary.build([["where", "is", "joe"], ["joe", "left"]])
        >>> vocabulary.words
        ('is', 'joe', 'left', 'where')
        >>> vocabulary.encode(["joe", "sings"])
        [3, 1]
        >>> len(vocabulary), vocabulary.num_words, "joe" in vocabulary
        (6, 4, True)

    Reference: Weston et al. 2015, section 3.1 (W, "the set of all words in the dictionary"); Weston et al. 2016
    (bAbI), appendix A.2, bags of n-grams.
    Departs from the paper: a fixed set, so that arrays keep their shapes; unseen words share one id.
    """

    words: tuple[str, ...]
    ngrams: tuple[str, ...] = ()
    function_words: tuple[str, ...] | None = None
    longest_ngram: int = dataclasses.field(init=False, repr=False, compare=False)
    _ids: dict[str, int] = dataclasses.field(init=False, repr=False, compare=False)
    _entries: tuple[str, ...] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Checks the words and numbers them."""
        object.__setattr__(self, "words", tuple(self.words))
        object.__setattr__(self, "ngrams", tuple(self.ngrams))
        if self.function_words is not None:
            object.__setattr__(self, "function_words", tuple(self.function_words))
        ids: dict[str, int] = {}
        for name, entries in (("words", self.words), ("ngrams", self.ngrams)):
            for entry in entries:
                if not isinstance(entry, str) or not entry:
                    raise ValueError(f"{name}: expected {name} that are not empty, got {entry!r}; leave it out")
                if entry in ids:
                    raise ValueError(f"{name}: expected each once, got {entry!r} again; use Vocabulary.build")
                ids[entry] = NUM_SPECIAL + len(ids)
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_entries", self.words + self.ngrams)
        object.__setattr__(self, "longest_ngram", max((ngram.count(" ") + 1 for ngram in self.ngrams), default=1))

    @classmethod
    def build(
        cls, token_lists: Iterable[Iterable[str]], max_ngram: int = 1, function_words: tuple[str, ...] | None = None
    ) -> "Vocabulary":
        """Collects the words of token lists, sorted by code point, and their n-grams.

        Args:
            token_lists: lists of words, as `memjax.data.tokenize` gives them.
            max_ngram: N: n-grams of 2 to N words have features of their own; 1: words only.
            function_words: those that the token lists are bound with.

        Raises:
            ValueError: if `max_ngram` is below 1.

        Example:
            >>> Vocabulary.build([["b", "a"], ["b"]], max_ngram=2)
            Vocabulary(words=('a', 'b'), ngrams=('b a',), function_words=None)
        """
        if max_ngram < 1:
            raise ValueError(f"max_ngram: expected at least 1, got {max_ngram}")
        lists = [tuple(tokens) for tokens in token_lists]
        ngrams = {ngram for tokens in lists for ngram in _ngrams(tokens, max_ngram)}
        return cls(tuple(sorted({word for tokens in lists for word in tokens})), tuple(sorted(ngrams)), function_words)

    @property
    def num_words(self) -> int:
        """The number of words, without the special tokens."""
        return len(self.words)

    @property
    def hash(self) -> str:
        """SHA-256 of `to_json()`, in hexadecimal: equal for equal words in equal order, on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def __len__(self) -> int:
        """The number of token ids, V: the words, the n-grams and the special tokens."""
        return len(self._ids) + NUM_SPECIAL

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

    def features(self, words: Iterable[str]) -> list[int]:
        """Returns the token ids of the words, then those of the n-grams in them that have one.

        Example:
            >>> Vocabulary(("a", "b"), ("a b",)).features(["a", "b", "b"])
            [2, 3, 3, 4]

        Reference: Weston et al. 2016 (bAbI), appendix A.2, bags of n-grams.
        Departs from the paper: nothing; n-grams that training never met are left out, as words are.
        """
        words = tuple(words)
        ngrams = _ngrams(words, self.longest_ngram)
        return self.encode(words) + [self._ids[ngram] for ngram in ngrams if ngram in self._ids]

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
                words.append("<unknown>" if id_ == UNKNOWN else self._entries[id_ - NUM_SPECIAL])
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
        content = {"words": self.words, "ngrams": self.ngrams or None, "function_words": self.function_words}
        return json.dumps({k: v for k, v in content.items() if v is not None}, separators=(",", ":"))

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
            content = json.loads(text)
            lists = [content["words"], content.get("ngrams", []), content.get("function_words")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f'text: expected JSON text like {{"words": ["a", "b"]}}, got {text[:40]!r}; pass what to_json wrote'
            ) from error
        for entries in lists:
            if not isinstance(entries, list) and not (entries is None and entries is lists[2]):
                raise ValueError(
                    f"text: expected a list of words, got {type(entries).__name__}; pass what to_json wrote"
                )
        return cls(*lists)


def _ngrams(words: tuple[str, ...], longest: int) -> Iterator[str]:
    """The n-grams of 2 to `longest` words in a sentence, joined by spaces."""
    for n in range(2, longest + 1):
        for i in range(len(words) - n + 1):
            yield " ".join(words[i : i + n])
