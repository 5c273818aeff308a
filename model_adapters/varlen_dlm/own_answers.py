"""The model's own answers as references (`reference=self`): what it says on the whole canvas,
generated once and kept on disk.

    own = OwnAnswers(backbone, cache_folder())
    own.generate([(prompt_ids, settings), ...], batch_size=16)   # only what the file does not have yet
    own.reference(prompt_ids, settings).length                   # L

There is one JSONL file per backbone and decoding settings, named by a hash of both, with a line per
prompt, which is written as soon as its answer is there. So all methods, fractions and later runs
read one generation, and a killed run goes on where it was.

Legend: C canvas, L reference length.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eosbench.backbone import Backbone
from eosbench.decoding import Answer, DecodeConfig, Job, generate
from eosbench.digest import digest_of_json, short_digest

Asked = tuple[tuple[int, ...], DecodeConfig]  # a prompt's ids, and how its whole canvas is denoised


@dataclass(frozen=True)
class Reference:
    """An answer that bounds are compared with: its ids, and L. Of an answer without EOS on the
    canvas, L is not known: C + 1.
    """

    ids: tuple[int, ...]
    length: int


def cache_folder() -> Path:
    """Where answers are kept: `own_answers` below $EOSBENCH_CACHE, or below ~/.cache/eosbench."""
    return Path(os.environ.get("EOSBENCH_CACHE", "~/.cache/eosbench")).expanduser() / "own_answers"


class OwnAnswers:
    """One backbone's own answers.

    Args:
        backbone: who answers.
        folder: of the files.
        seed: of random numbers, where the settings need any.
    """

    def __init__(self, backbone: Backbone, folder: Path, *, seed: int = 0) -> None:
        self.backbone, self.folder, self.seed = backbone, folder, seed
        self._files: dict[DecodeConfig, _File] = {}

    def generate(self, asked: Iterable[Asked], batch_size: int, *, progress: bool = False) -> None:
        """Answers what has no answer yet; of equal prompts one is answered."""
        missing = [
            (ids, settings)
            for ids, settings in dict.fromkeys(asked)
            if _key(ids) not in self._file(settings).answers
        ]
        jobs = [
            Job(ids, settings, settings.gen_length, self._seed(ids)) for ids, settings in missing
        ]
        answers = generate(self.backbone, jobs, batch_size=batch_size)
        for index, answer in tqdm(
            answers, "own answers", total=len(jobs), disable=not (progress and jobs)
        ):
            ids, settings = missing[index]
            self._file(settings).add(_key(ids), answer)

    def reference(self, ids: tuple[int, ...], settings: DecodeConfig) -> Reference:
        """The answer to a prompt that was among those of `generate`."""
        tokens, ended = self._file(settings).answers[_key(ids)]
        return Reference(tokens, len(tokens) if ended else settings.gen_length + 1)

    def _seed(self, ids: Sequence[int]) -> int:
        return int(_key((self.seed, *ids)), 16) >> 8  # 56 bits

    def _file(self, settings: DecodeConfig) -> _File:
        if settings not in self._files:
            spec = self.backbone.spec
            facts: dict[str, Any] = {
                "backbone": spec.fingerprint,
                "dtype": str(self.backbone.dtype).removeprefix("torch."),
                "mask": spec.mask_id,
                "eos": sorted(spec.eos_ids),
                "settings": asdict(settings),
                "seed": self.seed
                if settings.temperature > 0 or settings.remasking == "random"
                else None,
            }
            self._files[settings] = _File(self.folder, facts)
        return self._files[settings]


class _File:
    """One file: a first line that says whose answers these are, then {"prompt", "tokens", "ended"}
    a line.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.lead_in = ""  # what the next line needs before it
        self.path = folder / f"{digest_of_json(facts)}.jsonl"

    @functools.cached_property
    def answers(self) -> dict[str, tuple[tuple[int, ...], bool]]:
        """Prompt's hash -> tokens before the EOS, and whether there was one; a line cut off by a
        kill is passed over.
        """
        found = {}
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        self.lead_in = "" if text else json.dumps({"own_answers": 1, **self.facts}) + "\n"
        if text and not text.endswith("\n"):
            self.lead_in = "\n"
        for line in text.splitlines():
            try:
                row = json.loads(line)
                found[row["prompt"]] = (tuple(row["tokens"]), bool(row["ended"]))
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def add(self, key: str, answer: Answer) -> None:
        """Appends a line in one write, so that processes that share the file do not cut into each
        other's.
        """
        self.answers[key] = (tuple(answer.tokens), answer.ended)
        line = json.dumps({"prompt": key, "tokens": answer.tokens, "ended": answer.ended})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{self.lead_in}{line}\n")
        self.lead_in = ""


def _key(ids: Sequence[int]) -> str:
    return short_digest(json.dumps(list(ids)))
