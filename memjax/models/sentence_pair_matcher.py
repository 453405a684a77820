# SPDX-License-Identifier: Apache-2.0
"""How two sentences stand to each other: both are read, averaged, joined and classified."""

from typing import Any, Literal

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from memjax import _checks
from memjax.models._readers import CORES, Core, Head, average, check_rate, embed, make_core
from memjax.nn import LSTMN, DeepFusion, Embedding, FusedAttention, ShallowFusion
from memjax.typing import Array

#: How the reader of the hypothesis sees the premise.
Fusion = Literal["none", "shallow", "deep"]
FUSIONS = ("none", "shallow", "deep")
#: What of the two averages u and v is classified.
Compare = Literal["concat", "match"]
COMPARISONS = ("concat", "match")

_FUSED = {"shallow": ShallowFusion, "deep": DeepFusion}


class SentencePairMatcher(nnx.Module):
    """Scores of C relations between a premise and a hypothesis.

    Both are read by a recurrent core, each one's hidden states are averaged, to u and v, and two layers of ReLU score
    what is made of them.

    Args:
        num_words: W; ids are those of a vocabulary of W words.
        features: D, size of the embeddings.
        hidden_features: H, of each layer of the core.
        num_classes: C.
        core: `"lstmn"` or `"lstm"`.
        fusion: `"none"`: the two are read apart; `"shallow"` or `"deep"`: the reader of the hypothesis attends to the
            premise, which an LSTMN alone can.
        shared: one network reads both. The parameter counts that the paper prints are of that, its released code has
            two.
        compare: `"concat"`, [u, v], or `"match"`, [u, v, |u - v|, u * v]; in shallow fusion also the averages of g_t,
            |h_t - g_t| and h_t * g_t: what word t of the hypothesis read of the premise beside its own state, which is
            then what asks for it.
        num_layers: L.
        span: how many slots back an LSTMN sees; None for all.
        head_features: of both layers of the classifier; None is H.
        dropout: of what the classifier's scores are made of.
        embedding_dropout: of embeddings; one mask for all steps of a sequence.
        word_dropout: of whole words' embeddings, the same words in premise and hypothesis.
        param_dtype: of the parameters.
        rngs: random keys.

    Raises:
        ValueError: if a size is below 1, a rate is not in [0, 1), a choice is none of those named, or fusion is asked
            of an LSTM.

    Example:
        >>> model = SentencePairMatcher(6, 4, 8, 3, fusion="deep", rngs=nnx.Rngs(0))
        >>> model(jnp.array([[2, 3, 4]]), jnp.array([[2, 5]])).shape
        (1, 3)

    Reference: Cheng et al. 2016, sections 4 and 5.3.
    Departs from the paper: biases and initial weights, which it does not state; where the classifier has dropout is
    that of the code it released. `compare="match"` and dropout elsewhere are not in it. How shallow fusion goes to the
    prediction it leaves open: `"concat"` adds g_t to h_t.
    """

    def __init__(
        self,
        num_words: int,
        features: int,
        hidden_features: int,
        num_classes: int = 3,
        *,
        core: Core = "lstmn",
        fusion: Fusion = "none",
        shared: bool = True,
        compare: Compare = "concat",
        num_layers: int = 1,
        span: int | None = None,
        head_features: int | None = None,
        dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        word_dropout: float = 0.0,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        check_fusion(core, fusion)
        _checks.one_of("compare", compare, COMPARISONS)
        check_rate("embedding_dropout", embedding_dropout)
        check_rate("word_dropout", word_dropout)
        self.compare = compare
        self.embedding_dropout, self.word_dropout = embedding_dropout, word_dropout
        self.embedding = Embedding(num_words, features, param_dtype=param_dtype, rngs=rngs)
        self.fusion: Any = nnx.data(None)
        self.reader: Any = nnx.data(None)
        self.other: Any = nnx.data(None)  # Reads the hypothesis, where it is another network.
        if fusion == "none":
            sizes = (core, features, hidden_features, num_layers, span, param_dtype, rngs)
            self.reader = make_core(*sizes)
            self.other = nnx.data(None) if shared else make_core(*sizes)
        else:
            options: dict[str, Any] = {"num_layers": num_layers, "span": span, "share_weights": shared}
            if fusion == "shallow" and compare == "match":
                options |= {"query": "hidden", "combine": "concat"}
            self.fusion = _FUSED[fusion](features, hidden_features, param_dtype=param_dtype, rngs=rngs, **options)
        width = hidden_features if head_features is None else head_features
        joined = 2 if compare == "concat" else 7 if fusion == "shallow" else 4
        self.head = Head(joined * hidden_features, width, num_classes, dropout, param_dtype, rngs)

    def __call__(
        self,
        premises: Array,
        hypotheses: Array,
        premise_lengths: Array | None = None,
        hypothesis_lengths: Array | None = None,
        *,
        key: Array | None = None,
    ) -> Array:
        """Scores how pairs of sentences stand to each other.

        Args:
            premises: token ids, int `[B, J]`.
            hypotheses: token ids, int `[B, T]`.
            premise_lengths: int `[B]`, words that count in each row; None for all. The average of no words is zeros.
            hypothesis_lengths: int `[B]`; None for all.
            key: a random key for dropout; None for no dropout.

        Returns:
            `[B, C]`.

        Raises:
            ValueError: if a shape, dtype or size does not fit.
        """
        source = embed(self.embedding, premises, self.word_dropout, self.embedding_dropout, key, 1)
        target = embed(self.embedding, hypotheses, self.word_dropout, self.embedding_dropout, key, 2)
        read, said = self._read(source, target, premise_lengths, hypothesis_lengths)
        own, *across = jnp.split(said, said.shape[-1] // read.shape[-1], axis=-1)  # h_t, and g_t where it is apart
        u, v = average(read, premise_lengths), average(own, hypothesis_lengths)
        joined = [u, v]
        if self.compare == "match":
            joined += [jnp.abs(u - v), u * v]
        for other in across:
            joined += [average(each, hypothesis_lengths) for each in (other, jnp.abs(own - other), own * other)]
        return self.head(jnp.concatenate(joined, axis=-1), key)

    def attention(
        self,
        premises: Array,
        hypotheses: Array,
        premise_lengths: Array | None = None,
        hypothesis_lengths: Array | None = None,
    ) -> FusedAttention:
        """What the words of each sentence read of the words before them, and of the premise.

        Args:
            premises: token ids, int `[B, J]`; see a call.
            hypotheses: token ids, int `[B, T]`.
            premise_lengths: int `[B]`; None for all.
            hypothesis_lengths: int `[B]`; None for all.

        Returns:
            The weights; `inter` is None without fusion.

        Raises:
            ValueError: if the core is an LSTM, which has none.
        """
        source, target = self.embedding(premises), self.embedding(hypotheses)
        if self.fusion is not None:
            return self.fusion(source, target, premise_lengths, hypothesis_lengths, return_attention=True).attention
        if not isinstance(self.reader, LSTMN):
            raise ValueError("core: expected 'lstmn' for attention weights, got 'lstm', which has none")
        other = self.reader if self.other is None else self.other
        own = self.reader.attention(source, premise_lengths), other.attention(target, hypothesis_lengths)
        return FusedAttention(*own, None)

    def _read(
        self, source: Array, target: Array, source_lengths: Array | None, target_lengths: Array | None
    ) -> tuple[Array, Array]:
        """The hidden states of both."""
        if self.fusion is not None:
            fused = self.fusion(source, target, source_lengths, target_lengths)
            return fused.source, fused.target
        if self.other is not None:
            return self.reader(source, source_lengths), self.other(target, target_lengths)
        if source.shape != target.shape or (source_lengths is None) != (target_lengths is None):
            return self.reader(source, source_lengths), self.reader(target, target_lengths)
        lengths = None
        if source_lengths is not None and target_lengths is not None:
            lengths = jnp.concatenate([source_lengths, target_lengths])
        hidden = self.reader(jnp.concatenate([source, target]), lengths)  # [2B, T, H]: one scan, not two
        read, said = jnp.split(hidden, 2)
        return read, said


def check_fusion(core: str, fusion: str) -> None:
    """Raises `ValueError` where there is no such core or fusion, or the two do not go together."""
    _checks.one_of("core", core, CORES)
    _checks.one_of("fusion", fusion, FUSIONS)
    if core != "lstmn" and fusion != "none":
        raise ValueError(
            f"fusion: expected 'none' with core {core!r}, whose states are on no tape to attend to, got {fusion!r}; "
            "take core 'lstmn'"
        )
