# SPDX-License-Identifier: Apache-2.0
"""Language models over an LSTMN, or over an LSTM for comparison."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax.losses import word_log_probs
from memjax.models._readers import LanguageCore, check_rate, drop, embed, make_language_core
from memjax.nn import LSTM, LSTMN, Embedding, Recent, SoftMemory, _weights, remember
from memjax.typing import NUM_SPECIAL, Array

Tapes = tuple[Any, ...]  # of `memjax.lstmn.Tape`, or of words, `memjax.nn.Recent`


class LanguageModel(nnx.Module):
    """p(next word | words so far): embedding, a recurrent core, and a softmax over all words.

    Ids are those of a vocabulary of W words; its marks of the beginning and end of sentences are words like any other.

    Args:
        num_words: W.
        features: D, size of the embeddings.
        hidden_features: H, of each layer of the core.
        core: `"lstmn"` or `"lstm"`; or `"memn2n"`, an end-to-end memory of the latest words, for which D is 2 H.
        num_layers: L; hops of `"memn2n"`.
        span: how many slots back an LSTMN sees; None for all. The words that `"memn2n"` remembers.
        skip_connections: upper layers of an LSTM or LSTMN are fed the embeddings, too.
        tied: the scores of the words are products with their embeddings; where H is not D, h is projected to D first.
        dropout: of embeddings, and of what goes from the core to the scores; a mask for each step.
        word_dropout: of whole words' embeddings.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, a rate is not in [0, 1), there is no such core, or it has no skip connections.

    Example:
        >>> model = LanguageModel(6, 4, 8, rngs=nnx.Rngs(0))
        >>> tokens = jnp.array([[2, 3, 4]])
        >>> model(tokens).shape                                               # scores of the word after each
        (1, 3, 8)
        >>> model.log_probs(tokens[:, :-1], tokens[:, 1:]).shape
        (1, 2)

    Reference: Cheng et al. 2016, section 5.1; Sukhbaatar et al. 2015, section 5, for `"memn2n"`; dropout as in Zaremba
    et al. 2014, "Recurrent Neural Network Regularization", section 3.2.
    Departs from the papers: biases and initial weights, which Cheng et al. do not state (Sukhbaatar et al. draw all
    from N(0, 0.05^2), as here those of the hops alone are); `tied` and dropout are not in them.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        hidden_features: int,
        *,
        core: LanguageCore = "lstmn",
        num_layers: int = 1,
        span: int | None = None,
        skip_connections: bool = False,
        tied: bool = False,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_rate("dropout", dropout)
        check_rate("word_dropout", word_dropout)
        self.num_words, self.dropout, self.word_dropout = num_words, dropout, word_dropout
        self.embedding = Embedding(num_words, features, param_dtype=param_dtype, rngs=rngs)
        self.core = make_language_core(
            core, features, hidden_features, num_layers, span, skip_connections, param_dtype, rngs
        )
        project = tied and hidden_features != features
        self.projection = (
            _weights.matrix(rngs, hidden_features, features, _weights.default_init, param_dtype)
            if project
            else nnx.data(None)
        )
        self.kernel = (
            nnx.data(None)
            if tied
            else _weights.matrix(rngs, hidden_features, num_words + NUM_SPECIAL, _weights.default_init, param_dtype)
        )
        self.bias = nnx.Param(jnp.zeros(num_words + NUM_SPECIAL, param_dtype))

    def read(
        self,
        tokens: Array,
        lengths: Array | None = None,
        initial_tape: Tapes | None = None,
        *,
        key: Array | None = None,
    ) -> tuple[Array, Tapes]:
        """Reads words.

        Args:
            tokens: token ids, int `[B, T]`.
            lengths: int `[B]`, words that count in each row; None for all.
            initial_tape: of each layer, to go on from; None for empty ones.
            key: a random key for dropout; None for no dropout.

        Returns:
            what the scores of the next words are made of, `[B, T, H]` (D where h is projected); the tapes after the
            last step.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        hidden: Any
        embed_words = partial(
            embed, self.embedding, word_dropout=self.word_dropout, dropout=self.dropout, key=key, axes=()
        )
        if isinstance(self.core, SoftMemory):
            (recent,) = self.empty_tapes(tokens.shape[0], 1) if initial_tape is None else initial_tape
            slots = recent.inputs.shape[1]
            # The words that are remembered are embedded anew, so that the gradient reaches all of them.
            inputs = embed_words(tokens=jnp.concatenate([recent.inputs.astype(tokens.dtype), tokens], axis=1))
            hidden = self.core(inputs[:, slots:], lengths, (Recent(inputs[:, :slots], recent.length),))
            tapes: Tapes = (remember(recent, tokens, lengths),)
        else:
            hidden, tapes = self.core(embed_words(tokens=tokens), lengths, initial_tape, return_tape=True)
        return self._project(drop(hidden, self.dropout, key, 2)), tapes

    def output(self) -> tuple[Array, Array]:
        """The kernel `[H, V]` and the bias `[V]` that make scores of what `read` gives."""
        kernel = self.embedding.table[...].T if self.kernel is None else self.kernel[...]
        return kernel, self.bias[...]

    def __call__(self, tokens: Array, lengths: Array | None = None, initial_tape: Tapes | None = None) -> Array:
        """The scores of the word after each word, `[B, T, V]`; for few words. See `read` for the arguments."""
        return self._scores(self.read(tokens, lengths, initial_tape)[0])

    def log_probs(
        self,
        tokens: Array,
        targets: Array,
        lengths: Array | None = None,
        initial_tape: Tapes | None = None,
        *,
        return_tape: bool = False,
    ) -> Any:
        """The log-probability of the word that follows each word, without an array of words times vocabulary.

        Args:
            tokens: token ids, int `[B, T]`.
            targets: int `[B, T]`, the words that follow.
            lengths: int `[B]`; what is beyond means nothing.
            initial_tape: see `read`.
            return_tape: also return the tapes after the last step.

        Returns:
            `[B, T]`, at least float32; with `return_tape` also the tapes.
        """
        hidden, tapes = self.read(tokens, lengths, initial_tape)
        flat = word_log_probs(hidden.reshape(-1, hidden.shape[2]), *self.output(), targets.reshape(-1))
        log_probs = flat.reshape(targets.shape)
        return (log_probs, tapes) if return_tape else log_probs

    def empty_tapes(self, batch: int, slots: int) -> Tapes:
        """What a text that is read window by window starts from.

        Args:
            batch: B.
            slots: of an LSTMN's tapes, its span; an LSTM's have one.
        """
        if isinstance(self.core, SoftMemory):
            return (Recent(jnp.zeros((batch, self.core.slots), jnp.int32), jnp.zeros(batch, jnp.int32)),)
        return self.core.empty_tape(batch) if isinstance(self.core, LSTM) else self.core.empty_tape(batch, slots)

    def start(self, batch: int, slots: int) -> Any:
        """The state before the first word, for `step`.

        Args:
            batch: B.
            slots: words that will be read; an LSTMN keeps so many, or as many as its span.
        """
        tapes = self.empty_tapes(batch, 1)
        if not isinstance(self.core, LSTMN):
            return tapes
        return self.core.rings(tapes, slots if self.core.span is None else min(slots, self.core.span))

    def step(self, state: Any, tokens: Array) -> tuple[Any, Array]:
        """Reads one word more.

        Args:
            state: of `start`, or of the step before.
            tokens: int `[B]`.

        Returns:
            the new state; the scores of the next word, `[B, V]`.
        """
        if isinstance(self.core, SoftMemory):
            read, state = self.read(tokens[:, None], None, state)
            return state, self._scores(read[:, 0])
        state, hidden = self.core.step(state, self.embedding(tokens))
        return state, self._scores(self._project(hidden))

    def _project(self, hidden: Array) -> Array:
        return hidden if self.projection is None else hidden @ self.projection[...].astype(hidden.dtype)

    def _scores(self, hidden: Array) -> Array:
        kernel, bias = self.output()
        scores = hidden @ kernel.astype(hidden.dtype)
        return scores + jnp.broadcast_to(bias.astype(hidden.dtype), scores.shape)
