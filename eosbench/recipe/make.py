"""Makes the embedded model and its predictors again: `make embedded-model`.

That takes hours on two cores, minutes on a GPU.

    python -m eosbench.recipe.make                            # all of it, from the repository's
    root python -m eosbench.recipe.make model --max_steps 20000    # longer: what follows is for
    eosbench train python -m eosbench.recipe.make model --pretrained FOLDER --seed 1      # on from
    an earlier model python -m eosbench.recipe.make predictors                 # for the model that
    is there

The model is trained by `eosbench train embedded` (eosbench/training/recipes/embedded.yaml) from a
checkpoint that is made here. Data, tokenizer, model, predictors and calibration all follow from the
generator (eosbench/documents/instruct.py) and the recipe's seed; nothing is downloaded. The
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
from eosbench.recipe.warm_start import new_model, warm_start
from eosbench.training import parse, train
from model_adapters import load_backbone, load_trainable, save_llada

logger = logging.getLogger(__name__)

SPECIAL_TOKENS = ("<mask>", "<eos>", "<bos>", "<sep>")
VOCABULARY = 896
TRAIN_DOCUMENTS = 4_000  # for the predictors
# The tightest of its variants once calibrated, see docs/methods.md.
OPTIONS = {"logit": {"variant": "threshold", "tau": 0.9}}
LOG = Path("build/embedded-training.jsonl")
BUILD = Path("build/embedded")
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


def make_start(folder: Path, *, teacher: Path | None, seed: int = 0) -> None:
    """Writes tokenizer and untrained model in LLaDA's format.

    Args:
        folder: where to.
        teacher: a trained checkpoint of the same shape to start from, None for random weights.
        seed: of the random weights.
    """
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    model = new_model(len(tokenizer))
    if teacher is not None:
        warm_start(model, tokenizer, load_backbone(teacher))
    save_llada(
        folder,
        model.model,
        model.lm_head.weight,
        mask_id=tokenizer.mask_token_id,
        eos_id=tokenizer.eos_token_id,
        dtype=torch.float32,
    )
    tokenizer.save_pretrained(folder)


def make_model(folder: Path, flags: Sequence[str], *, teacher: Path | None) -> None:
    """Trains the model by the recipe `embedded` and puts it into `folder`.

    Args:
        folder: of the embedded model.
        flags: for `eosbench train`, before its own; `--pretrained` goes on from an earlier model.
        teacher: see `make_start`.
    """
    start = []
    if "--pretrained" not in flags:
        make_start(BUILD / "start", teacher=teacher)
        start = ["--pretrained", str(BUILD / "start")]
    own = ["--output", str(BUILD / "model"), *start]
    trained = train(*parse(["embedded", *own, *flags]), load=load_trainable)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("run", "README.md"))
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
    """Reads the command line; what it does not know is for `eosbench train`."""
    parser = argparse.ArgumentParser(
        prog="python -m eosbench.recipe.make", description=__doc__.splitlines()[0]
    )
    parser.add_argument("part", nargs="?", choices=("all", "model", "predictors"), default="all")
    parser.add_argument(
        "--from-scratch", action="store_true", help=f"from random weights instead of {TEACHER}"
    )
    arguments, flags = parser.parse_known_args()
    logging.basicConfig(level=logging.INFO)
    if arguments.part != "predictors":
        teacher = None if arguments.from_scratch else TEACHER
        make_model(embedded.MODEL, flags, teacher=teacher)
    if arguments.part != "model":
        fitted = [method for method, row in METHODS.items() if row.fitting != "none"]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        make_predictors(embedded.MODEL.parent / "predictors", fitted, device)


if __name__ == "__main__":
    main()
