"""Writes the YAML file of every bound task and group: `python tasks/_generate.py`.

lm-eval finds one task per file, so each unmasked fraction of each benchmark has a file. It is two
lines long, and includes two others: the question (`_gsm8k_yaml`) and the share of the answer that
is shown (`_u25_yaml`). Those are written by hand. The table below says which tasks there are, with
a benchmark for every data set of eosbench/documents/public.py; a test holds the files against it.
"""

from __future__ import annotations

from pathlib import Path
from posixpath import relpath

from eosbench.documents import DATA_SETS

HERE = Path(__file__).resolve().parent
FRACTIONS = ("u00", "u25", "u50", "u75")
# At u = 0 nothing is shown, in whatever order.
PREFIX_FRACTIONS = ("prefix_u25", "prefix_u50", "prefix_u75")

# Task -> its name in the names of files.
REAL = {data.task: data.task.removeprefix("eos_upper_bound_") for data in DATA_SETS.values()}
# Name -> the folder of its files, the question, and whether there are prefix variants.
BENCHMARKS = {
    "eos_upper_bound": ("instruct", "instruct/_test_yaml", True),
    "eos_upper_bound_length_ood": ("instruct", "instruct/_length_ood_yaml", False),
    "eos_upper_bound_domain_ood": ("instruct", "instruct/_domain_ood_yaml", False),
    **{task: (f"real/{short}", f"real/_{short}_yaml", True) for task, short in REAL.items()},
}
GROUPS = {
    "eos_upper_bound_real": list(REAL),
    "eos_upper_bound_real_prefix": [f"{task}_prefix" for task in REAL],
}


def files() -> dict[str, str]:
    """Every file: its path below this folder -> its content."""
    found = {}
    for name, (folder, question, with_prefix) in BENCHMARKS.items():
        found |= _benchmark(folder, question, name, name, FRACTIONS)
        if with_prefix:
            found |= _benchmark(folder, question, name, f"{name}_prefix", PREFIX_FRACTIONS)
    for group, members in GROUPS.items():
        found[f"real/{group}.yaml"] = _group("real", group, members)
    return found


def _benchmark(
    folder: str, question: str, name: str, group: str, fractions: tuple[str, ...]
) -> dict[str, str]:
    """The files of a benchmark's tasks, one per fraction, and of the group of them."""
    found = {}
    for fraction in fractions:
        task = f"{name}_{fraction}"
        shown = relpath(f"_{fraction}_yaml", folder)
        includes = f"[{relpath(question, folder)}, {shown}]"
        found[f"{folder}/{task}.yaml"] = f"include: {includes}\ntask: {task}\n"
    members = [f"{name}_{fraction}" for fraction in fractions]
    return found | {f"{folder}/{group}.yaml": _group(folder, group, members)}


def _group(folder: str, name: str, members: list[str]) -> str:
    listed = "".join(f"  - {member}\n" for member in members)
    return f"include: {relpath('_group_yaml', folder)}\ngroup: {name}\ntask:\n{listed}"


if __name__ == "__main__":
    for path, content in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(content, encoding="utf-8")
