"""Methods by name, and what can be combined with them. No torch here."""

import copyreg
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ta3n.common.errors import UsageError, did_you_mean
from ta3n.common.files import sha256_of_file
from ta3n.common.registry import (
    Registry,
    load_plugins,
    loaded_plugins,
    plugin_being_loaded,
)
from ta3n.train.encoders.registry import ENCODERS
from ta3n.train.methods.base import ENCODER_REVERSAL, LEVELS, Group, Level, Method, Term, Weight
from ta3n.train.methods.closed_form import Align, Classifier, ClosedForm

METHODS: Registry[Method] = Registry("--method", "ta3n.train.methods")

_TERMS: dict[str, Term] = {}
_CLOSED_FORMS: dict[str, ClosedForm] = {}
# The file of the plug-in that a term or a closed form came from; empty for our own.
_PLUGIN_OF: dict[str, str] = {}


def register_method(method: Method) -> Method:
    """Make a method, and its terms, known under their names.

    Raises:
        UsageError: If a name is taken by something else.
    """
    for terms in (method.terms, *(method.with_encoder or {}).values()):
        for term in terms:
            register_term(term)
    if (form := method.closed_form) is not None:
        if _CLOSED_FORMS.setdefault(form.name, form) is not form:
            raise UsageError(f"there are two closed forms {form.name!r}; rename one of them")
        _PLUGIN_OF.setdefault(form.name, plugin_being_loaded())
    return METHODS.register(method)


def register_term(term: Term) -> Term:
    """Make a term known that is in no method by itself.

    Raises:
        UsageError: If the name is taken by something else.
    """
    weights = {w.name: w for other in _TERMS.values() if (w := other.weight) is not None}
    if _TERMS.setdefault(term.name, term) is not term:
        raise UsageError(f"there are two terms {term.name!r}; rename one of them")
    if term.weight is not None and weights.get(term.weight.name, term.weight) != term.weight:
        raise UsageError(f"there is another weight {term.weight.name!r}; rename this one")
    # A plug-in may use a term of ours, which stays ours.
    _PLUGIN_OF.setdefault(term.name, plugin_being_loaded())
    return term


def register_closed_form(name: str, label: str, source: str, align: Align) -> None:
    """Make an alignment a method with either classifier, `NAME-nn` and `NAME-svm`."""
    for short, classifier, words in _CLASSIFIERS:
        form = ClosedForm(name=f"{name}-{short}", align=align, classifier=classifier)
        register_method(
            Method(
                name=form.name,
                label=f"{label} + {words}",
                source=source,
                temporal="pooling",
                closed_form=form,
            )
        )


_CLASSIFIERS: tuple[tuple[str, Classifier, str], ...] = (
    ("nn", "nearest", "nearest neighbour"),
    ("svm", "svm", "SVM"),
)


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

    Args:
        record: plain values.
        plugins: loaded before; what a record itself names is never run.

    Raises:
        UsageError: for a term or a temporal module that is not known here.
    """
    load_plugins(plugins)
    METHODS.all()
    unknown = [f"term {name!r}" for name in record["terms"] if name not in _TERMS]
    if record.get("closed_form", "") not in {"", *_CLOSED_FORMS}:
        unknown.append(f"closed form {record['closed_form']!r}")
    if record["temporal"] not in ENCODERS.all():
        unknown.append(f"temporal module {record['temporal']!r}")
    if unknown:
        raise UsageError(
            f"the method {record['name']} has the {unknown[0]}, which is not known here; give the "
            "plug-in that it comes from with --plugin, or plugins= in Python"
        )
    values = {key: record[key] for key in ("name", "label", "temporal", "trains_on")}
    return Method(
        **values,
        terms=tuple(_TERMS[name] for name in record["terms"]),
        closed_form=_CLOSED_FORMS.get(record.get("closed_form", "")),
    )


def plugins_of(method: Method) -> dict[str, str]:
    """Return the plug-ins that a method's terms and temporal module come from, with their SHA-256.

    Another version of the file is another method.
    """
    files = {_PLUGIN_OF.get(term.name, "") for term in method.terms}
    files |= {_PLUGIN_OF.get(method.closed_form.name, "")} if method.closed_form else set()
    files.add(ENCODERS.plugin_of(method.temporal))
    return {file: sha256_of_file(Path(file)) for file in sorted(files) if file}


def _as_record(method: Method) -> tuple[Any, ...]:
    return method_of, (method.record(), loaded_plugins())


# Functions of a plug-in cannot be sent to another process: it is loaded there as well.
copyreg.pickle(Method, _as_record)


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
    """Return the default of every weight, by name."""
    return {name: weight.default for name, weight in _known_weights().items()}


def _known_weights() -> dict[str, Weight]:
    METHODS.all()
    of_terms = [term.weight for term in _TERMS.values() if term.weight]
    return {weight.name: weight for weight in (*of_terms, ENCODER_REVERSAL)}


def find_weight(name: str) -> Weight:
    """Return a weight of any term, or of a temporal module, by its name.

    Raises:
        UsageError: If none has it.
    """
    known = _known_weights()
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
    """Return all methods, weights and temporal modules as text, with their sources."""
    lines, weights = ["methods"], dict[str, Weight]()
    for method in METHODS.all().values():
        needs_parts = any(term.needs_parts for term in method.terms)
        made_of = method.on("relation" if needs_parts else method.temporal)
        weights |= made_of.weights
        lines.append(f"  {method.name:<14} {method.label} ({method.source})")
        lines.append(f"  {'':<14} {', '.join([made_of.describe(), *made_of.weights])}")
    encoders = ENCODERS.all().values()
    if any(encoder.reverses for encoder in encoders):
        weights[ENCODER_REVERSAL.name] = ENCODER_REVERSAL
    lines.append("weights, with their defaults")
    for weight in weights.values():
        ramps = "; negative: the DANN ramp" if weight.ramps else ""
        lines.append(f"  {weight.name:<14} {weight.default:g}: {weight.about}")
        lines.append(f"  {'':<14} {weight.origin}{ramps}")
    lines.append("temporal modules")
    lines += [f"  {e.name:<14} {e.label} ({e.source})" for e in encoders]
    lines += [
        "",
        "Terms combine: --method dan --add mcd adds those of another method, --weight alpha=0.3",
        "sets a weight. The weights of a direction of a benchmark take the place of the defaults.",
    ]
    return "\n".join(lines)
