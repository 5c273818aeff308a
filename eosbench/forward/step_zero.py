"""Step zero: the one forward pass over prompt and canvas, shared by all methods that read the DLM.

A row is the prompt, the canvas, and padding on the right that no token attends to, so that a
document's numbers do not depend on its batch. Hidden states come in scoring order: row i is the
state that scores token i, whether or not the family shifts its logits. The mask token's own logit
never counts: a denoiser may not answer with it.

    step = run_step_zero(backbone, prompts)
    step.eos_rank_BC[0, length]     # 1: EOS is the most likely token at this canvas index

With a `view` it runs over a part of the canvas (canvas_part.py). What it holds of positions that
did not run is 0, and `at_every_position` draws a line between those that did.

`text_only(prompts, mask_id)` is the same for methods that do not read the DLM.

Legend: B batch, P longest prompt, C longest canvas, T prompt and canvas, D width, V vocabulary,
M positions on all canvases, N of them in one chunk, E ids that end a text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.utils.rnn import pad_sequence

from eosbench.backbone import Backbone, scoring_rows
from eosbench.canvas_view import FULL, PROMPT, CanvasView
from eosbench.errors import ConfigurationError, PredictorError
from eosbench.forward.canvas_part import (
    check_view,
    filled_between,
    hidden_at,
    pass_positions,
    scored_positions,
)
from eosbench.records import Prompt

Need = Literal["hidden", "eos"]
LOGITS_AT_ONCE = 2**26  # elements of [N, V] at a time: 256 MiB in float32

__all__ = ["Need", "StepZero", "run_step_zero", "text_only"]


@dataclass(frozen=True, eq=False)
class StepZero:
    """The batch that a predictor is given: prompts, and the DLM's states and scores of them.

    Tensors are None where a method did not ask for them; `read` says so.

    Attributes:
        prompts: B of them.
        at_least_B: the length that the revealed tokens prove: L >= last revealed canvas index + 1
            (0 where nothing is revealed).
        prompt_hidden_BPD: the hidden states that score the prompts' tokens.
        prompt_mask_BP: True where there is a token of a prompt.
        canvas_hidden_BCD: the hidden states that score the canvas positions.
        canvas_mask_BC: True where there is a canvas position.
        scored_BC: True where the pass scored the canvas position: everywhere, if all of it ran.
        masked_BC: True where the canvas holds the mask token.
        eos_probability_BC: float32, summed over all ids that end a text; 0 where the position was
            not scored.
        eos_rank_BC: rank of the likeliest such id, 1 where no other token is more likely; 0 where
            the position was not scored.
    """

    prompts: Sequence[Prompt]
    at_least_B: Sequence[int]
    prompt_hidden_BPD: torch.Tensor | None = None
    prompt_mask_BP: torch.Tensor | None = None
    canvas_hidden_BCD: torch.Tensor | None = None
    canvas_mask_BC: torch.Tensor | None = None
    scored_BC: torch.Tensor | None = None
    masked_BC: torch.Tensor | None = None
    eos_probability_BC: torch.Tensor | None = None
    eos_rank_BC: torch.Tensor | None = None

    def read(self, name: str) -> torch.Tensor:
        """The tensor of that name.

        Raises:
            PredictorError: step zero was not asked for it.
        """
        tensor: torch.Tensor | None = getattr(self, name)
        if tensor is None:
            raise PredictorError(
                f"step zero holds no {name}: make it with run_step_zero(backbone, prompts, "
                "needs=...), not text_only"
            )
        return tensor

    def open_BC(self) -> torch.Tensor:
        """[B, C] bool: True where the EOS can still stand.

        Such a position is masked, and stands after the last revealed token.
        """
        masked_BC = self.read("masked_BC")
        index_C = torch.arange(masked_BC.shape[1], device=masked_BC.device)
        at_least_B1 = torch.tensor(self.at_least_B, device=masked_BC.device)[:, None]
        return masked_BC & (index_C >= at_least_B1)

    def at_every_position(self, value_BC: torch.Tensor) -> torch.Tensor:
        """[B, C]: values of an end of the text, on a line between positions that were scored.

        A revealed position counts as 0, since EOS is never revealed. Scored positions keep their
        values, so that nothing changes where all of them were.
        """
        canvas_BC, scored_BC = self.read("canvas_mask_BC"), self.read("scored_BC")
        masked_BC = self.read("masked_BC")
        known_BC = scored_BC | (canvas_BC & ~masked_BC)
        line_BC = filled_between(value_BC * masked_BC, known_BC)
        return torch.where(scored_BC | ~canvas_BC, value_BC, line_BC)


def text_only(prompts: Sequence[Prompt], mask_id: int) -> StepZero:
    """A batch without tensors, for methods that read the prompt's text or nothing at all."""
    return StepZero(prompts, [_at_least(prompt, mask_id) for prompt in prompts])


