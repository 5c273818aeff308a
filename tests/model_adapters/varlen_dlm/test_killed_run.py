"""A run killed with SIGKILL and started again goes on where it was, and two processes give what one
gives.

Real processes and real lm-eval. Importing it all takes longer than the runs: a script does so once
and forks a process per run. (One thread, or the forked processes would hang; and no list of
installed packages in the results, which takes pip seconds.)
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.golden_files import GOLDEN

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENTS = 9

TASK = """
task: tiny_spelling
custom_dataset: !function documents.documents
test_split: test
output_type: generate_until
doc_to_text: "<bos>{{question}}<sep>"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["!"], max_gen_toks: 16}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
BOUND_TASK = """
task: tiny_bounds
custom_dataset: !function documents.documents
class: !function documents.ReferenceTask
test_split: test
output_type: generate_until
doc_to_text: "<bos>{{question}}<sep>"
doc_to_target: "{{answer}}"
process_results: !function documents.process_results
generation_kwargs: {until: [], eos_upper_bound: {fraction: 0.5}}
metric_list:
  - {metric: coverage, aggregation: mean, higher_is_better: true}
  - {metric: rmse, aggregation: mean, higher_is_better: false}
"""
LIKELIHOOD_TASK = """
task: tiny_choice
custom_dataset: !function documents.documents
test_split: test
output_type: multiple_choice
doc_to_text: "<bos>{{question}}<sep>"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
FUNCTIONS = f"""
import importlib.util
import datasets

file = {str(REPOSITORY / "tasks" / "task.py")!r}
spec = importlib.util.spec_from_file_location("instruct_task", file)
task = importlib.util.module_from_spec(spec)
spec.loader.exec_module(task)
ReferenceTask, process_results = task.ReferenceTask, task.process_results

WORDS = "garden island water piano river window summer letter forest".split()

def documents(**_):
    return {{"test": datasets.Dataset.from_list([
        {{"question": f"Spell the word {{word}}.", "answer": " ".join(word), "id": word}}
        for word in WORDS
    ])}}
"""
RUN = """
import json, os, sys, traceback
import lm_eval.evaluator
from lm_eval.tasks import TaskManager
from model_adapters.varlen_dlm import VarLenDLM

lm_eval.evaluator.add_env_info = lambda results: None

def run(output, cache, tasks, arguments):
    results = lm_eval.simple_evaluate(
        VarLenDLM(**arguments),
        tasks=tasks,
        task_manager=TaskManager(include_path=sys.argv[1], include_defaults=False),
        use_cache=cache,
        bootstrap_iters=0,
    )
    if results is None:  # not the first of several processes
        return
    samples = {
        task: {sample["doc_id"]: [sample["filtered_resps"], sample["doc"]] for sample in logged}
        for task, logged in results["samples"].items()
    }
    costs = results["config"]["eosbench"]["costs"]
    facts = {"results": results["results"], "samples": samples, "costs": costs}
    facts["processes"] = int(os.environ.get("WORLD_SIZE", "1"))
    with open(output, "w") as file:
        json.dump(facts, file, default=str)

if len(sys.argv) > 2:
    run(**json.loads(sys.argv[2]))
    sys.exit()
VarLenDLM(**json.loads(sys.stdin.readline()))  # imports what only a model needs
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            run(**json.loads(line))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
MODEL = {
    "pretrained": str(GOLDEN / "llada-trained"),
    "device": "cpu",
    "max_gen_toks": 64,
    "batch_size": 1,
    "mc_num": 8,
}

# Under --cpu accelerate starts one process, however many are asked for; --multi_gpu starts them,
# and --device cpu needs no GPU.
TWO = [
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
]
TWO += ["--dynamo_backend", "no", "--main_process_port", "0"]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, text in (("spelling", TASK), ("bounds", BOUND_TASK), ("choice", LIKELIHOOD_TASK)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "documents.py").write_text(FUNCTIONS, encoding="utf-8")
    return folder


def plan(output: Path, tasks: str, cache: str | None = None, **given: Any) -> str:
    return json.dumps(
        {
            "output": str(output),
            "cache": cache,
            "tasks": tasks.split(","),
            "arguments": MODEL | given,
        }
    )


