# SPDX-License-Identifier: Apache-2.0
"""Questions over a knowledge base as device arrays, and the loss that ranks the facts on the way to the answer."""

import dataclasses
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import struct

from memjax import _checks
from memjax.losses import sample_one
from memjax.models import FactMemNN
from memjax.training.ranking import LOSSES
from memjax.training.state import ModelLossFn
from memjax.typing import Array

NEGATIVES = ("sampled", "in_batch", "hashed")


@struct.dataclass
class Facts:
    """A knowledge base on the device: N triples over E entities, and where to find them.

    Attributes:
        keys: token ids of each triple.
        triples: subject, relation, object.
        names: token ids of each entity's name.
        group_starts: where the triples of entity * G + step begin in `group_rows`.
        group_rows: triples by entity and step.
        bucket_starts: where the triples that hold a token begin in `bucket_rows`.
        bucket_rows: triples by token: the paper's word hash.
    """

    keys: Array  # int32 [N, S]
    triples: Array  # int32 [N, 3]
    names: Array  # int32 [E, S']
    group_starts: Array  # int32 [E * G + 1]
    group_rows: Array  # int32 [2 N]
    bucket_starts: Array  # int32 [V + 1]
    bucket_rows: Array  # int32 [N S]

    @property
    def num_steps(self) -> int:
        """G, the kinds of steps: relation and side."""
        return (self.group_starts.shape[0] - 1) // self.names.shape[0]

    def draw(self, key: Array, entity: Array, step: Array, found: Array) -> tuple[Array, Array]:
        """Draws a triple in which an entity takes a step; the next one where the one drawn was found before.

        Args:
            key: a random key.
            entity: int scalar.
            step: int scalar.
            found: int `[P]`, triples that may not be found again.

        Returns:
            The triple, and whether there is one.
        """
        group = entity * self.num_steps + step
        start, end = self.group_starts[group], self.group_starts[group + 1]
        place = jax.random.randint(key, (), 0, jnp.maximum(end - start, 1))
        drawn = self.group_rows[jnp.minimum(start + place, self.group_rows.shape[0] - 1)]
        place = jnp.where(jnp.any(found == drawn), (place + 1) % jnp.maximum(end - start, 1), place)
        drawn = self.group_rows[jnp.minimum(start + place, self.group_rows.shape[0] - 1)]
        return drawn, (end > start) & (step >= 0) & (entity >= 0) & ~jnp.any(found == drawn)

    def draw_bucket(self, key: Array, tokens: Array, count: int) -> Array:
        """Draws triples that share a token with a query, rare tokens more often than common ones.

        Args:
            key: a random key.
            tokens: int `[S]`.
            count: H.

        Returns:
            int32 `[H]`; any triple where nothing is shared.
        """
        token_key, row_key = jax.random.split(key)
        sizes = self.bucket_starts[tokens + 1] - self.bucket_starts[tokens]
        num_triples = self.keys.shape[0]  # one that has a token twice is in its bucket twice
        rarity = jnp.log(num_triples + 1.0) - jnp.log(jnp.clip(sizes, 1, num_triples).astype(jnp.float32))
        logits = jnp.where((tokens > 1) & (sizes > 0), 2 * jnp.log(rarity), -jnp.inf)
        logits = jnp.where(jnp.any(logits > -jnp.inf), logits, 0.0)
        chosen = tokens[jax.random.categorical(token_key, logits, shape=(count,))]  # [H]
        start, end = self.bucket_starts[chosen], self.bucket_starts[chosen + 1]
        places = start + jax.random.randint(row_key, (count,), 0, jnp.maximum(end - start, 1))
        return self.bucket_rows[jnp.minimum(places, self.bucket_rows.shape[0] - 1)]


@struct.dataclass
class FactBatch:
    """Q questions over one knowledge base.

    Attributes:
        facts: the knowledge base.
        questions: token ids; 0 = padding.
        entities: the entity that each is about.
        paths: steps from it to the answers, of each path that leads there; -1 = none.
    """

    facts: Facts
    questions: Array  # int32 [Q, S]
    entities: Array  # int32 [Q]
    paths: Array  # int32 [Q, L, P]

    def __len__(self) -> int:
        """Q, the number of questions."""
        return self.questions.shape[0]

    def take(self, indices: Array) -> "FactBatch":
        """The questions at `indices`, int `[B]`, over the same knowledge base."""
        return dataclasses.replace(
            self, questions=self.questions[indices], entities=self.entities[indices], paths=self.paths[indices]
        )


