"""All that `eosbench train` can be told beside transformers' own training arguments.

Light on purpose: `eosbench train --help` prints it without loading torch. A recipe is a YAML file
of these fields and of TrainingArguments' (recipes/); docs/training.md explains them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _say(text: str, default: Any) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class Settings:
    """Model, data, recipe and output of one training run."""

    pretrained: str = _say("Folder or hub id of the model to start from.", "embedded")
    revision: str | None = _say("Branch, tag or commit, for hub ids.", None)
    attn_implementation: str | None = _say("sdpa (the default) or eager.", None)
    dropout: float = _say("Of every layer that has one, whatever the config says.", 0.0)
    trust_remote_code: bool = _say("Let the checkpoint's own tokenizer code run.", False)
    lora_rank: int = _say("Train low-rank matrices of this rank (peft) instead of all weights.", 0)
    lora_alpha: int = _say("Scale of the low-rank matrices.", 16)
    lora_targets: list[str] = field(
        default_factory=lambda: [],
        metadata={"help": "Names of the layers that get them; none: all linear ones."},
    )

    data: list[str] = field(
        default_factory=lambda: ["instruct:train"],
        metadata={"help": "Documents: files, ids on the hub, instruct:train, gsm8k:train, ..."},
    )
    data_config: str = _say("Configuration of a hub data set.", "default")
    split: str = _say("Split of a hub data set.", "train")
    prompt_column: list[str] = field(
        default_factory=lambda: ["prompt"],
        metadata={"help": "Column or template of the prompts, one for all data or one each."},
    )
    response_column: list[str] = field(
        default_factory=lambda: ["response"], metadata={"help": "The same for the responses."}
    )
    text_column: str | None = _say("Column of plain text: the data is streamed.", None)
    limit: int | None = _say("Documents of each source, at most.", None)
    apply_chat_template: bool = _say("Put each prompt into the model's chat template.", False)
    shuffle_buffer: int = _say("Streamed documents that are shuffled together.", 1_000)
    shares: str = _say(
        "Shares of families among the rows, as JSON; families that are not named have 1. "
        "None: by size.",
        "",
    )
    held_out: list[str] = field(
        default_factory=lambda: [],
        metadata={"help": "Documents to evaluate on; none: a share of the data."},
    )
    held_out_share: float = _say("Of the data, cut by a hash of the prompt.", 0.05)
    held_out_documents: int = _say("To evaluate on, at most.", 200)

    grid_share: float = _say(
        "Micro-batches that run the prompt and a grid of the masked canvas, as step_zero=grid:N.",
        0.0,
    )
    grid: int = _say("Positions of such a grid, N.", 31)
    layout: str = _say("Behind the answer: text, eos, eoseos, eospad or rainbow.", "eoseos")
    noise: str = _say("What is masked: uniform, suffix, full, in_use, causal.", "uniform")
    full_share: float = _say("Rows that are wholly masked, under uniform and suffix.", 0.25)
    block_length: int = _say("Tokens of a block, under in_use.", 32)
    canvas: int = _say("Longest window behind a prompt, in tokens.", 256)
    windows: str = _say("drawn (every size), full (canvas), exact (answer), ended.", "drawn")
    batch_tokens: int = _say(
        "Tokens of a micro-batch, rows of like length; 0: per_device_train_batch_size rows.", 0
    )
    text_weight: float = _say("Of a text token in the loss.", 1.0)
    eos_weight: float = _say("Of the EOS.", 1.0)
    filler_weight: float = _say("Of what stands behind it.", 1.0)
    inverse_share: bool = _say("Divide a row's weights by the share that is masked.", False)
    row_norm: str = _say("What a row's weights are divided by: none, sqrt or mean.", "none")
    objective: str = _say("denoise, first_end, policy or exact.", "denoise")
    denoise_weight: float = _say("Of the cross-entropy beside another objective.", 0.0)
    contrastive_weight: float = _say("Of the contrastive loss before and after the end.", 0.0)
    consistency_weight: float = _say("Of the divergence between two maskings.", 0.0)
    draws: int = _say("Lengths that policy draws a row.", 16)
    curriculum: str = _say("Short answers first: none, staircase or geometric.", "none")
    curriculum_start: int = _say("Longest answer at first, for staircase.", 20)
    curriculum_every: int = _say("Optimizer steps a stair.", 100)
    free_share: float = _say("Rows that a curriculum leaves alone.", 0.0)
    anneal_steps: int = _say("Optimizer steps from causal to full attention; 0: full.", 0)

    optimizer: str = _say("adamw (as --optim says) or muon (torch's, with AdamW).", "adamw")
    matrix_learning_rate: float = _say("Of Muon.", 3e-3)
    decay_share: float | None = _say(
        "Of the steps, over which the learning rate falls to zero; none: --lr_scheduler_type.", None
    )
    output: str = _say("Folder of the trained model.", "out/model")
    export_dtype: str = _say("Of the written weights; auto: as they were stored.", "auto")
    resume: bool = _say("Go on with the run in the output folder.", False)
