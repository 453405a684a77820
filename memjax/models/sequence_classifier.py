# SPDX-License-Identifier: Apache-2.0
"""What a sentence expresses: an LSTMN, or an LSTM for comparison, the average of its states, and a classifier."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax.models._readers import Core, Head, average, check_rate, embed, make_core
from memjax.nn import LSTMN, Embedding
from memjax.typing import Array


class SequenceClassifier(nnx.Module):
    """Scores of C classes: embedding, a recurrent core, the average of its hidden states, two layers of ReLU.

    Args:
        num_words: W; ids are those of a vocabulary of W words.
        features: D, size of the embeddings.
        hidden_features: H, of each layer of the core.
        num_classes: C.
        core: `"lstmn"` or `"lstm"`.
        num_layers: L.
        span: how many slots back an LSTMN sees; None for all.
        head_features: of both layers of the classifier; None is H.
        dropout: of what the classifier's scores are made of.
        embedding_dropout: of embeddings; one mask for all steps of a sequence.
        word_dropout: of whole words' embeddings.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, a rate is not in [0, 1), or there is no such core.

    Example:
        >>> model = SequenceClassifier(6, 4, 8, 5, rngs=nnx.Rngs(0))
        >>> model(jnp.array([[2, 3, 4], [5, 0, 0]]), jnp.array([3, 1])).shape
        (2, 5)

    Reference: Cheng et al. 2016, section 5.2.
    Departs from the paper: biases, initial weights and the width of the classifier, which it does not state; where the
    classifier has dropout is that of the code it released. Dropout elsewhere is not in it.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        hidden_features: int,
        num_classes: int,
        *,
        core: Core = "lstmn",
        num_layers: int = 1,
        span: int | None = None,
        head_features: int | None = None,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_rate("embedding_dropout", embedding_dropout)
        check_rate("word_dropout", word_dropout)
        self.embedding_dropout, self.word_dropout = embedding_dropout, word_dropout
        self.embedding = Embedding(num_words, features, param_dtype=param_dtype, rngs=rngs)
        self.core = make_core(core, features, hidden_features, num_layers, span, param_dtype, rngs)
        width = hidden_features if head_features is None else head_features
        self.head = Head(hidden_features, width, num_classes, dropout, param_dtype, rngs)

    def __call__(self, tokens: Array, lengths: Array | None = None, *, key: Array | None = None) -> Array:
        """Scores the classes of sentences.

        Args:
            tokens: token ids, int `[B, T]`.
            lengths: int `[B]`, words that count in each row; None for all. A row of no words has the scores of an
                average of zeros.
            key: a random key for dropout; None for no dropout.

        Returns:
            `[B, C]`.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        inputs = embed(self.embedding, tokens, self.word_dropout, self.embedding_dropout, key)
        hidden: Any = self.core(inputs, lengths)
        return self.head(average(hidden, lengths), key)

    def attention(self, tokens: Array, lengths: Array | None = None) -> Array:
        """What each word of a sentence reads of the words before it.

        Args:
            tokens: token ids, int `[B, T]`.
            lengths: int `[B]`; None for all.

        Returns:
            `[L, B, T, T]`, row t the weights over the steps, float32 at least.

        Raises:
            ValueError: if the core is an LSTM, which has none.
        """
        if not isinstance(self.core, LSTMN):
            raise ValueError("core: expected 'lstmn' for attention weights, got 'lstm', which has none")
        return self.core.attention(self.embedding(tokens), lengths)
