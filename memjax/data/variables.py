# SPDX-License-Identifier: Apache-2.0
"""Exact match with variables: words of a question are named by where they stand in it, in the story too."""

import dataclasses
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from memjax.data.stories import Example, tokenize


def function_words(examples: Iterable[Example], share: float = 0.4) -> tuple[str, ...]:
    """The words that no variable stands for, since they ask and name nothing.

    These are the words of questions that are in no statement, and those that are in many questions.

    Args:
        examples: training questions over their stories.
        share: a function word is in at least this share of the questions.

    Returns:
        The words, sorted.

    Raises:
        ValueError: if `share` is not in (0, 1].

    Example:
        >>> told = ("Joe is here.", "Fred left.", "Mary slept.")
        >>> function_words([Example(told, f"Where is {name}?", (), ()) for name in ("Joe", "Fred", "Mary")])
        ('is', 'where')
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: expected a number above 0 and up to 1, got {share!r}")
    examples = list(examples)
    told = {word for text in {text for example in examples for text in example.statements} for word in tokenize(text)}
    counts = Counter(word for example in examples for word in set(tokenize(example.question)))
    return tuple(sorted(w for w, count in counts.items() if w not in told or count >= share * len(examples)))


def variables_of(question: str, function_words: Sequence[str], known: Container[str] | None = None) -> dict[str, str]:
    """The variable that each word of a question is bound to: words side by side that are no function words share one.

    Args:
        question: raw text.
        function_words: of `function_words`.
        known: the variables that a model was trained with, or its vocabulary; words that others would stand for stay
            as they are. None is all.

    Returns:
        Variables `#1`, `#2`, .. in the order of the question, by word.

    Example:
        >>> variables_of("Is the pink square below the triangle?", ("is", "the"))
        {'pink': '#1', 'square': '#1', 'below': '#1', 'triangle': '#2'}
    """
    variables: dict[str, str] = {}
    number, inside = 0, False
    for word in tokenize(question):
        if word not in function_words and word not in variables:
            number += not inside
            variables[word] = f"#{number}"
        inside = word not in function_words
    return {word: variable for word, variable in variables.items() if known is None or variable in known}


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """A text with variables in the place of words; a variable stands once where it would stand side by side.

    Example:
        >>> substitute("The pink square is left of the box.", {"pink": "#1", "square": "#1"})
        'the #1 is left of the box'
    """
    words: list[str] = []
    for word in (variables.get(word, word) for word in tokenize(text)):
        if not (words and words[-1] == word and word.startswith("#")):
            words.append(word)
    return " ".join(words)


def bind(example: Example, function_words: Sequence[str], known: Container[str] | None = None) -> Example:
    """The example with variables for what its question names, wherever it is named.

    What was learned of one name then holds for all, names never met included: the matching features of the paper, one
    for each place in the question in the place of one for each word.

    Args:
        example: a question over its story.
        function_words: of `function_words`.
        known: see `variables_of`.

    Returns:
        The same, in variables; an answer that is one word of the question is a variable too.

    Example:
        >>> bind(Example(("Joe left.", "Fred sat."), "Where is Joe?", ("hall",), (0,)), ("where", "is"))
        Example(statements=('#1 left', 'fred sat'), question='where is #1', answers=('hall',), supports=(0,), ...)

    Departs from the paper: section 3.6 of Weston et al. 2015 has a matching feature for each word; variables are ours.
    """
    variables = variables_of(example.question, function_words, known)
    return dataclasses.replace(
        example,
        statements=tuple(substitute(text, variables) for text in example.statements),
        question=substitute(example.question, variables),
        answers=tuple(substitute(text, variables) for text in example.answers),
    )
