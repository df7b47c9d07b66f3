"""``[content-filter]``: rules in SecLang, such as the Core Rule Set's, for the path maps that name it.

Law: what the section says of thresholds and paranoia wins over what a set-up file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from attrs import evolve, frozen

from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Between, Choice, File, Folder, Reference, Size, Tag, Word, setting
from edgenode.policy.contentfilter.bodies import BodyLimits, FileNames, MediaRange
from edgenode.policy.contentfilter.directives import Rule, RuleTree
from edgenode.policy.contentfilter.exclusions import Exclusion
from edgenode.policy.contentfilter.fieldnames import ANY, FieldName
from edgenode.policy.contentfilter.masked import Masked
from edgenode.policy.contentfilter.profile import MaximalCount, MaximalName, MaximalValue, Profile, Restriction
from edgenode.rules.views.flattening import MOST_DEEP, MOST_VALUES
from edgenode.rules.views.multipart import MOST_PARTS

BUILTIN = "builtin"
"""What stands for the rules that come with edgenode."""

CRS = "crs:"
"""What stands before the folder of a Core Rule Set."""

MONITORING = "monitoring"
"""The mode in which nothing is refused."""


@frozen
class RuleSource:
    """Where rules come from: ``crs:FOLDER``, ``builtin``, or a file in SecLang.

    :ivar kind: ``crs``, ``builtin`` or ``file``.
    :ivar path: the folder or the file; ``None`` for ``builtin``.
    """

    words: ClassVar[bool] = True

    kind: str
    path: File | Folder | None = None

    def __str__(self) -> str:
        return BUILTIN if self.path is None else f"{CRS if self.kind == 'crs' else ''}{self.path}"


WITHOUT_SETUP = (("crs_setup_version", "400"),)
"""What is set where a Core Rule Set has no set-up: else its rules refuse every request for that."""

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "paranoia": (
        "paranoia_level",
        "blocking_paranoia_level",
        "detection_paranoia_level",
        "executing_paranoia_level",
    ),
    "inbound_threshold": ("inbound_anomaly_score_threshold",),
    "outbound_threshold": ("outbound_anomaly_score_threshold",),
}
"""The names of ``TX`` that each key sets, in the Core Rule Set 3 and 4, by its attribute."""


@frozen
class ContentFilter:
    """Rules on what requests carry, such as the Core Rule Set's, for the path maps that name it."""

    kind: ClassVar[str] = "content-filter"

    active: bool = setting("Whether it is asked. If not, nothing of it has an effect but ``mask``.", True)
    rules: tuple[RuleSource, ...] = setting(
        "The rules, in their order: ``crs:FOLDER`` for a folder with the rules of the OWASP Core Rule Set, 3.3 or 4, "
        "``builtin`` for those that come with edgenode, or a file in SecLang."
    )
    setup: File | None = setting(
        "The set-up of the Core Rule Set, ``crs-setup.conf``. Without the key it is looked for in the folder of the "
        "rules, in the one above it, and, for Debian's package, in ``/etc/modsecurity/crs``; if there is none, the "
        "rules' own defaults hold.",
        None,
    )
    paranoia: Annotated[int, Between(1, 4)] | None = setting(
        "The paranoia level: how many rules are asked, and how many false positives there are. Without the key what "
        "the set-up says, or 1.",
        None,
    )
    inbound_threshold: Annotated[int, Between(1, 100_000)] | None = setting(
        "The anomaly score at which a request is refused; a critical rule counts 5. Without the key what the set-up "
        "says, or 5.",
        None,
    )
    outbound_threshold: Annotated[int, Between(1, 100_000)] | None = setting(
        "The score at which an answer is refused, if ``responses = yes``. Without the key what the set-up says, or 4.",
        None,
    )
    mode: Annotated[str, Choice((MONITORING, "block"))] = setting(
        "Whether the action is taken, or only told with its reasons.", "block"
    )
    exclude: tuple[Exclusion, ...] = setting(
        "What is left out, one line each: ``942100``, ``942000-942999`` or ``tag:attack-sqli``, and behind it what "
        "these rules do not look at, such as ``argument.q``, ``cookie.session`` or ``header.referer``; alone, the "
        "rules themselves are left out.",
        (),
    )
    max_count: tuple[MaximalCount, ...] = setting(
        "How many there may be: ``headers 64, cookies 42, arguments 512``, and ``path`` for the segments of it. A "
        "request that has more is refused before any rule is asked, as by the further keys up to ``restrict``.",
        (),
    )
    max_name: tuple[MaximalName, ...] = setting(
        "How long names may be, in bytes: ``headers 64, cookies 64, arguments 128``.", ()
    )
    max_value: tuple[MaximalValue, ...] = setting(
        "How long values may be: ``headers 4k, cookies 1k, arguments 1k``; ``path`` and ``body`` as a whole.", ()
    )
    restrict: tuple[Restriction, ...] = setting(
        "What values have to match, as a whole and in every reading, one line each: ``argument.q [a-z ]{1,40}``, also "
        "of ``cookie.NAME`` and ``header.NAME``. ``argument.*`` stands for all names without a line; alone, without an "
        "expression, it lets in no others.",
        (),
    )
    content_types: tuple[MediaRange, ...] = setting(
        "The media types of bodies that may come: ``application/json multipart/form-data image/*``; one of another "
        "type, or of none, is refused before any rule is asked, as by the further keys up to "
        "``graphql-introspection``. Without the key all may come.",
        (),
    )
    body_depth: Annotated[int, Between(1, MOST_DEEP)] | None = setting(
        "In how many objects, arrays or elements of JSON or XML something may stand.", None
    )
    body_values: Annotated[int, Between(1, MOST_VALUES)] | None = setting(
        "How many values, objects and arrays there may be in JSON, or elements and attributes in XML.", None
    )
    max_files: Annotated[int, Between(0, MOST_PARTS)] | None = setting(
        "How many files there may be in a multipart body.", None
    )
    max_file_size: Size | None = setting("How large each of them may be.", None)
    file_types: tuple[MediaRange, ...] = setting(
        "The media types that they may have, by what is said of them and by how they begin.", ()
    )
    file_names: FileNames | None = setting(
        "What their names have to match, all of each: ``(?i)[\\w-]+\\.(png|jpe?g|pdf)``.", None
    )
    graphql_depth: Annotated[int, Between(1, MOST_DEEP)] | None = setting(
        "In how many selections a field of GraphQL may stand, with fragments where they are spread.", None
    )
    graphql_aliases: Annotated[int, Between(0, MOST_VALUES)] | None = setting(
        "How many fields of GraphQL may have an alias, in all operations of a request together.", None
    )
    graphql_introspection: bool = setting("Whether a query of GraphQL may ask for the schema.", True)
    ignore: tuple[FieldName, ...] = setting(
        "What no rule looks at: ``argument.comment, cookie.prefs``; the keys above hold for it all the same.", ()
    )
    mask: tuple[Masked, ...] = setting(
        "What is never told in clear here, besides that of ``[masking]``: ``argument.password``, ``cookie.session``, "
        "``header.x-api-key``, ``cards``, ``credentials``.",
        (),
    )
    action: Annotated[str, Reference("action")] = setting("What is done with a request that the rules refuse.", "block")
    tags: tuple[Annotated[Word, Tag()], ...] = setting(
        "Tags for the requests that the rules refuse, besides those of the rules.", ()
    )
    partial: bool = setting(
        "Whether requests pass of which the rules could not see all: what is larger than ``inspect-body-size`` of the "
        "path map, or cannot be read.",
        False,
    )
    responses: bool = setting(
        "Whether answers are looked at too, phases 3 and 4 of the rules: each is held back until they have seen it.",
        False,
    )
    response_limit: Size = setting(
        "How much of the body of an answer they see, if it is text; of the content codings ``gzip`` and ``deflate`` no "
        "more than as much is undone.",
        Size(128 * 1024),
    )
    response_partial: bool = setting(
        "Whether answers pass whose text they cannot see to its end: one that is longer, a part (206), or in another "
        "content coding. Without it such an answer is refused with 502.",
        False,
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if rules could see nothing of an answer, or a key has nothing to hold for."""
        if not self.response_limit:
            raise InvalidValue("of 0 bytes no rule could see anything", which="response-limit")
        if self.setup is not None and all(each.kind != "crs" for each in self.rules):
            raise InvalidValue("no rules are those of a Core Rule Set, as crs:FOLDER", which="setup")
        for each, key in ((self.max_count, "max-count"), (self.max_name, "max-name"), (self.max_value, "max-value")):
            sections = [bound.section for bound in each]
            if len(set(sections)) < len(sections):
                raise InvalidValue("a part of a request stands here once", which=key)
        for restriction in self.restrict:
            if not restriction.regex and restriction.field.name != ANY:
                sentence = f"{restriction.field} needs an expression; with * alone it lets no other in"
                raise InvalidValue(sentence, which="restrict")
        if any(each.name == ANY for each in self.ignore):
            raise InvalidValue("what no rule looks at has a name; exclude leaves out rules", which="ignore")

    @property
    def profile(self) -> Profile | None:
        """What its requests look like; ``None`` if that is not said."""
        return Profile.of(self.max_count, self.max_name, self.max_value, self.restrict)

    @property
    def limits(self) -> BodyLimits | None:
        """What bodies may be; ``None`` if that is not said."""
        limits = BodyLimits(
            self.content_types,
            self.body_depth,
            self.body_values,
            self.max_files,
            self.max_file_size,
            self.file_types,
            self.file_names,
            self.graphql_depth,
            self.graphql_aliases,
            self.graphql_introspection,
        )
        return None if limits == BodyLimits() else limits

    @property
    def proposes(self) -> tuple[str, ...]:
        """The names of the actions that can be taken because of it."""
        return (self.action,) if self.active else ()

    @property
    def refuses(self) -> bool:
        """Whether its action is ever taken."""
        return self.active and self.mode != MONITORING

    def variables(self) -> tuple[tuple[str, str], ...]:
        """What its keys set before any rule runs: names of ``TX``, and their values."""
        said = ((getattr(self, attribute), names) for attribute, names in VARIABLES.items())
        return tuple((name, str(value)) for value, names in said if value is not None for name in names)

    def configured(self, tree: RuleTree) -> RuleTree:
        """The rules with what its keys set; a set-up cannot set that otherwise.

        :param tree: the rules as they are written.
        """
        variables = self.variables()
        names = frozenset(name for name, _ in variables)
        directives = tuple(_without(each, names) if isinstance(each, Rule) else each for each in tree.directives)
        return RuleTree(directives, variables) if variables else tree


def _without(rule: Rule, names: frozenset[str]) -> Rule:
    """A rule that always matches, and sets none of some variables."""
    if rule.operator is not None or not any(each.name in names for each in rule.set_vars):
        return rule
    kept = (each for each in rule.set_vars if each.collection != "TX" or each.name not in names)
    return evolve(rule, set_vars=tuple(kept))
