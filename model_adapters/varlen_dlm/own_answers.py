"""The model's own answers on the whole canvas, as references (`reference=self`).

    own = OwnAnswers(backbone, cache_folder())
    own.generate([(prompt_ids, settings), ...], batch_size=16)  # what the file does not have yet
    own.reference(prompt_ids, settings).length                  # L

They are generated once and kept on disk. There is one JSONL file per backbone and decoding
settings, named by a hash of both, with a line per prompt, which is written as soon as its answer is
there. So all methods, fractions and later runs use one generation, and a killed run goes on where
it was.

Legend: C canvas, L reference length.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eosbench import places
from eosbench.backbone import Backbone
from eosbench.decoding import Answer, DecodeConfig, Job, generate
from eosbench.digest import digest_of_json, short_digest

# The token ids of a prompt, and the settings with which its whole canvas is denoised.
Asked = tuple[tuple[int, ...], DecodeConfig]


@dataclass(frozen=True)
class Reference:
    """An answer that bounds are compared with.

    Attributes:
        ids: its token ids.
        length: L. It is not known of an answer without an EOS on the canvas, and C + 1 stands for
            it.
    """

    ids: tuple[int, ...]
    length: int


def cache_folder() -> Path:
    """The folder of the files: `own_answers` below $EOSBENCH_CACHE, or below ~/.cache/eosbench."""
    return places.cache_folder("own_answers")


def check_cache() -> None:
    """Refuses a cache that cannot be made; one that is there may hold all answers already.

    Raises:
        ConfigurationError: it cannot be made; the message names EOSBENCH_CACHE.
    """
    folder = cache_folder()
    if not places.is_there(folder):
        places.check_folder(folder, _said(folder), places.CACHE_REMEDY)


def _said(folder: Path) -> str:
    """The place of own answers, as a message names it."""
    return f"reference=self keeps the model's own answers in {folder}"


class OwnAnswers:
    """The answers of one backbone.

    Args:
        backbone: the model that answers.
        folder: of the files.
        seed: of random numbers, where the settings need any.
    """

    def __init__(self, backbone: Backbone, folder: Path, *, seed: int = 0) -> None:
        self.backbone, self.folder, self.seed = backbone, folder, seed
        self._files: dict[DecodeConfig, _File] = {}

    def generate(self, asked: Iterable[Asked], batch_size: int, *, progress: bool = False) -> None:
        """Answers the prompts that have no answer yet; of equal prompts one is answered.

        Args:
            asked: prompts and settings.
            batch_size: canvases per forward pass.
            progress: whether to show a bar.
        """
        missing = [
            (ids, settings)
            for ids, settings in dict.fromkeys(asked)
            if _key(ids) not in self._file(settings).answers
        ]
        if missing:
            places.check_folder(self.folder, _said(self.folder), places.CACHE_REMEDY)
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
        said = self._file(settings).answers[_key(ids)]
        length = len(said.tokens) if said.ended else settings.gen_length + 1
        return Reference(said.tokens, length)

    def _seed(self, ids: Sequence[int]) -> int:
        return int(_key((self.seed, *ids)), 16) >> 8  # 56 bits

    def _file(self, settings: DecodeConfig) -> _File:
        if settings not in self._files:
            spec = self.backbone.spec
            is_random = settings.is_random
            facts: dict[str, Any] = {
                "backbone": spec.fingerprint,
                "dtype": str(self.backbone.dtype).removeprefix("torch."),
                "mask": spec.mask_id,
                "eos": sorted(spec.eos_ids),
                "settings": asdict(settings),
                "seed": self.seed if is_random else None,
            }
            self._files[settings] = _File(self.folder, facts)
        return self._files[settings]


@dataclass(frozen=True)
class _Said:
    """Tokens before the EOS, and whether there was an EOS on the canvas."""

    tokens: tuple[int, ...]
    ended: bool


class _File:
    """One file of answers.

    Its first line says whose answers these are. Every other line is a JSON object with the hash of
    a prompt ("prompt"), the answer ("tokens"), and whether the answer ends ("ended").
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.lead_in = ""  # stands before the next line: the file's first line, or a line break
        self.path = folder / f"{digest_of_json(facts)}.jsonl"

    @functools.cached_property
    def answers(self) -> dict[str, _Said]:
        """The answer to every prompt, by its hash; a line that a kill cut off is passed over."""
        found = {}
        with places.writing(_said(self.path.parent), "a folder", places.CACHE_REMEDY):
            text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        self.lead_in = "" if text else json.dumps({"own_answers": 1, **self.facts}) + "\n"
        if text and not text.endswith("\n"):
            self.lead_in = "\n"
        for line in text.splitlines():
            try:
                row = json.loads(line)
                found[row["prompt"]] = _Said(tuple(row["tokens"]), bool(row["ended"]))
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def add(self, key: str, answer: Answer) -> None:
        """Appends a line, in one write: other processes may append to the same file."""
        self.answers[key] = _Said(tuple(answer.tokens), answer.ended)
        line = json.dumps({"prompt": key, "tokens": answer.tokens, "ended": answer.ended})
        with places.writing(_said(self.path.parent), "a folder", places.CACHE_REMEDY):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{self.lead_in}{line}\n")
        self.lead_in = ""


def _key(ids: Sequence[int]) -> str:
    return short_digest(json.dumps(list(ids)))
