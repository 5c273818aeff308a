"""Makes the embedded model and its predictors again (`make embedded-model`).

That takes hours on two cores, minutes on a GPU. From the root of the repository:

    python -m eosbench.recipe.make                        # all of it
    python -m eosbench.recipe.make model --steps 20000    # longer
    python -m eosbench.recipe.make predictors             # for the model that is there
    python -m eosbench.recipe.make model --start SNAPSHOT --steps 5000 --seed 1    # from a snapshot

Data, tokenizer, model, predictors and calibration all follow from the generator
(eosbench/documents/instruct.py) and the seeds in PretrainConfig; nothing is downloaded. The
tokenizer is a byte-level BPE over the train split with single digits; `<bos>` opens a prompt and
`<sep>` closes it, both added by the tokenizer itself, so that plain prompts and the chat template
give the same ids. The DistilBERT of the embedded predictor is trained from scratch; who has a
network names a published encoder instead.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from eosbench import embedded
from eosbench.documents import INSTRUCT_VERSION, instruct_stream
from eosbench.fitting import FitData, FitJob, Passes, fit_all, load_examples
from eosbench.predictors import METHODS
from eosbench.recipe.pretrain import PretrainConfig, pretrain
from model_adapters import load_backbone, save_llada

logger = logging.getLogger(__name__)

SPECIAL_TOKENS = ("<mask>", "<eos>", "<bos>", "<sep>")
VOCABULARY = 896
TRAIN_DOCUMENTS = 4_000  # for the predictors
# The tightest of its variants once calibrated, see docs/methods.md.
OPTIONS = {"logit": {"variant": "threshold", "tau": 0.9}}
LOG = Path("build/embedded-training.jsonl")
# Where the blocks start; in the repository, not in a wheel.
TEACHER = Path("tests/golden/llada-trained")
CHAT_TEMPLATE = (
    "{{ '<bos>' }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + '<eos>' }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n' }}"
    "{% else %}{{ message['content'] + '<sep>' }}{% endif %}{% endfor %}"
)


def build_tokenizer(documents: int = 40_000) -> PreTrainedTokenizerFast:
    """Trains the byte-level BPE tokenizer on the first `documents` of the train split."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(
        (f"{d.prompt}\n{d.response}" for d in islice(instruct_stream("train"), documents)), trainer
    )
    framing = [(token, bpe.token_to_id(token)) for token in ("<bos>", "<sep>")]
    bpe.post_processor = processors.TemplateProcessing(
        single="<bos> $A <sep>", special_tokens=framing
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        mask_token="<mask>",
        eos_token="<eos>",
        bos_token="<bos>",
        sep_token="<sep>",
        pad_token="<eos>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(
    folder: Path,
    config: PretrainConfig,
    *,
    teacher: Path | None,
    start: Path | None,
    snapshot: Path,
    log: Path,
    device: str,
) -> None:
    """Trains tokenizer and model, and writes a LLaDA-format checkpoint.

    Args:
        folder: of the checkpoint; what is there is replaced.
        config: settings of the training.
        teacher: folder of a trained checkpoint of the same shape to start from.
        start, snapshot, log, device: see `pretrain`.
    """
    tokenizer = build_tokenizer()
    warm = load_backbone(teacher) if teacher is not None else None
    model = pretrain(
        tokenizer, config, log, teacher=warm, start=start, snapshot=snapshot, device=device
    )
    shutil.rmtree(folder, ignore_errors=True)
    mask_id, eos_id = tokenizer.mask_token_id, tokenizer.eos_token_id
    save_llada(folder, model.model, model.lm_head.weight, mask_id=mask_id, eos_id=eos_id)
    tokenizer.save_pretrained(folder)
    logger.info("model written to %s", folder)


def make_predictors(folder: Path, methods: Sequence[str], device: str) -> None:
    """Fits on the train split, calibrates on the calibration split, writes a folder per method.

    Args:
        folder: of the folders.
        methods: names of METHODS.
        device: where the model runs.
    """
    backbone = load_backbone(str(embedded.MODEL), device=device)
    train = load_examples("instruct:train", backbone, limit=TRAIN_DOCUMENTS)
    calibration = load_examples("instruct:calibration", backbone)
    jobs = [FitJob(method, folder / method, OPTIONS.get(method, {})) for method in methods]
    source = f"the embedded benchmark, version {INSTRUCT_VERSION}"
    passes, data = Passes(backbone, embedded.CANVAS), FitData(train, calibration, source)
    for report in fit_all(jobs, passes=passes, data=data):
        errors = {fraction: round(score["rmse"], 1) for fraction, score in report.scores.items()}
        logger.info("%s: rmse by unmasked fraction %s", report.job.method, errors)


def main() -> None:
    """Entry point of `python -m eosbench.recipe.make`."""
    defaults = PretrainConfig()
    parser = argparse.ArgumentParser(
        prog="python -m eosbench.recipe.make", description=__doc__.splitlines()[0]
    )
    parser.add_argument("part", nargs="?", choices=("all", "model", "predictors"), default="all")
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--decay-share", type=float, default=defaults.decay_share)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--start", type=Path, help="snapshot of an earlier run to go on from")
    parser.add_argument(
        "--from-scratch", action="store_true", help=f"from random weights instead of {TEACHER}"
    )
    parser.add_argument(
        "--snapshot", type=Path, default=Path("build/embedded-snapshot.safetensors")
    )
    parser.add_argument("--log", type=Path, default=LOG)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.part != "predictors":
        config = PretrainConfig(
            steps=arguments.steps, decay_share=arguments.decay_share, seed=arguments.seed
        )
        make_model(
            embedded.MODEL,
            config,
            teacher=None if arguments.from_scratch or arguments.start else TEACHER,
            start=arguments.start,
            snapshot=arguments.snapshot,
            log=arguments.log,
            device=device,
        )
    if arguments.part != "model":
        fitted = [method for method, row in METHODS.items() if row.fitting != "none"]
        make_predictors(embedded.MODEL.parent / "predictors", fitted, device)


if __name__ == "__main__":
    main()