def start(tasks: Path, launcher: list[str], *arguments: str) -> subprocess.Popen[str]:
    script = tasks / "run.py"
    script.write_text(RUN, encoding="utf-8")
    return subprocess.Popen(
        [*launcher, str(script), str(tasks), *arguments],
        env=os.environ
        | {
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "EOSBENCH_PLUGIN": "0",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def facts(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    """Finished lines of a JSONL file that may be written to while it is read."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def test_a_killed_run_computes_nothing_finished_again(tasks: Path, tmp_path: Path) -> None:
    telemetry, cache = tmp_path / "costs.jsonl", str(tmp_path / "cache")
    never, after, undisturbed = (
        tmp_path / f"{name}.json" for name in ("never", "after", "undisturbed")
    )
    with start(tasks, [sys.executable]) as runs:
        assert runs.stdin is not None
        assert runs.stdout is not None
        runs.stdin.write(json.dumps(MODEL) + "\n")
        runs.stdin.write(plan(never, "tiny_spelling", cache, telemetry=str(telemetry)) + "\n")
        runs.stdin.flush()
        victim, until = int(runs.stdout.readline()), time.monotonic() + 120
        while len(lines(telemetry)) < 3:
            assert time.monotonic() < until, "the run wrote no telemetry"
            time.sleep(0.005)
        os.kill(victim, signal.SIGKILL)
        assert int(runs.stdout.readline()) == signal.SIGKILL  # it was still at work
        before = lines(telemetry)
        assert 3 <= len(before) < DOCUMENTS
        again = plan(after, "tiny_spelling", cache, telemetry=str(telemetry))
        answered, _ = runs.communicate(
            "\n".join([again, plan(undisturbed, "tiny_spelling")]) + "\n", timeout=120
        )
        assert answered.split()[1::2] == ["0", "0"]

    computed = Counter(line["doc_id"] for line in lines(telemetry))
    assert set(computed) == set(range(DOCUMENTS))
    twice = [document for document, times in computed.items() if times > 1]
    # Only one that was between its telemetry line and its commit.
    assert twice in ([], [before[-1]["doc_id"]])
    assert not never.exists()
    assert facts(after)["samples"] == facts(undisturbed)["samples"]
    assert facts(after)["results"] == facts(undisturbed)["results"]
    assert len(facts(after)["samples"]["tiny_spelling"]) == DOCUMENTS
    assert facts(after)["costs"]["tiny_spelling"]["requests"] == DOCUMENTS - len(before) + len(
        twice
    )


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_nothing(tasks: Path, tmp_path: Path) -> None:
    """Generation and likelihood in one run with --use_cache, killed ten times wherever it stands,
    then left alone.
    """
    names, cache, chance = "tiny_spelling,tiny_choice", str(tmp_path / "cache"), random.Random(0)
    after, undisturbed = tmp_path / "after.json", tmp_path / "undisturbed.json"
    killed = caches = 0

    def check() -> None:
        assert facts(after)["results"] == facts(undisturbed)["results"]
        assert facts(after)["samples"] == facts(undisturbed)["samples"]

    with start(tasks, [sys.executable]) as runs:
        assert runs.stdin is not None
        assert runs.stdout is not None

        def send(line: str) -> None:
            assert runs.stdin is not None
            runs.stdin.write(line + "\n")
            runs.stdin.flush()

        send(json.dumps(MODEL))
        send(plan(undisturbed, names))
        runs.stdout.readline()
        started = time.monotonic()
        assert runs.stdout.readline().strip() == "0"
        whole = time.monotonic() - started
        while killed < 10:
            send(plan(after, names, f"{cache}{caches}"))
            victim = int(runs.stdout.readline())
            time.sleep(chance.uniform(0.0, 0.7 * whole))
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            if int(runs.stdout.readline()) == signal.SIGKILL:
                killed += 1
                after.unlink(missing_ok=True)
            else:  # it was done already, on what the killed ones left; the next begins with nothing
                check()
                caches += 1
        answered, _ = runs.communicate(plan(after, names, f"{cache}{caches}") + "\n", timeout=120)
        assert answered.split()[1::2] == ["0"]
    check()


def test_two_processes_give_what_one_gives(tasks: Path, tmp_path: Path) -> None:
    found = []
    for launcher in ([sys.executable], [sys.executable, *TWO]):
        output = tmp_path / f"{len(launcher)}.json"
        run = plan(output, "tiny_spelling,tiny_bounds,tiny_choice", method="logit", variant="top1")
        with start(tasks, launcher, run) as process:
            assert process.wait(timeout=600) == 0
        found.append(facts(output))
    one, other = found
    assert (one["processes"], other["processes"]) == (1, 2)
    assert other["results"] == {
        task: pytest.approx(values, nan_ok=True) for task, values in one["results"].items()
    }
    assert one["samples"] == other["samples"]
    for task, costs in one["costs"].items():
        for name, value in costs.items():
            if name not in ("seconds", "model_seconds"):
                assert other["costs"][task][name] == pytest.approx(value), (task, name)
    assert one["costs"]["tiny_choice"]["requests"] == 2 * DOCUMENTS


@pytest.mark.slow
def test_accelerate_launch_lm_eval_writes_the_results_of_one_process(
    tasks: Path, tmp_path: Path
) -> None:
    """The real command and the real files: results, samples, costs of both processes together."""
    given = MODEL | {
        "method": "logit",
        "variant": "top1",
        "telemetry": str(tmp_path / "costs.jsonl"),
    }
    arguments = ",".join(
        f"{name}={value}" for name, value in given.items() if name not in ("batch_size", "device")
    )
    found = []
    for number, launcher in enumerate(([], TWO), start=1):
        output = tmp_path / f"{number}"
        command = [
            sys.executable,
            *launcher,
            "-m",
            "lm_eval",
            "--model",
            "varlen_dlm",
            "--model_args",
            arguments,
        ]
        command += [
            "--tasks",
            "tiny_spelling,tiny_bounds,tiny_choice",
            "--include_path",
            str(tasks),
            "--log_samples",
        ]
        done = subprocess.run(
            [*command, "--output_path", str(output), "--batch_size", "1", "--device", "cpu"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert ("on rank 1" in done.stderr) == bool(launcher)
        (results,) = output.rglob("results_*.json")
        samples = {}
        for path in output.rglob("samples_*.jsonl"):
            logged = [json.loads(line) for line in path.read_text().splitlines()]
            for sample in logged:
                # Where lm-eval fills up shares of unequal length it logs the last answer once more.
                del sample["resps"]
            samples[path.name.rpartition("_2")[0]] = sorted(json.dumps(sample) for sample in logged)
        data = json.loads(results.read_text())
        block = data["config"]["eosbench"]
        block["costs"] = {
            task: {n: v for n, v in cost.items() if "seconds" not in n}
            for task, cost in block["costs"].items()
        }
        kept = (
            "results",
            "group_subtasks",
            "configs",
            "versions",
            "n-shot",
            "higher_is_better",
            "n-samples",
        )  # task_hashes follow the order of ranks
        found.append({"samples": samples, "eosbench": block, **{name: data[name] for name in kept}})
    one, other = found
    # Means of two parts are summed up in another order.
    for task, values in other["results"].items():
        assert values == pytest.approx(one["results"][task], nan_ok=True), task
    for part in one.keys() - {"results", "eosbench"}:
        assert one[part] == other[part], part
    costs = one["eosbench"].pop("costs")
    assert other["eosbench"].pop("costs") == {
        task: pytest.approx(cost) for task, cost in costs.items()
    }
    assert one["eosbench"] == other["eosbench"]
    assert set(one["samples"]) == {
        "samples_tiny_spelling",
        "samples_tiny_bounds",
        "samples_tiny_choice",
    }
    lines_of_both_runs = lines(tmp_path / "costs.jsonl")
    per_run = 2 * DOCUMENTS + 2 * DOCUMENTS  # a text, a bound and two choices a document
    assert len(lines_of_both_runs) == 2 * per_run
