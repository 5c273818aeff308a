"""Step zero over a part of the canvas: the positions that run, their states, and the values between
them; states are those of transformers' own model on the same tokens and positions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from eosbench.canvas_view import FULL, PROMPT, CanvasView, grid_positions
from eosbench.errors import ConfigurationError
from eosbench.forward import check_view, pass_positions, run_step_zero, scored_positions
from eosbench.forward.canvas_part import filled_between, hidden_at
from eosbench.records import Prompt
from tests.fakes import MASK, ScriptedBackbone, table
from tests.golden_files import load_golden

GRID = CanvasView.of("grid:4")  # of a canvas of 12: 0, 1, 5 and 11
PLAIN = ("llada-tiny", "llada-tiny-gqa", "llada-trained", "llada-moe-tiny", "illada-tiny")
SHIFTED = ("dream-tiny", "diffugpt-tiny")
WORD = 12
PREFIX = (7, 9, 10)


def prompt(mask_id: int, ids: tuple[int, ...] = PREFIX, revealed: tuple[int, ...] = (3,)) -> Prompt:
    canvas = tuple(WORD if index in revealed else mask_id for index in range(12))
    return Prompt("", ids, canvas)


def by_hand(backbone: Any, one: Prompt, places: list[int]) -> torch.Tensor:
    """[R, D]: transformers' own model on the tokens at these places, each told its position."""
    ids = torch.tensor([[(*one.ids, *one.canvas)[place] for place in places]])
    everything = torch.zeros(1, 1, len(places), len(places))  # added to the scores: all is seen
    with torch.no_grad():
        output = backbone.model(
            input_ids=ids, attention_mask=everything, position_ids=torch.tensor([places])
        )
    states: torch.Tensor = output.last_hidden_state[0]
    return states