def make_facts_loss(
    *,
    loss: Literal["hinge", "softmax"] = "softmax",
    negatives: Literal["sampled", "in_batch", "hashed"] = "hashed",
    margin: float = 0.1,
    num_sampled: int = 64,
    num_hashed: int = 4,
) -> ModelLossFn:
    """Makes the loss of `FactMemNN`: each hop ranks a right fact above others, given a right fact before it.

    At each step and hop one right fact is drawn for each question, of those that its paths lead along; the other right
    ones are never wrong choices. The wrong ones are drawn once for the whole batch.

    Args:
        loss: of one ranking, `"hinge"` or `"softmax"` (`memjax.losses`).
        negatives: wrong choices: `"sampled"`, one triple drawn at random for each question; `"in_batch"`, the right
            facts of the other questions too; `"hashed"`, also triples that share a token with a question, which are
            the hard ones.
        margin: gamma.
        num_sampled: triples drawn at random in one step, with `"in_batch"` and `"hashed"`.
        num_hashed: triples drawn for each question from the buckets of its tokens.

    Returns:
        `fn(model, batch, key) -> (loss, metrics)`; the metrics `hop_1`, `hop_2` .. are its parts, means
        over the questions.

    Raises:
        ValueError: if a switch has no such value.

    Reference: Weston et al. 2015, equations 6 and 7, section 5.1.
    Departs from the paper: it samples one wrong choice at a time; its distribution is not stated.
    """
    _checks.one_of("loss", loss, LOSSES)
    _checks.one_of("negatives", negatives, NEGATIVES)
    rank = partial(LOSSES[loss], margin=margin)

    def loss_fn(model: FactMemNN, batch: FactBatch, key: Array) -> tuple[Array, dict[str, Array]]:
        facts, size = batch.facts, len(batch)
        path_key, key = jax.random.split(key)
        paths = batch.paths
        path = _draw_path(path_key, paths)
        query = jax.vmap(model.query)(batch.questions)
        here, going = batch.entities, jnp.ones(size, bool)
        found = jnp.full((size, path.shape[1]), -1, jnp.int32)
        losses = []
        for hop in range(path.shape[1]):
            keys = jax.random.split(jax.random.fold_in(key, hop), 4)
            step = path[:, hop]
            right, exists = jax.vmap(facts.draw)(jax.random.split(keys[0], size), here, step, found)
            going = going & exists
            pool = _wrong_choices(facts, query, right, keys[1:3], negatives, num_sampled, num_hashed)
            scores = jax.vmap(model.score, in_axes=(0, None))(query, facts.keys[pool])  # [B, K]
            mine = jax.vmap(lambda q, k: model.score(q, k[None])[0])(query, facts.keys[right])  # [B]
            wrong = ~_is_right(facts, pool, here, paths[:, :, hop]) & jnp.all(pool[None, :, None] != found[:, None], -1)
            if negatives == "sampled":
                wrong = jax.vmap(sample_one)(jax.random.split(keys[3], size), wrong)
            ranked = jax.vmap(rank)(mine[:, None] - scores, wrong)  # [B]
            losses.append(jnp.mean(jnp.where(going, ranked, 0)))
            found = found.at[:, hop].set(right)
            # Later on, only paths that began like the one drawn say what is right.
            paths = jnp.where((paths[:, :, hop] == step[:, None])[:, :, None], paths, -1)
            subjects, objects = facts.triples[right, 0], facts.triples[right, 2]
            there = jnp.where(step % 2 == 0, objects, subjects)
            query = jax.vmap(model.follow)(query, step, facts.names[there], facts.names[here])
            here = there
        return sum(losses, jnp.zeros(())), {f"hop_{hop}": value for hop, value in enumerate(losses, start=1)}

    return loss_fn


def _draw_path(key: Array, paths: Array) -> Array:
    """One of each question's paths, `[B, P]`."""
    known = paths[:, :, 0] >= 0  # [B, L]
    drawn = jnp.argmax(jnp.where(known, jax.random.uniform(key, known.shape), -1.0), axis=1)
    return jnp.take_along_axis(paths, drawn[:, None, None], axis=1)[:, 0]


def _wrong_choices(
    facts: Facts, query: Any, right: Array, keys: Array, negatives: str, num_sampled: int, num_hashed: int
) -> Array:
    """The triples `[K]` that every question of the batch is ranked against; some are right for some."""
    size = right.shape[0]
    count = size if negatives == "sampled" else num_sampled
    pool = [jax.random.randint(keys[0], (count,), 0, facts.keys.shape[0])]
    if negatives != "sampled":
        pool.append(right)
    if negatives == "hashed":
        draw = jax.vmap(lambda key, tokens: facts.draw_bucket(key, tokens, num_hashed))
        pool.append(draw(jax.random.split(keys[1], size), query.tokens).ravel())
    return jnp.concatenate(pool)


def _is_right(facts: Facts, pool: Array, here: Array, steps: Array) -> Array:
    """Whether each triple of `pool` `[K]` is a step of `steps` `[B, L]` from `here` `[B]`: bool `[B, K]`."""
    triples = facts.triples[pool]  # [K, 3]
    as_subject = (triples[None, :, 0] == here[:, None])[:, :, None] & (
        (2 * triples[:, 1])[None, :, None] == steps[:, None]
    )
    as_object = (triples[None, :, 2] == here[:, None])[:, :, None] & (
        (2 * triples[:, 1] + 1)[None, :, None] == steps[:, None]
    )
    return jnp.any(as_subject | as_object, axis=-1)