@torch.no_grad()
def run_step_zero(
    backbone: Backbone,
    prompts: Sequence[Prompt],
    needs: Collection[Need] = ("hidden", "eos"),
    view: CanvasView = FULL,
) -> StepZero:
    """Runs one forward pass over the prompts and their canvases.

    Args:
        backbone: the model, which runs on its own device.
        prompts: B of them; prompts and canvases may differ in length.
        needs: "hidden" keeps the hidden states, "eos" unembeds the canvas for EOS probabilities and
            ranks.
        view: the part of every canvas that runs.

    Raises:
        ConfigurationError: there is no prompt or an empty canvas, prompt and canvas are longer
            than the backbone's positions, or it cannot run such a part.
    """
    _fits(prompts, backbone.spec.max_length)
    check_view(view, backbone.spec)
    if backbone.spec.attention == "block" or view == PROMPT:
        return _prompts_alone(backbone, prompts)
    device, spec = backbone.device, backbone.spec
    rows = [torch.tensor(prompt.ids + prompt.canvas, dtype=torch.long) for prompt in prompts]
    ids_BT = pad_sequence(rows, batch_first=True, padding_value=spec.pad_id).to(device)
    length_B = torch.tensor([len(row) for row in rows], device=device)
    prompt_B = torch.tensor([len(prompt.ids) for prompt in prompts], device=device)
    token_BT = torch.arange(ids_BT.shape[1], device=device) < length_B[:, None]
    if all(view.covers(len(prompt.canvas)) for prompt in prompts):
        raw_BTD = backbone.hidden(ids_BT, token_BT.long())
    else:
        places = [pass_positions(prompt, view, spec) for prompt in prompts]
        raw_BTD = hidden_at(backbone, ids_BT, places)
    hidden_BTD = scoring_rows(raw_BTD, spec.logits_shifted)

    index_C = torch.arange(max(len(prompt.canvas) for prompt in prompts), device=device)
    canvas_mask_BC = index_C < (length_B - prompt_B)[:, None]
    at_BC = (prompt_B[:, None] + index_C).clamp(max=ids_BT.shape[1] - 1)
    canvas_hidden_BCD = hidden_BTD.gather(1, at_BC[..., None].expand(-1, -1, hidden_BTD.shape[2]))
    masked_BC = (ids_BT.gather(1, at_BC) == spec.mask_id) & canvas_mask_BC
    scored_BC = torch.zeros_like(canvas_mask_BC)
    for row, prompt in enumerate(prompts):
        scored_BC[row, scored_positions(prompt, view, spec)] = True
    probability_BC, rank_BC = None, None
    if "eos" in needs:
        probability_BC, rank_BC = _eos(backbone, canvas_hidden_BCD, scored_BC)
    keep = "hidden" in needs
    index_P = torch.arange(int(prompt_B.max()), device=device)
    prompt_mask_BP = token_BT[:, : len(index_P)] & (index_P < prompt_B[:, None])
    return StepZero(
        prompts=prompts,
        at_least_B=[_at_least(prompt, spec.mask_id) for prompt in prompts],
        prompt_hidden_BPD=hidden_BTD[:, : prompt_mask_BP.shape[1]] if keep else None,
        prompt_mask_BP=prompt_mask_BP,
        canvas_hidden_BCD=canvas_hidden_BCD if keep else None,
        canvas_mask_BC=canvas_mask_BC,
        scored_BC=scored_BC,
        masked_BC=masked_BC,
        eos_probability_BC=probability_BC,
        eos_rank_BC=rank_BC,
    )