@pytest.mark.parametrize("name", PLAIN)
def test_states_are_those_of_the_model_on_these_positions(name: str) -> None:
    backbone = load_golden(name).backbone
    one = prompt(backbone.spec.mask_id)
    places = [0, 1, 2, 3, 4, 6, 8, 14]  # the prompt, canvas indices 0, 1, 3 (revealed), 5 and 11
    step = run_step_zero(backbone, [one], view=GRID)
    states = by_hand(backbone, one, places)
    found = step.read("canvas_hidden_BCD")[0]
    torch.testing.assert_close(found[[0, 1, 3, 5, 11]], states[3:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(step.read("prompt_hidden_BPD")[0], states[:3], atol=1e-5, rtol=1e-5)
    assert step.read("scored_BC")[0].nonzero()[:, 0].tolist() == [0, 1, 3, 5, 11]
    assert not found[[2, 4, 6, 7, 8, 9, 10]].any()
    logits = backbone.unembed(states[3:]).float()
    logits[:, backbone.spec.mask_id] = -torch.inf
    expected = logits.softmax(dim=1)[:, sorted(backbone.spec.eos_ids)].sum(dim=1)
    probability = step.read("eos_probability_BC")[0]
    torch.testing.assert_close(probability[[0, 1, 3, 5, 11]], expected, atol=1e-6, rtol=1e-4)
    assert not probability[[2, 4, 6, 7, 8, 9, 10]].any()


@pytest.mark.parametrize("name", SHIFTED)
def test_where_logits_are_shifted_the_position_before_a_point_runs(name: str) -> None:
    backbone = load_golden(name).backbone
    one = prompt(backbone.spec.mask_id)
    # The last of the prompt scores canvas index 0; then indices 0, 3 (revealed), 4 and 10 run.
    places = [0, 1, 2, 3, 6, 7, 13]
    step = run_step_zero(backbone, [one], view=GRID)
    states = by_hand(backbone, one, places)
    assert step.read("scored_BC")[0].nonzero()[:, 0].tolist() == [0, 1, 4, 5, 11]
    torch.testing.assert_close(
        step.read("canvas_hidden_BCD")[0, [0, 1, 4, 5, 11]], states[2:], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", ["llada-trained", "illada-tiny", *SHIFTED])
@pytest.mark.parametrize("points", [12, 99])
def test_as_many_points_as_positions_are_the_whole_canvas(name: str, points: int) -> None:
    backbone = load_golden(name).backbone
    prompts = [prompt(backbone.spec.mask_id), prompt(backbone.spec.mask_id, (5,) * 7, (0, 4))]
    full, grid = (
        run_step_zero(backbone, prompts, view=view) for view in (FULL, CanvasView(points))
    )
    for field in (name for name in vars(full) if name.endswith(("BCD", "BPD", "BC", "BP"))):
        assert torch.equal(full.read(field), grid.read(field)), field
    assert full.read("scored_BC").all()


@pytest.mark.parametrize("name", ["llada-trained", *SHIFTED])
def test_told_positions_are_counted_ones(name: str) -> None:
    backbone = load_golden(name).backbone
    ids_BT = torch.tensor([[5, 6, 7, 8, 9, 10], [5, 6, 7, 11, 12, 13]])
    told = hidden_at(backbone, ids_BT, [range(6), range(6)])
    torch.testing.assert_close(told, backbone.hidden(ids_BT), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["llada-trained", *SHIFTED])
def test_a_batch_of_one_equals_a_batch_of_five(name: str) -> None:
    backbone = load_golden(name).backbone
    mask_id = backbone.spec.mask_id
    revealed = ((), (3,), (0, 7), (11,), (2, 3, 4))
    prompts = [
        prompt(mask_id, tuple(range(20, 23 + 4 * row)), shown) for row, shown in enumerate(revealed)
    ]
    many = run_step_zero(backbone, prompts, view=GRID)
    for row, one in enumerate(prompts):
        alone = run_step_zero(backbone, [one], view=GRID)
        assert torch.equal(many.read("scored_BC")[row], alone.read("scored_BC")[0])
        for field in ("canvas_hidden_BCD", "eos_probability_BC"):
            torch.testing.assert_close(
                many.read(field)[row], alone.read(field)[0], atol=1e-4, rtol=1e-4
            )


def test_every_revealed_token_runs() -> None:
    backbone = ScriptedBackbone(table([5] * 15, [0.9] * 15, 260), takes_positions=True)
    one = prompt(MASK, revealed=(2, 4, 9))
    run_step_zero(backbone, [one], needs=["hidden"], view=CanvasView.of("grid:2"))
    [(ids_BT, mask_BT)] = backbone.passes
    assert ids_BT.tolist() == [[*PREFIX, MASK, WORD, WORD, WORD, MASK]]
    assert mask_BT.tolist() == [[1] * 8]


@pytest.mark.parametrize("view", [PROMPT, GRID, FULL])
def test_positions_and_their_number(view: CanvasView) -> None:
    spec = load_golden("llada-tiny").backbone.spec
    one = prompt(spec.mask_id)
    places = {PROMPT: 3, GRID: 3 + 5, FULL: 15}[view]
    scored = {PROMPT: 0, GRID: 5, FULL: 12}[view]
    assert len(pass_positions(one, view, spec)) == places
    assert len(scored_positions(one, view, spec)) == scored
    block = replace(spec, attention="block")
    assert (pass_positions(one, FULL, block), scored_positions(one, FULL, block)) == ([0, 1, 2], [])


def test_a_prompt_of_no_tokens() -> None:
    """Nothing scores its first canvas position but that position itself."""
    spec = replace(load_golden("llada-tiny").backbone.spec, logits_shifted=True)
    one = prompt(spec.mask_id, (), revealed=())
    assert pass_positions(one, GRID, spec) == [0, 4, 10]
    assert scored_positions(one, GRID, spec) == [0, 1, 5, 11]


def test_the_prompt_alone() -> None:
    backbone = load_golden("llada-trained").backbone
    one = prompt(backbone.spec.mask_id)
    step = run_step_zero(backbone, [one], view=PROMPT)
    torch.testing.assert_close(
        step.read("prompt_hidden_BPD"), backbone.hidden(torch.tensor([one.ids]))
    )
    assert step.canvas_hidden_BCD is None and step.eos_probability_BC is None
    assert step.at_least_B == [4]


def test_grids_are_nested_and_denser_at_the_front() -> None:
    assert grid_positions(256, 16)[:6] == [0, 1, 5, 10, 18, 28]
    assert set(grid_positions(256, 16)) <= set(grid_positions(256, 31))
    for canvas in (2, 3, 12, 31, 64, 129):
        for points in range(2, canvas + 1):
            grid = grid_positions(canvas, points)
            assert (grid[0], grid[-1]) == (0, canvas - 1)
            assert grid == sorted(set(grid)) and len(grid) == points


def test_values_between_points() -> None:
    """From 0 just before the canvas, over 0.3 at index 2 and 0.9 at index 5, and on."""
    value = torch.tensor([[7.0, 7.0, 0.3, 7.0, 7.0, 0.9, 7.0]])
    known = torch.tensor([[False, False, True, False, False, True, False]])
    expected = torch.tensor([[0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.9]])
    torch.testing.assert_close(filled_between(value, known), expected)
    assert not filled_between(value, torch.zeros_like(known)).any()


def test_a_revealed_token_is_no_end() -> None:
    """Index 3 is revealed: the line begins there at 0, and meets 0.8 at index 5."""
    logits_TV = table([5] * 15, [0.0] * 15, 16)
    backbone = ScriptedBackbone(logits_TV, vocab_size=16, takes_positions=True)
    step = run_step_zero(backbone, [prompt(MASK)], view=GRID)
    value_BC = torch.zeros(1, 12)
    value_BC[0, [0, 1, 3, 5, 11]] = torch.tensor([0.1, 0.2, 0.9, 0.8, 0.2])
    line = step.at_every_position(value_BC)[0]
    expected = [0.1, 0.2, 0.1, 0.9, 0.4, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    torch.testing.assert_close(line, torch.tensor(expected))
    whole = run_step_zero(backbone, [prompt(MASK)])
    assert torch.equal(whole.at_every_position(value_BC), value_BC)


@pytest.mark.parametrize("text", ["", "grid", "grid:", "grid:1", "grid:-4", "grid:x", "half", "8"])
def test_no_view(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"step_zero='.*': expected full, prompt, or grid"):
        CanvasView.of(text)


@pytest.mark.parametrize("text", ["full", "prompt", "grid:31"])
def test_a_view_is_written_as_it_is_read(text: str) -> None:
    assert str(CanvasView.of(text)) == text


def test_models_that_leave_out_no_position() -> None:
    spec = replace(load_golden("llada-tiny").backbone.spec, takes_positions=False)
    with pytest.raises(ConfigurationError, match=r"step_zero=grid:4: .* take step_zero=full"):
        check_view(GRID, spec)
    block = load_golden("sdar-tiny").backbone
    one = Prompt("", (5, 6, 7), (block.spec.mask_id,) * 8)
    with pytest.raises(ConfigurationError, match=r"grid:4: 'sdar' attends causally between blocks"):
        run_step_zero(block, [one], view=GRID)
    for view in (PROMPT, FULL):
        alone = run_step_zero(block, [one], view=view)
        torch.testing.assert_close(
            alone.read("prompt_hidden_BPD"), block.hidden(torch.tensor([one.ids]))
        )
