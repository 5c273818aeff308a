"""From lm-eval's model arguments to `Arguments`.

lm-eval hands over strings, numbers or None, as its command line parsed them. Each argument is
brought to its type here, or refused with a message that names it, what came and what is expected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from typing import Any

from eosbench import embedded
from eosbench.errors import ConfigurationError, shown
from eosbench.predictors import row_of
from eosbench.strategies import ALL_METHODS
from model_adapters import dtype_name
from model_adapters.varlen_dlm.arguments import Arguments, default_method
from model_adapters.varlen_dlm.conversion import ArgumentType, convert_all, is_short, types_of
from model_adapters.varlen_dlm.names import in_own_names

AUTO_BATCH_SIZE = 32  # answers do not depend on it


def parse_arguments(given: Mapping[str, Any]) -> Arguments:
    """Checks names and converts values; what is no argument of the adapter goes to the method.

    Raises:
        ConfigurationError: a name that neither the adapter nor the method knows (the message lists
            what both know, and the nearest name), one that is refused (names.py), or a value of a
            wrong type or outside its range.
    """
    own_fields = types_of(Arguments).items()
    types = {name: one for name, one in own_fields if name not in ("options", "held_model")}
    given, model = _by_name(in_own_names(given))
    own = {name: _spelled_out(name, value) for name, value in given.items() if name in types}
    values = convert_all(own, types)
    method = values.get("method") or default_method(values.get("pretrained", embedded.NAME))
    others = {name: value for name, value in given.items() if name not in types}
    return Arguments(**values, options=_options(method, others, types), held_model=model)


def _by_name(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any]:
    """The arguments with a name for `pretrained`, and the model itself where it is one in memory.

    As for `hf`, such a model stays on its device and in its dtype, unless others are asked for.

    Raises:
        ConfigurationError: `pretrained` is something else.
    """
    pretrained = given.get("pretrained")
    if pretrained is None or isinstance(pretrained, str | int | PathLike):
        return given, None
    from transformers import PreTrainedModel

    if not isinstance(pretrained, PreTrainedModel):
        raise ConfigurationError(
            f"pretrained={shown(pretrained)}: expected a folder, a hub id, or a model of "
            "transformers (a PreTrainedModel)"
        )
    named = dict(given, pretrained=pretrained.name_or_path or type(pretrained).__name__)
    for name, own in (("device", str(pretrained.device)), ("dtype", "auto")):
        if named.get(name) is None:
            named[name] = own
    return named, pretrained


def _spelled_out(name: str, value: Any) -> Any:
    """The value of an argument that has a word of its own for it."""
    if name == "rounding" and value is None:  # lm-eval's command line reads the word none as None
        return "none"
    if name == "batch_size" and str(value).startswith("auto"):
        return AUTO_BATCH_SIZE
    if name in ("dtype", "mixed_precision_dtype") and is_short(value):
        return dtype_name(value)
    if name == "think_end_token" and str(value).isdigit():  # an id, as for hf
        return int(value)
    return value


def method_options(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a method, converted by the signature of its class.

    Args:
        method: a name of ALL_METHODS.
        given: texts of a command line, or values.

    Raises:
        ConfigurationError: an option that the method does not have, or a value of a wrong type.

    Example:
        >>> method_options("logit", {"q": "0.5", "variant": "quantile"})
        {'q': 0.5, 'variant': 'quantile'}
    """
    row = row_of(method, ALL_METHODS)
    row.check_options(method, given)
    types = {name: ArgumentType.of(one.annotation) for name, one in row.options().items()}
    return convert_all(given, types)


def _options(method: str, given: Mapping[str, Any], arguments: Iterable[str]) -> dict[str, Any]:
    """Those arguments that are options of the method, converted.

    Raises:
        ConfigurationError: a name that is none of either (the message lists both), or an option of
            other methods (the message names them).
    """
    if not given:
        return {}
    options = row_of(method, ALL_METHODS).options()
    unknown = sorted(set(given) - set(options))
    if unknown:
        owners = [name for name, row in ALL_METHODS.items() if {*unknown} <= {*row.options()}]
        if owners:
            raise ConfigurationError(
                f"method {method!r} has no option {', '.join(unknown)}, which is for method="
                f"{' or '.join(owners)}: leave it out, or take one of these"
            )
        message = (
            f"varlen_dlm has no argument {', '.join(unknown)}; it knows {', '.join(arguments)}, "
            f"and method {method!r} has no option {', '.join(unknown)}: "
            f"expected {', '.join(options) or 'none'}."
        )
        raise ConfigurationError(message + _nearest(unknown, [*arguments, *options]))
    return method_options(method, given)


def _nearest(unknown: Iterable[str], known: Sequence[str]) -> str:
    """The question whether a known name was meant, where one looks alike.

    >>> _nearest(["step"], ["seed", "steps"])
    ' Did you mean steps?'
    """
    alike = [name for one in unknown for name in get_close_matches(one, known, n=1)]
    return f" Did you mean {', '.join(alike)}?" if alike else ""
