"""Extensions: stages, actions, fields, categories and sinks of other distributions, found by their entry points.

Law: nothing is loaded that no configuration names. What is unknown, raises when it is imported, or is not what its kind
is, is a fault of the place that names it; and no extension takes the name of what is built in.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

import attrs
from attrs import frozen

from edgenode.model.errors import InvalidValue, printable

T = TypeVar("T")

GROUPS: Mapping[str, str] = {
    "stage": "edgenode.stages",
    "action": "edgenode.actions",
    "field": "edgenode.fields",
    "category": "edgenode.categories",
    "sink": "edgenode.sinks",
    "edge-function": "edgenode.edge_functions",
}
"""The kinds of extensions, and the group of entry points of each."""

_OBJECT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)


@functools.cache
def installed(kind: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """What distributions declare of a kind, by its name; as it is when the process first asks.

    Only their metadata is read, and none of their code.
    """
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for each in _entry_points().select(group=GROUPS[kind]):
        found[each.name] = (*found.get(each.name, ()), each)
    return found


@functools.cache
def _entry_points() -> Any:  # of two classes, by the version of Python
    return importlib.metadata.entry_points()


def load(kind: str, text: str) -> Any:
    """An extension: one that is declared by this name, or the object at ``module:name``.

    :raises InvalidValue: if there is none, or it cannot be imported.
    """
    several = installed(kind).get(text, ())
    if not several and not _OBJECT.fullmatch(text):
        known = ", ".join(sorted(installed(kind)))
        there_are = f"there are {known}, and module:name" if known else "none is installed; write module:name"
        raise InvalidValue(f'there is no extension "{text}" of the kind {kind}: {there_are}', 0)
    if len(several) > 1:
        raise InvalidValue(f"{text} is declared by several distributions: {', '.join(map(_whose, several))}", 0)
    point = several[0] if several else EntryPoint(text, text, GROUPS[kind])
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        told = printable(f"{type(error).__name__}: {error}")
        raise InvalidValue(f"the extension {point.value} cannot be loaded: {told}", 0) from error


def _whose(point: EntryPoint) -> str:
    return "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def clashes(kind: str, taken: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The extensions of a kind whose name is taken, each with a sentence: which of the two a rule means nobody knows.

    :param taken: what has the name of a built-in one.
    """
    for name, several in installed(kind).items():
        if name in taken:
            yield name, f"{_whose(several[0])} declares it, and it is the name of a built-in {kind}"
        elif len(several) > 1:
            yield name, f"several distributions declare it: {', '.join(map(_whose, several))}"


class Table(Mapping[str, T]):
    """What has a name: what is built in, and behind it extensions, each loaded when it is first asked for.

    :param kind: of extension.
    :param built_in: what is built in.
    :param accept: makes of the name and the loaded object what stands in the table.
        Raises :class:`~edgenode.model.errors.InvalidValue` if the object is none of this kind.
    :ivar built_in: what is built in.
    """

    def __init__(self, kind: str, built_in: Mapping[str, T], accept: Callable[[str, Any], T]) -> None:
        self.built_in = built_in
        self._kind, self._accept, self._known = kind, accept, dict(built_in)

    def __getitem__(self, name: str) -> T:
        """:raises KeyError: if there is none.
        :raises InvalidValue: if it is an extension that cannot be used.
        """
        found = self._known.get(name)
        if found is None:
            if name not in installed(self._kind):
                raise KeyError(name)
            loaded = load(self._kind, name)
            try:
                found = self._known[name] = self._accept(name, loaded)
            except InvalidValue:
                raise
            except Exception as error:  # an attribute of it is not what it should be
                raise InvalidValue(failed(f"the {self._kind} {name} cannot be used", error), 0) from error
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in installed(self._kind)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self.built_in, *installed(self._kind))))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@frozen
class Factory:
    """What makes the stages, actions or sinks of an extension: a function or a class that takes the name and the keys.

    :ivar call: the function or class.
    :ivar keys: the frozen attrs class of its keys, each a :func:`edgenode.model.settings.setting`; ``None`` for none.
    """

    call: Callable[..., Any]
    keys: type[Any] | None

    @classmethod
    def named(cls, kind: str, text: str) -> Factory:
        """The factory of this name: see :func:`load`.

        :raises InvalidValue: if there is none, or it does not take a name and keys.
        """
        call = load(kind, text)
        if kind == "edge-function":
            return cls(call, _keys_of_function(call, text))
        try:
            taken = [
                each.name
                for each in inspect.signature(call).parameters.values()
                if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
            ]
            keys = None if len(taken) == 1 else _hints(call)[taken[1]]
        except (TypeError, ValueError, LookupError, NameError, AttributeError) as error:
            told = f"{type(error).__name__}: {error}"
            raise InvalidValue(f"{text} does not take a name and annotated keys: {told}", 0) from None
        return cls(call, _class_of_keys(keys, text))


def _keys_of_function(call: Any, text: str) -> type[Any] | None:
    """The class of the keys of an edge function, whose parameter ``keys`` has them; it need not have one."""
    try:
        if "keys" not in inspect.signature(call).parameters:
            return None
        return _class_of_keys(_hints(call)["keys"], text)
    except (TypeError, ValueError, LookupError, NameError, AttributeError) as error:
        raise InvalidValue(f"{text} is no function with annotated keys: {type(error).__name__}: {error}", 0) from None


def _class_of_keys(keys: Any, text: str) -> type[Any] | None:
    if keys is not None and not (isinstance(keys, type) and attrs.has(keys)):
        raise InvalidValue(f"the keys of {text} are no attrs class: {keys!r}", 0)
    return keys


def _hints(call: Callable[..., Any]) -> Mapping[str, Any]:
    """The types of the parameters of a function or a class."""
    if isinstance(call, type) and attrs.has(call):
        hints = typing.get_type_hints(call)
        return {each.alias or each.name: hints[each.name] for each in attrs.fields(call)}
    return typing.get_type_hints(inspect.getattr_static(call, "__init__") if isinstance(call, type) else call)


@frozen
class Extension:
    """A factory with the keys of one section.

    :ivar factory: the factory.
    :ivar keys: the keys; ``None`` if it has none.
    """

    factory: Factory
    keys: Any

    def made(self, name: str) -> Any:
        """What the factory makes.

        :param name: the section's name.
        :raises InvalidValue: if it fails; ``which`` is the key that is at fault, if the factory says so.
        """
        try:
            return self.factory.call(name) if self.factory.keys is None else self.factory.call(name, self.keys)
        except InvalidValue:
            raise
        except Exception as error:
            raise InvalidValue(failed("the extension failed", error)) from error


def failed(what: str, error: Exception) -> str:
    """What to say of code of somebody else's that has raised."""
    return printable(f"{what}: {type(error).__name__}: {error}")
