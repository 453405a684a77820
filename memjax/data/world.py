# SPDX-License-Identifier: Apache-2.0
"""The rules of the simulated world: who and what there is, and what an actor can do."""

import dataclasses
import itertools
from collections.abc import Mapping

#: The commands of the world; `get` is also "get O1 from O2", `put` is "in" or "on".
COMMANDS = ("go", "get", "put", "give", "drop", "look", "inventory", "examine")


@dataclasses.dataclass(frozen=True)
class World:
    """Who and what there is, and which commands are used.

    Args:
        actors: names of the actors.
        objects: names of the objects.
        rooms: names of the rooms, at least two.
        actions: the commands in use, from `COMMANDS`; "go" must be among them, since it alone tells where one is.
        she: the actors that a response calls "she"; the others are "he".

    Raises:
        ValueError: if a name is repeated or not one word, or an action is unknown.

    Example:
        >>> World(rooms=("cave", "shire")).actors
        ('Joe', 'Fred', 'Dan', 'Bill')

    Reference: Weston et al. 2015, section 5.2 and Appendix A.
    Departs from the paper: it has 4 actors, 3 objects and 5 rooms too, but prints no lists of them.
    """

    actors: tuple[str, ...] = ("Joe", "Fred", "Dan", "Bill")
    objects: tuple[str, ...] = ("milk", "football", "apple")
    rooms: tuple[str, ...] = ("kitchen", "office", "bathroom", "garden", "bedroom")
    actions: tuple[str, ...] = ("go", "get", "drop")
    she: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the names."""
        for field, least in (("actors", 1), ("objects", 0), ("rooms", 2), ("actions", 1)):
            if isinstance(getattr(self, field), str) or len(getattr(self, field)) < least:
                raise ValueError(f"{field}: expected a tuple of at least {least} names, got {getattr(self, field)!r}")
        seen: set[str] = set()
        for name in (*self.actors, *self.objects, *self.rooms):
            if name.split() != [name] or name.lower() in seen:
                raise ValueError(
                    f"actors, objects, rooms: expected names of one word, each once, got {name!r}; rename it"
                )
            seen.add(name.lower())
        if not {"go"} <= set(self.actions) <= set(COMMANDS):
            raise ValueError(f"actions: expected 'go' and others of {list(COMMANDS)}, got {list(self.actions)}")


DEFAULT_WORLD = World()


@dataclasses.dataclass(frozen=True)
class Action:
    """What one actor does in one time step.

    Args:
        actor: who does it.
        command: one of `COMMANDS`.
        target: the room of "go"; the object of "get", "put", "give", "drop" and "examine"; else "".
        other: the object that "get" takes from or "put" puts in or on; the actor that "give" gives to; else "".
        preposition: "in" or "on" for "put", else "".
    """

    actor: str
    command: str
    target: str = ""
    other: str = ""
    preposition: str = ""


class WorldState:
    """Where everyone and everything is.

    Args:
        world: who and what there is.
        places: for each actor a room; for each object a room, the actor who holds it, or the object it is in or on.

    Attributes:
        places: as above, kept up to date by `apply`.

    Example:
        >>> world = World(actors=("Joe",), objects=("milk",), rooms=("kitchen", "office"))
        >>> state = WorldState(world, {"Joe": "kitchen", "milk": "office"})
        >>> for action in Action("Joe", "go", "office"), Action("Joe", "get", "milk"), Action("Joe", "go", "kitchen"):
        ...     state.apply(action)
        >>> state.places["milk"], state.room("milk")
        ('Joe', 'kitchen')
        >>> state.apply(Action("Joe", "get", "milk"))
        Traceback (most recent call last):
            ...
        ValueError: action: 'milk' is not on the floor of the kitchen; got Action(actor='Joe', command='get', \
target='milk', other='', preposition='')

    Reference: Weston et al. 2015, section 5.2 and Appendix A.
    Departs from the paper: the rules for `put`, `give` and `get ... from`, which it does not print: who gives and who
    gets are in one room, and a thing taken from or put on is on the floor there or in the actor's hands.
    """

    def __init__(self, world: World, places: Mapping[str, str]):
        """Starts with everyone and everything at its place."""
        self.world = world
        self.places = dict(places)
        for name in (*world.actors, *world.objects):
            if name not in self.places:
                raise ValueError(f"places: expected a place for {name!r}, got none; give one for each actor and object")
        objects, none = world.objects, ("",)
        parts = {
            "go": (world.rooms, none, none),
            "get": (objects, ("", *objects), none),
            "put": (objects, objects, ("in", "on")),
            "give": (objects, world.actors, none),
            "drop": (objects, none, none),
            "examine": (objects, none, none),
        }
        # What may follow a command, in a fixed order: target, other, preposition.
        self._forms = {
            command: dict.fromkeys(itertools.product(*parts.get(command, (none, none, none)))) for command in COMMANDS
        }

    def room(self, name: str) -> str:
        """Returns the room that an actor or an object is in."""
        return self._holders(name)[-1]

    def why_not(self, action: Action) -> str:
        """Returns the reason why an action is against the rules, "" if it is not."""
        actor, command, target, other = action.actor, action.command, action.target, action.other
        if actor not in self.world.actors:
            return f"{actor!r} is no actor"
        if (target, other, action.preposition) not in self._forms.get(command, ()):
            return "there is no such command, or it does not go with this target, other and preposition"
        here = self.places[actor]
        if command == "go" and target == here:
            return f"{actor!r} is there already"
        if command in ("put", "give", "drop") and self.places[target] != actor:
            return f"{actor!r} does not hold {target!r}"
        if command == "give" and (other == actor or self.places[other] != here):
            return f"{other!r} is not another actor in the {here}"
        if command == "get" and self.places[target] != (other or here):
            return f"{target!r} is not " + (f"in or on {other!r}" if other else f"on the floor of the {here}")
        if command in ("get", "put") and other and not self._reaches(actor, other):
            return f"{other!r} is neither on the floor of the {here} nor held by {actor!r}"
        if command == "put" and target in self._holders(other):
            return f"{other!r} is in or on {target!r}"
        if command == "examine" and self.room(target) != here:
            return f"{target!r} is not in the {here}"
        return ""

    def apply(self, action: Action) -> None:
        """Does an action.

        Raises:
            ValueError: if the action is against the rules.
        """
        reason = self.why_not(action)
        if reason:
            raise ValueError(f"action: {reason}; got {action}")
        if action.command == "go":
            self.places[action.actor] = action.target
        elif action.command in ("get", "put", "give", "drop"):
            place = {"get": action.actor, "drop": self.places[action.actor]}
            self.places[action.target] = place.get(action.command, action.other)

    def valid(self, actor: str) -> list[Action]:
        """Returns the actions that an actor may take now, among `world.actions`, always in the same order."""
        forms = ((command, *form) for command in self.world.actions for form in self._forms[command])
        return [action for action in (Action(actor, *form) for form in forms) if not self.why_not(action)]

    def _holders(self, name: str) -> list[str]:
        """Returns `name`, what holds it, what holds that, and so on."""
        holders = [name]
        while holders[-1] in self.places:
            holders.append(self.places[holders[-1]])
        return holders

    def _reaches(self, actor: str, name: str) -> bool:
        """Whether an object is in the actor's hands or on the floor of the actor's room, maybe in other objects."""
        holders = self._holders(name)
        return actor in holders or (holders[-1] == self.places[actor] and not set(holders) & set(self.world.actors))
