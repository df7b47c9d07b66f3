"""Rules in SecLang as a checked tree: what the parser makes, and what is compiled.

Law: nothing in it is a text that still has to be understood, but for macros such as ``%{tx.score}``; the defaults of
``SecDefaultAction`` are in every rule, and what is excluded at load is out of it. The language:
https://github.com/owasp-modsecurity/ModSecurity/wiki/Reference-Manual-(v3.x).
"""

from __future__ import annotations

from attrs import field, frozen


@frozen
class Place:
    """Where something is written.

    :ivar file: the path as the configuration leads to it; ``builtin`` for our own rules.
    :ivar line: from 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@frozen
class Target:
    """What a rule looks at: ``ARGS``, ``REQUEST_HEADERS:User-Agent``, ``!ARGS:/^utm_/``, ``&ARGS``.

    :ivar collection: the variable, in upper case; one of those that are known.
    :ivar key: the one member that is meant, in lower case; empty for all.
    :ivar pattern: a regular expression that the names of members have to match; empty for none.
    :ivar excluded: whether those members are left out of what the other targets say (``!``).
    :ivar counted: whether the number of the members is looked at (``&``).
    """

    collection: str
    key: str = ""
    pattern: str = ""
    excluded: bool = False
    counted: bool = False


@frozen
class Operator:
    """What a value is compared with, ``!@rx ^a``.

    :ivar name: in lower case, without ``@``.
    :ivar argument: what stands behind, with its macros; of ``pmFromFile`` and ``ipMatchFromFile`` the files' lines.
    :ivar negated: whether it has to fail.
    """

    name: str
    argument: str = ""
    negated: bool = False


@frozen
class SetVar:
    """``setvar:tx.score=+%{tx.critical}``.

    :ivar collection: ``TX``; in upper case.
    :ivar name: the member, with its macros, in lower case.
    :ivar change: ``=``, ``+`` or ``-``; ``!`` deletes it.
    :ivar value: with its macros.
    """

    collection: str
    name: str
    change: str
    value: str = ""


@frozen
class Control:
    """``ctl:ruleRemoveTargetById=942100;ARGS:q``.

    :ivar name: as the manual writes it, such as ``ruleRemoveById``.
    :ivar value: the first part.
    :ivar target: what is excluded from rules; ``None`` where the control has none.
    """

    name: str
    value: str
    target: Target | None = None


@frozen
class Rule:
    """A ``SecRule``, or a ``SecAction``, which has no targets and always matches.

    :ivar place: where it is written.
    :ivar id: its number; 0 for a link of a chain.
    :ivar phase: 1 to 4 (5 is judged with 4); that of the first link for all of a chain.
    :ivar targets: in their order.
    :ivar operator: ``None`` for a ``SecAction``.
    :ivar transformations: in their order, as the manual writes them, ``none`` and the defaults worked out.
    :ivar multi_match: whether the operator looks at the value before and after each transformation that changes it.
    :ivar capture: whether groups of a regular expression are kept as ``TX:0`` to ``TX:9``.
    :ivar disruptive: ``pass``, ``deny``, ``drop``, ``redirect`` or ``allow``; ``block`` is that of the defaults.
    :ivar allows: of ``allow`` what is let pass: ``phase``, ``request``, or empty for everything.
    :ivar status: that of ``status:``; 0 for none.
    :ivar set_vars: what is set if it matches, in their order.
    :ivar controls: what it changes of the rules that come.
    :ivar skip_after: the marker behind which it goes on; empty for none.
    :ivar skip: how many rules are left out.
    :ivar init_collections: those of ``initcol``: collection and key, with its macros.
    :ivar message: with its macros, as the next.
    :ivar log_data: what is told besides.
    :ivar tags: its tags, with their macros.
    :ivar severity: 0 (emergency) to 7 (debug); ``None`` for none.
    :ivar logged: whether a match is told.
    :ivar unsupported: what in it cannot be done here, a sentence; empty if all can. It is an error if it can run.
    :ivar chained: the further links, in their order; all have to match. They have no links of their own.
    """

    place: Place
    id: int
    phase: int
    targets: tuple[Target, ...] = ()
    operator: Operator | None = None
    transformations: tuple[str, ...] = ()
    multi_match: bool = False
    capture: bool = False
    disruptive: str = "pass"
    allows: str = ""
    status: int = 0
    set_vars: tuple[SetVar, ...] = ()
    controls: tuple[Control, ...] = ()
    skip_after: str = ""
    skip: int = 0
    init_collections: tuple[tuple[str, str], ...] = ()
    message: str = ""
    log_data: str = ""
    tags: tuple[str, ...] = ()
    severity: int | None = None
    logged: bool = True
    unsupported: str = ""
    chained: tuple[Rule, ...] = ()


@frozen
class Marker:
    """``SecMarker``: where ``skipAfter`` goes on.

    :ivar name: its name.
    :ivar place: where it is written.
    """

    name: str
    place: Place


@frozen
class RuleTree:
    """All rules of a content filter, in the order in which they were read.

    :ivar directives: rules and markers.
    :ivar variables: what the section sets before any rule runs: names of ``TX`` in lower case, and their values.
    """

    directives: tuple[Rule | Marker, ...] = ()
    variables: tuple[tuple[str, str], ...] = field(default=())
