"""Writes the YAML file of every bound task and group: `python tasks/_generate.py`.

lm-eval finds one task a file, so each unmasked fraction of each benchmark has one, of two lines:
what is asked (`_gsm8k_yaml`) and how much of the answer is shown (`_u25_yaml`). What they say is
written by hand; which there are is the table below, with a benchmark for every data set of
eosbench/documents/public.py. A test holds the files against it.
"""

from __future__ import annotations

from pathlib import Path
from posixpath import relpath

from eosbench.documents import DATA_SETS

HERE = Path(__file__).resolve().parent
FRACTIONS = ("u00", "u25", "u50", "u75")
# U=0 shows nothing, in whatever order.
PREFIX_FRACTIONS = ("prefix_u25", "prefix_u50", "prefix_u75")

BENCHMARKS = {  # name -> folder of its files, what is asked, with prefix variants
    "eos_upper_bound": ("instruct", "instruct/_test_yaml", True),
    "eos_upper_bound_length_ood": ("instruct", "instruct/_length_ood_yaml", False),
    "eos_upper_bound_domain_ood": ("instruct", "instruct/_domain_ood_yaml", False),
    **{
        f"eos_upper_bound_{data}": (f"real/{data}", f"real/_{data}_yaml", True)
        for data in DATA_SETS
    },
}
GROUPS = {
    f"eos_upper_bound_real{suffix}": [f"eos_upper_bound_{data}{suffix}" for data in DATA_SETS]
    for suffix in ("", "_prefix")
}


def files() -> dict[str, str]:
    """Path below this folder -> content."""
    found = {}
    for name, (folder, documents, prefix) in BENCHMARKS.items():
        fractions = {name: FRACTIONS} | ({f"{name}_prefix": PREFIX_FRACTIONS} if prefix else {})
        for group, members in fractions.items():
            tasks = [f"{name}_{member}" for member in members]
            found[f"{folder}/{group}.yaml"] = _group(folder, group, tasks)
            for task, member in zip(tasks, members, strict=True):
                includes = ", ".join(
                    (relpath(documents, folder), relpath(f"_{member}_yaml", folder))
                )
                found[f"{folder}/{task}.yaml"] = f"include: [{includes}]\ntask: {task}\n"
    return found | {
        f"real/{group}.yaml": _group("real", group, members) for group, members in GROUPS.items()
    }


def _group(folder: str, name: str, members: list[str]) -> str:
    listed = "".join(f"  - {member}\n" for member in members)
    return f"include: {relpath('_group_yaml', folder)}\ngroup: {name}\ntask:\n{listed}"


if __name__ == "__main__":
    for path, content in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(content, encoding="utf-8")
