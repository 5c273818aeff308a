"""From a recipe or a file and flags to settings and transformers' TrainingArguments.

    settings, arguments = parse(["eospad", "--pretrained", "GSAI-ML/LLaDA-8B-Base", "--bf16"])
    settings, arguments = parse(["my.yaml", "--learning_rate", "1e-4"])

What is said last holds: the common defaults, the recipe, the file, the flags. A file may name a
packaged recipe to start from (`recipe: hazard`). Every value goes through one parser, so that 1e-4
is a number in YAML too, and an unknown name is an error that names the nearest one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from eosbench.errors import ConfigurationError
from eosbench.training.checks import check, nearest
from eosbench.training.settings import Settings

if TYPE_CHECKING:
    from transformers import TrainingArguments

RECIPES = Path(__file__).parent / "recipes"
COMMON = RECIPES / "_common.yaml"


def recipe_names() -> list[str]:
    """The packaged recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml") if path != COMMON)


def describe(recipe: str) -> str:
    """The first comment of a packaged recipe: what it is."""
    first = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("#").strip()


def parse(words: Sequence[str]) -> tuple[str, Settings, TrainingArguments]:
    """(name of the recipe, settings, transformers' arguments) of a command line.

    Args:
        words: a recipe or a file, then flags.

    Raises:
        ConfigurationError: an unknown recipe, file, name or value; the message is one line.
    """
    if not words or words[0].startswith("-"):
        raise ConfigurationError(
            f"eosbench train RECIPE|FILE [--name value ...]: expected one of "
            f"{', '.join(recipe_names())}, or a .yaml or .json file"
        )
    name, layers = _layers(words[0])
    parser = _parser()
    flags: list[str] = []
    for where, values in layers:
        own = _as_flags(values)
        _parsed(parser, own, where)
        flags += own
    flags += words[1:]
    given = _parsed(parser, flags, "the command line")
    if given.output_dir is None:
        flags += ["--output_dir", str(Path(given.output) / "run")]
    if not _has_accelerator():  # the Trainer refuses bf16 where nobody says so
        flags += ["--use_cpu", "true"]
    try:
        settings, arguments = parser.parse_args_into_dataclasses(flags, look_for_args_file=False)
    except (ValueError, ImportError, RuntimeError, TypeError) as error:
        raise ConfigurationError(" ".join(str(error).split())) from error
    for one in fields(Settings):  # a list without elements has no words of its own
        if getattr(settings, one.name) == ["none"]:
            setattr(settings, one.name, [])
    check(settings, arguments)
    return name, settings, arguments


def _has_accelerator() -> bool:
    import torch

    return torch.accelerator.is_available()


def _layers(recipe: str) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The recipe's name, and what is said where, the weakest first."""
    layers = [(COMMON.name, read_file(COMMON))]
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml", ".json"):
        return recipe, [*layers, (recipe, read_file(_packaged(recipe)))]
    said = read_file(path)
    base = said.pop("recipe", None)
    if base is not None:
        layers.append((str(base), read_file(_packaged(str(base)))))
    return path.stem, [*layers, (str(path), said)]


def _packaged(recipe: str) -> Path:
    if recipe not in recipe_names():
        near = nearest(recipe, recipe_names())
        raise ConfigurationError(
            f"no recipe {recipe!r}{near}: expected one of {', '.join(recipe_names())}, or a file "
            "that ends in .yaml or .json"
        )
    return RECIPES / f"{recipe}.yaml"


def read_file(path: Path) -> dict[str, Any]:
    """The values of a YAML or JSON file.

    Raises:
        ConfigurationError: it is missing or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {' '.join(str(error).split())}"
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} holds {type(found).__name__}, expected names with values")
    return {str(name): value for name, value in found.items()}


def _as_flags(values: Mapping[str, Any]) -> list[str]:
    """Values of a file as words of a command line.

    >>> _as_flags({"data": ["a", "b"], "bf16": True, "revision": None, "shares": {"list": 0.5}})
    ['--data', 'a', 'b', '--bf16', 'true', '--shares', '{"list": 0.5}']
    """
    flags: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        elif isinstance(value, (bool, dict)):
            flags += [f"--{name}", json.dumps(value)]
        else:
            flags += [f"--{name}", str(value)]
    return flags


def _parser() -> Any:
    from transformers import HfArgumentParser, TrainingArguments

    class Parser(HfArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise ConfigurationError(" ".join(message.split()))

    kinds: list[Any] = [Settings, TrainingArguments]
    return Parser(kinds, add_help=False, allow_abbrev=False)


def _parsed(parser: Any, flags: Sequence[str], where: str) -> Any:
    """The values of flags.

    Raises:
        ConfigurationError: an unknown name or a value of another type, and where it stands.
    """
    try:
        found, left = parser.parse_known_args(list(flags))
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    if left:
        unknown = next((word for word in left if word.startswith("--")), left[0])
        name = unknown.removeprefix("--").partition("=")[0]
        known = [action.dest for action in parser._actions]
        raise ConfigurationError(f"{where}: unknown name {name!r}{nearest(name, known)}")
    return found


def said(settings: Settings) -> dict[str, Any]:
    """The settings that differ from the defaults of their fields, for training.json."""
    plain = Settings()
    return {
        one.name: value
        for one in fields(Settings)
        if (value := getattr(settings, one.name)) != getattr(plain, one.name)
    }
