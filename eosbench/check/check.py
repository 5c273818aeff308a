"""`eosbench check`: have the results become worse than a committed baseline?

The baseline is a JSON file to be read and edited by people (baseline.py): per run and task the
metrics that matter, each with its value, which way is better, and what is tolerated. Exit codes
follow diff and grep: 0 fine, 1 something fell, 2 something cannot be compared (2 outweighs 1).
"""

from __future__ import annotations

from pathlib import Path

from eosbench.check.baseline import read_baseline
from eosbench.check.comparison import compare_runs
from eosbench.check.outcomes import (
    UNCOMPARABLE,
    CheckOutcome,
    Comparison,
    write_junit,
    write_step_summary,
)
from eosbench.check.update import update_baseline
from eosbench.command_lines import command_line
from eosbench.errors import ConfigurationError, ResultsError
from eosbench.places import check_file, writing
from eosbench.results import scan


def check_results(
    results: str | Path,
    baseline: str | Path,
    *,
    update: bool = False,
    paired: bool = False,
    junit: str | Path | None = None,
) -> CheckOutcome:
    """Compares a results folder with a baseline file, or writes the baseline from it.

    Nothing is raised for what a CI job may meet (no results, a missing or broken baseline, a run
    that is gone, nothing that a baseline could watch): it is an outcome with exit code 2 whose
    message says what to do. A summary is appended to the file that GITHUB_STEP_SUMMARY names.

    Args:
        results: a folder as lm-eval writes it.
        baseline: the JSON file.
        update: writes `baseline` from `results` instead of comparing.
        paired: with `update`, watches by a paired test wherever samples were logged, and keeps
            each document's values for it.
        junit: where to write a JUnit XML report as well.
    """
    path = Path(baseline)
    again = command_line("eosbench", "check", results, "--baseline", baseline, "--update")
    try:
        if junit is not None:
            check_file(Path(junit), f"--junit {junit}")
        if update:
            check_file(path, f"--baseline {baseline}")
        runs = [run for run in scan(results).runs if run.settings is not None]
        if not runs:
            raise ResultsError(
                f"{str(results)!r} holds runs of other models and none of varlen_dlm: there is "
                "nothing to compare; name a folder with results of lm_eval --model varlen_dlm"
            )
        if update:
            outcome = update_baseline(runs, path, paired=paired)
        else:
            outcome = compare_runs(
                runs, read_baseline(path, f"write a new one with {again}"), again
            )
    except (ResultsError, ConfigurationError) as error:
        failed = Comparison("results", "", "", UNCOMPARABLE, str(error))
        what = "wrote no baseline" if update else "cannot compare"
        outcome = CheckOutcome([failed], f"{what}: {error}", 2)
    if junit is not None:
        with writing(f"--junit {junit}", "a file"):
            write_junit(outcome, Path(junit))
    write_step_summary(outcome)
    return outcome
