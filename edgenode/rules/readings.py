"""What entries look at besides what their category is: the key ``readings`` of a rule list.

Law: a further reading adds values and takes none away, and costs nothing where no rule asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from edgenode.rules.categories import category_of, value_of
from edgenode.rules.definitions import Definitions
from edgenode.rules.fields import FIELDS
from edgenode.rules.formulas import Subject
from edgenode.rules.language import expression_formulas
from edgenode.rules.sections import Entry
from edgenode.rules.views import arguments, cookies, methods
from edgenode.rules.views.escapes import unescaped


def subject_of(entry: Entry, readings: Iterable[str], definitions: Definitions | None = None) -> Subject:
    """What an entry that has been checked looks at.

    :param readings: of :data:`edgenode.rules.sections.READINGS`.
    """
    plain = expression_formulas.subject(value_of(entry), definitions)
    further = OF_CATEGORY.get(category_of(entry).name, arguments.NOTHING).intersection(readings)
    if not further:
        return plain
    name, needs = unescaped(entry.name.encode("utf-8")), plain.needs
    match entry.category:
        case "cookie":
            read = cookies.in_any_case(name)
        case "argument":
            read = arguments.of_name(name, further)
        case _ if "method-override" not in further:
            return plain
        case _:
            read = methods.overridden(further & frozenset(arguments.FURTHER))
            needs = FIELDS["edge.arguments"].needs
    if not further.isdisjoint(arguments.READ_ANEW):
        needs |= {"structures"}
    key = f"{plain.key} with {', '.join(sorted(further))}"
    return evolve(plain, key=key, read=read, needs=needs, of_request=None)


OF_CATEGORY: Mapping[str, frozenset[str]] = {
    "argument": frozenset(arguments.FURTHER),
    "cookie": frozenset(("any-case",)),
    "method": frozenset((*arguments.FURTHER, "method-override")),
}
"""The readings that entries of a category have."""
