"""Methods by name, and what can be combined with them. No torch here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ta3n.common.errors import UsageError
from ta3n.common.names import did_you_mean
from ta3n.common.registry import Registry, load_plugin
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods.base import LEVELS, Group, Level, Method, Term, Weight

METHODS: Registry[Method] = Registry("--method", "ta3n.train.methods")

_TERMS: dict[str, Term] = {}


def register_method(method: Method) -> Method:
    """Make a method, and its terms, known under their names.

    Raises:
        UsageError: If a name is taken by something else.
    """
    for terms in (method.terms, *(method.with_encoder or {}).values()):
        for term in terms:
            register_term(term)
    return METHODS.register(method)


def register_term(term: Term) -> Term:
    """Make a term known that is in no method by itself.

    Raises:
        UsageError: If the name is taken by something else.
    """
    if _TERMS.setdefault(term.name, term) is not term:
        raise UsageError(f"there are two terms {term.name!r}; rename one of them")
    return term


def method_names() -> tuple[str, ...]:
    """Return the names of all methods, the paper's first."""
    return tuple(METHODS.all())


def method_for(name: str, temporal: str, add: Sequence[str] = ()) -> Method:
    """Return a method with a temporal module, and the terms of others added to it.

    Args:
        name: one of `method_names`.
        temporal: name of the temporal module.
        add: further methods, whose terms are added.

    Raises:
        UsageError: for an unknown name, or terms that contradict each other or the temporal module.
    """
    return METHODS.find(name).on(temporal).plus([METHODS.find(other) for other in add])


def method_of(record: Mapping[str, Any], plugins: Sequence[str] = ()) -> Method:
    """Return the method of a record that `Method.record` made.

    Raises:
        UsageError: for a term or a temporal module that is not known here.
    """
    for plugin in plugins:
        load_plugin(plugin)
    METHODS.all()
    unknown = [name for name in record["terms"] if name not in _TERMS]
    if unknown:
        raise UsageError(
            f"the method {record['name']} has the term {unknown[0]!r}, which is not known here;"
            " give the plug-in that it comes from with --plugin"
        )
    ENCODERS.find(record["temporal"])
    values = {key: record[key] for key in ("name", "label", "temporal", "trains_on")}
    return Method(**values, terms=tuple(_TERMS[name] for name in record["terms"]))


def choices(group: Group) -> dict[str, Term]:
    """Return the terms of a group by what a switch calls them."""
    METHODS.all()
    return {term.choice: term for term in _TERMS.values() if term.group == group}


def find_choice(group: Group, choice: str) -> Term:
    """Return the term of a group that a switch names.

    Raises:
        UsageError: If there is none.
    """
    known = choices(group)
    if choice not in known:
        names = ["none", *known]
        raise UsageError(
            f"no {group} {choice!r}{did_you_mean(choice, names)}; choose one of {', '.join(names)}"
        )
    return known[choice]


def default_weights() -> dict[str, float]:
    """Return the default of every term's weight, by name."""
    METHODS.all()
    return {term.weight.name: term.weight.default for term in _TERMS.values() if term.weight}


def find_weight(name: str) -> Weight:
    """Return a weight of any term by its name.

    Raises:
        UsageError: If no term has it.
    """
    METHODS.all()
    known = {term.weight.name: term.weight for term in _TERMS.values() if term.weight}
    if name not in known:
        raise UsageError(
            f"no term has a weight {name!r}{did_you_mean(name, known)};"
            f" there are {', '.join(sorted(known))}"
        )
    return known[name]


def parse_levels(text: str) -> tuple[Level, ...]:
    """Read where discriminators are placed: `none`, `all`, or levels such as `frame,video`.

    Raises:
        UsageError: for a level that there is not.
    """
    words = {word.strip() for word in text.split(",")}
    if words == {"none"}:
        return ()
    if words == {"all"}:
        return LEVELS
    if unknown := sorted(words - set(LEVELS)):
        raise UsageError(
            f"discriminators {text!r}: no level {', '.join(map(repr, unknown))};"
            f" use none, all, or some of {','.join(LEVELS)}"
        )
    return tuple(level for level in LEVELS if level in words)


def describe_methods() -> str:
    """Return all methods and temporal modules as text, with their weights and sources."""
    lines = ["method"]
    for method in METHODS.all().values():
        temporal = "relation" if any(term.needs_parts for term in method.terms) else None
        what = method.on(temporal or method.temporal)
        lines.append(f"  {method.name:<14} {method.label}: {what.describe()} ({method.source})")
        lines += _describe_weights(what)
    lines.append("temporal module")
    for encoder in ENCODERS.all().values():
        lines.append(f"  {encoder.name:<14} {encoder.label} ({encoder.source})")
    lines += [
        "",
        "Terms combine: --method dan --add mcd adds those of another method, --weight alpha=0.3",
        "sets a weight. Where it ramps, a negative value means the DANN ramp. The weights of a",
        "direction of a benchmark take the place of these defaults.",
    ]
    return "\n".join(lines)


def _describe_weights(method: Method) -> Iterator[str]:
    for weight in method.weights.values():
        ramps = ", ramps" if weight.ramps else ""
        value = f"{weight.name} = {weight.default:g}"
        yield f"  {'':<14}   {value}: {weight.about}; {weight.origin}{ramps}"
