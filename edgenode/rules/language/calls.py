"""Calls of functions: whether the arguments are what a function takes, and of what type the call is.

Law: a call that has been checked can be computed from any exchange; whatever could not is refused here.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from edgenode.model.errors import InvalidValue
from edgenode.rules.language.functions import Function, Parameter
from edgenode.rules.language.lexing import Text
from edgenode.rules.language.nodes import Call, Each, Index, Literal, Node, each_count, element_type
from edgenode.rules.language.operators import QUANTIFIERS
from edgenode.rules.language.types import BOOL, BYTES, INT, IP, Type, array

_DESCRIPTIONS = {
    BOOL: "true or false (Bool)",
    INT: "a number (Int)",
    BYTES: "a text (Bytes)",
    IP: "an address (Ip)",
    array(BOOL): "a condition on [*] (Array(Bool))",
}


def described(type: Type) -> str:
    """A type as sentences call it."""
    return _DESCRIPTIONS.get(type) or f"{'an array' if type.name == 'Array' else 'a map'} ({type})"


@frozen
class Argument:
    """An argument as it was written.

    :ivar node: what it says.
    :ivar bare: whether it is a value that stands by itself, without an operator and not in parentheses.
    :ivar text: of a literal text: what was read.
    """

    node: Node
    bare: bool = True
    text: Text | None = None

    @property
    def mapped(self) -> bool:
        """Whether the function is called with every element of it."""
        return self.bare and each_count(self.node) > 0

    @property
    def type(self) -> Type:
        """Its type, or that of its elements if it is mapped over."""
        return element_type(self.node) if self.mapped else self.node.type


def call(function: Function, arguments: Sequence[Argument], column: int) -> Call:
    """A checked call.

    :param column: where the function's name stands.
    :raises InvalidValue: if the function does not take these arguments.
    """
    _check_count(function, len(arguments), column)
    for index, argument in enumerate(arguments):
        parameter = function.parameters[min(index, len(function.parameters) - 1)]
        _check(function, index, argument, parameter)
    nodes = tuple(argument.node for argument in arguments)
    if function.check is not None:
        function.check(nodes)
    returns = function.returns
    if not isinstance(returns, Type):
        try:
            returns = returns(tuple(argument.type for argument in arguments))
        except InvalidValue as problem:
            raise InvalidValue(f"{function.name}: {problem.sentence}", nodes[0].column) from None
    return Call(function.name, nodes, array(returns) if arguments[0].mapped else returns, column=column)


def signature(function: Function) -> str:
    """How a function is called, for sentences: ``substring(Bytes, Int[, Int])``."""
    written = ["|".join(map(str, parameter.types)) or "value" for parameter in function.parameters]
    required, optional = written[: function.required], written[function.required :]
    required += written[-1:] * (function.required - len(written))
    text = ", ".join(required) + "".join(f"[, {each}" for each in optional) + "]" * len(optional)
    return f"{function.name}({text}{', ...' if function.repeated else ''})"


def _check_count(function: Function, count: int, column: int) -> None:
    most = None if function.repeated else len(function.parameters)
    if count < function.required or (most is not None and count > most):
        raise InvalidValue(f"{count or 'no'} argument{'s' * (count != 1)} for {signature(function)}", column)


def _check(function: Function, index: int, argument: Argument, parameter: Parameter) -> None:
    node, place = argument.node, f"argument {index + 1} of {function.name}"
    if index and argument.mapped:
        raise InvalidValue(f"[*] stands only in the first argument of a function: this is {place}", node.column)
    if function.name not in QUANTIFIERS and not argument.bare and isinstance(node, Each | Index) and each_count(node):
        # Without the parentheses it is mapped over, and the tree knows of none.
        raise InvalidValue(f"{place} stands in parentheses, and has a [*]: write it without them", node.column)
    if parameter.types and argument.type not in parameter.types:
        expected = " or ".join(map(described, parameter.types))
        raise InvalidValue(f"{place} is {described(argument.type)}; expected {expected}", node.column)
    if parameter.kind == "literal" and not isinstance(node, Literal):
        raise InvalidValue(f"{place} is written out, as a text or a number, and not computed", node.column)
    if parameter.kind == "field" and isinstance(node, Literal):
        raise InvalidValue(f"{place} is a field, or computed from one, and not written out", node.column)
    if parameter.check is not None and isinstance(node, Literal):
        try:
            parameter.check(node.value)
        except InvalidValue as problem:
            found = argument.text.within(problem) if argument.text else InvalidValue(problem.sentence, node.column)
            raise InvalidValue(f"{place}: {found.sentence}", found.column) from None