def _prompts_alone(backbone: Backbone, prompts: Sequence[Prompt]) -> StepZero:
    """One forward pass over the prompts, without a canvas: what needs one finds nothing here.

    No pass of a model that attends causally between blocks sees a whole canvas.
    """
    spec, device = backbone.spec, backbone.device
    rows = [torch.tensor(prompt.ids, dtype=torch.long) for prompt in prompts]
    ids_BP = pad_sequence(rows, batch_first=True, padding_value=spec.pad_id).to(device)
    length_B1 = torch.tensor([[len(row)] for row in rows], device=device)
    token_BP = torch.arange(ids_BP.shape[1], device=device) < length_B1
    hidden_BPD = scoring_rows(backbone.hidden(ids_BP, token_BP.long()), spec.logits_shifted)
    return StepZero(
        prompts=prompts,
        at_least_B=[_at_least(prompt, spec.mask_id) for prompt in prompts],
        prompt_hidden_BPD=hidden_BPD,
        prompt_mask_BP=token_BP,
    )


def _eos(
    backbone: Backbone, hidden_BCD: torch.Tensor, scored_BC: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The probability [B, C] and the rank [B, C] of EOS at each scored canvas position.

    The logits of a chunk of positions are held at a time.
    """
    eos_ids = torch.tensor(sorted(backbone.spec.eos_ids), device=hidden_BCD.device)
    hidden_MD = hidden_BCD[scored_BC]
    probabilities, ranks = [], []
    for chunk_ND in torch.split(hidden_MD, max(1, LOGITS_AT_ONCE // backbone.spec.vocab_size)):
        logits_NV = backbone.unembed(chunk_ND).float()
        logits_NV[:, backbone.spec.mask_id] = -torch.inf
        eos_NE = logits_NV[:, eos_ids]
        probabilities.append((eos_NE.logsumexp(dim=1) - logits_NV.logsumexp(dim=1)).exp())
        logits_NV[:, eos_ids] = -torch.inf
        ranks.append(1 + (logits_NV > eos_NE.max(dim=1, keepdim=True).values).sum(dim=1))
    probability_BC = torch.zeros(scored_BC.shape, device=hidden_BCD.device)
    rank_BC = torch.zeros(scored_BC.shape, dtype=torch.long, device=hidden_BCD.device)
    probability_BC[scored_BC] = torch.cat(probabilities)
    rank_BC[scored_BC] = torch.cat(ranks)
    return probability_BC, rank_BC


def _at_least(prompt: Prompt, mask_id: int) -> int:
    """The last revealed canvas index + 1; EOS is never revealed, so L is at least that."""
    revealed = [index for index, token in enumerate(prompt.canvas) if token != mask_id]
    return revealed[-1] + 1 if revealed else 0


def _fits(prompts: Sequence[Prompt], max_length: int) -> None:
    if not prompts or not all(prompt.canvas for prompt in prompts):
        raise ConfigurationError(
            "step zero needs at least one prompt, and a canvas of at least one position for each"
        )
    longest = max(prompts, key=lambda prompt: len(prompt.ids) + len(prompt.canvas))
    if len(longest.ids) + len(longest.canvas) > max_length:
        raise ConfigurationError(
            f"a prompt of {len(longest.ids)} tokens and a canvas of {len(longest.canvas)} exceed "
            f"the backbone's {max_length} positions: shorten the prompt, or choose a canvas of at "
            f"most {max(0, max_length - len(longest.ids))}"
        )
