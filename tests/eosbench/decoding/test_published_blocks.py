"""Block decoding against what published code decoded: every token, and every pass by its kind.

Legend: P tokens of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from eosbench.decoding.config import DecodeConfig
from eosbench.decoding.denoise import DenoiseResult, denoise
from eosbench.decoding.window import Job
from eosbench.errors import ConfigurationError
from eosbench.strategies.blocks import Blocks
from model_adapters import load_backbone
from tests.eosbench.strategies.scripts import generated
from tests.golden_files import GOLDEN, Golden, load_golden

Row = dict[str, Any]


def rows(name: str, key: str = "generate") -> list[Any]:
    """The golden cases of a folder, each with its name."""
    golden = load_golden(name)
    return [pytest.param(golden, row, id=f"{name}-{row['case']}") for row in golden.settings[key]]


@contextmanager
def ending_at(backbone: Any, ends: list[int]) -> Iterator[None]:
    """Within it these ids end a text; an id that no text has where there is none."""
    spec = backbone.spec
    backbone.spec = replace(spec, eos_ids=frozenset(ends or [spec.mask_id - 1]))
    try:
        yield
    finally:
        backbone.spec = spec


def texts(golden: Golden, row: Row, key: str = "generate") -> tuple[torch.Tensor, list[int]]:
    """A case's prompt, and what was published behind it (or, for LLaDA2, the answer alone)."""
    prompt = golden.tensors[f"{key}.{row['case']}.prompt"][0]
    output = golden.tensors[f"{key}.{row['case']}.output"][0]
    is_answer = golden.settings["family"] == "llada2"
    return prompt, (output if is_answer else output[len(prompt) :]).tolist()


def kinds(result: DenoiseResult) -> tuple[int, int, int]:
    """(prefill, denoising, store) passes of the only row."""
    found = result.row_passes_by_kind[0]
    assert sum(found.values()) == result.row_forward_passes[0]
    return found["prefill"], found["denoise"], found["store"]


@pytest.mark.parametrize(("golden", "row"), [*rows("illada-tiny"), *rows("llada-moe-tiny")])
def test_whole_canvases(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row)
    config = DecodeConfig(**{name: row[name] for name in ("gen_length", "steps", "block_length")})
    result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist() == want
    assert result.row_forward_passes == [row["forward_passes"]]


@pytest.mark.parametrize(("golden", "row"), rows("illada-tiny", "var_generate"))
def test_one_block_of_masks_after_the_other(golden: Golden, row: Row) -> None:
    """iLLaDA's var_generate: full attention, and nothing behind the open block."""
    prompt, want = texts(golden, row, "var_generate")
    names = ("gen_length", "steps_per_block", "block_length")
    config = DecodeConfig(**{name: row[name] for name in names})
    job = Job(tuple(prompt.tolist()), config, row["gen_length"])
    with ending_at(golden.backbone, row["stop_token_ids"]):
        answer = generated(Blocks(), golden.backbone, [job], batch_size=1)[0]
    assert answer.canvas == want
    assert answer.cost.forward_passes == row["forward_passes"]
    assert len(answer.canvas) == row["blocks"] * row["block_length"]
    assert answer.ended == (row["first_eos"] is not None)


@pytest.mark.parametrize(("golden", "row"), rows("sdar-tiny"))
def test_sdar(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row)
    config = DecodeConfig(
        gen_length=row["gen_length"],
        block_length=row["block_length"],
        steps_per_block=row["denoising_steps"],
        threshold=row["threshold"],
        stop_after_block=bool(row["stop_token_ids"]),
    )
    with ending_at(golden.backbone, row["stop_token_ids"]):
        result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist() == want[: row["gen_length"]]
    published = tuple(row[f"{kind}_passes"] for kind in ("prefill", "denoising", "store"))
    assert kinds(result) == published
    assert result.forward_passes == row["forward_passes"]


@pytest.mark.parametrize(("golden", "row"), rows("llada2-tiny"))
def test_llada2(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row)
    config = DecodeConfig(
        gen_length=row["gen_length"],
        block_length=row["block_length"],
        steps_per_block=row["steps"],
        threshold=row["threshold"],
        stop_after_block=True,
        stop_at_eos=row["eos_early_stop"],
    )
    result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist()[: len(want)] == want
    assert kinds(result) == (0, row["forward_passes"], 0)


@pytest.mark.parametrize(("golden", "row"), rows("llada2-tiny", "generate21"))
def test_llada21_with_editing(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row, "generate21")
    names = ("gen_length", "block_length", "threshold", "editing_threshold", "max_post_steps")
    settings = {name: row[name] for name in names}
    config = DecodeConfig(**settings, stop_after_block=row["eos_early_stop"])
    result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist()[: len(want)] == want
    assert kinds(result) == (0, row["forward_passes"], 0)


@pytest.mark.parametrize(("golden", "row"), rows("stable-diffcoder-tiny"))
def test_stable_diffcoder(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row)
    names = ("gen_length", "block_length", "steps", "threshold")
    stops = row["eos_id"] is not None
    config = DecodeConfig(**{name: row[name] for name in names}, stop_after_block=stops)
    with ending_at(golden.backbone, [row["eos_id"]] if stops else []):
        result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist()[: len(want)] == want
    prefill, denoising, store = kinds(result)
    assert denoising + store == row["nfe_without_prefill"]
    assert prefill == int(len(prompt) >= row["block_length"])


@pytest.mark.parametrize(("golden", "row"), rows("fast-dllm-v2-tiny"))
def test_fast_dllm_v2_as_its_checkpoint_generates(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row)
    whole = row["max_new_tokens"] - len(prompt) % row["block_size"] + 1
    config = DecodeConfig(
        gen_length=whole,
        block_length=min(row["block_size"], whole),
        sub_block_length=row["small_block_size"],
        threshold=row["threshold"],
        stop_at_eos=True,
    )
    with ending_at(golden.backbone, [row["stop_token"]]):
        result = denoise(golden.backbone, [prompt], config)
    assert result.sequences[0].tolist()[: len(want)] == want
    assert len(want) == whole or row["stopped"]
    prefill, denoising, store = kinds(result)
    assert (denoising, prefill + store) == (row["denoising_passes"], row["store_passes"])


@pytest.mark.parametrize(("golden", "row"), rows("fast-dllm-v2-tiny", "batch_sample"))
def test_fast_dllm_v2_as_it_is_evaluated(golden: Golden, row: Row) -> None:
    prompt, want = texts(golden, row, "batch_sample")
    config = DecodeConfig(
        gen_length=len(want),
        sub_block_length=row["small_block_size"],
        threshold=row["threshold"],
        cache="dual" if row["use_block_cache"] else None,
        stop_after_block=True,
    )
    with ending_at(golden.backbone, [row["stop_token"]]):
        result = denoise(golden.backbone, [prompt], config)
    # Behind the first end the published loop puts padding.
    text = want if row["first_stop"] is None else want[: row["first_stop"] + 1]
    assert result.sequences[0].tolist()[: len(text)] == text
    prefill, denoising, store = kinds(result)
    assert (denoising, prefill + store) == (row["denoising_passes"], row["store_passes"])


@pytest.mark.parametrize(
    "row", load_golden("diffusion-gemma-tiny").settings["generate"], ids=lambda row: row["case"]
)
def test_diffusion_gemma(row: Row, tmp_path: Any) -> None:
    """A canvas of the model's own rules; what they are comes from its generation config."""
    import json
    import shutil

    golden = load_golden("diffusion-gemma-tiny")
    shutil.copytree(GOLDEN / "diffusion-gemma-tiny", tmp_path / "copy")
    path = tmp_path / "copy" / "generation_config.json"
    says = json.loads(path.read_text())
    says |= {name: row[name] for name in ("t_min", "t_max", "stability_threshold")}
    says |= {"confidence_threshold": row["confidence_threshold"]}
    says["sampler_config"]["entropy_bound"] = row["entropy_bound"]
    path.write_text(json.dumps(says))
    backbone = load_backbone(tmp_path / "copy")
    prompt, want = texts(golden, row)
    asked = row["max_new_tokens"]
    config = DecodeConfig(
        gen_length=asked,
        block_length=row["canvas_length"],
        steps_per_block=row["max_denoising_steps"],
    )
    result = denoise(backbone, [prompt], config, seeds=[row["seed"]])
    padded = [*want, *[0] * asked][:asked]
    assert result.sequences[0].tolist() == padded
    assert result.row_forward_passes == [row["forward_passes"]]


# What holds for all of them.

BLOCK_MODELS = ("sdar-tiny", "llada2-tiny", "stable-diffcoder-tiny", "fast-dllm-v2-tiny")
SETTINGS: list[dict[str, Any]] = [
    {},
    {"threshold": 0.5, "stop_after_block": True},
    {"threshold": 0.6, "stop_at_eos": True},
]


def prompts(backbone: Any, lengths: tuple[int, ...]) -> list[list[int]]:
    """Prompts of these lengths without a mask or an end in them."""
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(6, 280, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_a_batch_of_any_lengths_gives_every_sequence_its_own_tokens(
    name: str, settings: dict[str, Any]
) -> None:
    backbone = load_backbone(GOLDEN / name, block_length=8)
    asked = prompts(backbone, (3, 8, 17, 30, 41))
    config = DecodeConfig(gen_length=29, **settings)
    alone = denoise(backbone, asked, config, batch_size=1)
    for batch_size in (None, 2, 5):
        together = denoise(backbone, asked, config, batch_size=batch_size)
        assert [one.tolist() for one in together.sequences] == [
            one.tolist() for one in alone.sequences
        ]
        assert together.row_forward_passes == alone.row_forward_passes
        assert together.row_token_positions == alone.row_token_positions
    assert denoise(backbone, asked, config).forward_passes < alone.forward_passes


@pytest.mark.parametrize("settings", [*SETTINGS, {"temperature": 0.7}], ids=str)
@pytest.mark.parametrize("name", [*BLOCK_MODELS, "llada2-tiny-edited"])
def test_kept_keys_give_the_tokens_of_the_loop_without_a_cache(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rules over passes that run everything up to the block's end, every time."""
    from eosbench.decoding import block_runner

    if name.endswith("-edited"):
        settings = {**settings, "editing_threshold": 0.4}
    backbone = load_backbone(GOLDEN / name.removesuffix("-edited"), block_length=8)
    asked, config = prompts(backbone, (5, 16, 30)), DecodeConfig(gen_length=24, **settings)
    kept = denoise(backbone, asked, config)
    of: Callable[..., Any] = block_runner._Row.of

    def everything(sequence: Any, step: Any) -> Any:
        row = of(sequence, step)
        return block_runner._Row(sequence, 0, row.stop, 0, False, row.positions_N)

    monkeypatch.setattr(block_runner._Row, "of", staticmethod(everything))
    again = denoise(backbone, asked, config)
    assert [one.tolist() for one in kept.sequences] == [one.tolist() for one in again.sequences]
    assert kept.row_forward_passes == again.row_forward_passes
    assert kept.token_positions < again.token_positions / 2


@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_no_pass_runs_over_the_prefix_twice(name: str) -> None:
    """Each column runs in the passes over its own block, and in one more that stores it."""
    backbone: Any = load_backbone(GOLDEN / name, block_length=8)
    ran: list[tuple[int, int]] = []
    hidden = backbone.hidden

    def watched(ids_BT: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
        first = int(more["position_ids"][0, 0])
        ran.append((first, first + ids_BT.shape[1]))
        return hidden(ids_BT, *given, **more)  # type: ignore[no-any-return]

    backbone.hidden = watched
    denoise(backbone, prompts(backbone, (37,)), DecodeConfig(gen_length=27))
    # The four whole blocks of the prompt run once, in one pass.
    assert sum(first < 32 for first, _ in ran) == 1
    for start in range(32, 64, 8):
        over = [(first, stop) for first, stop in ran if first <= start < stop]
        assert {first for first, _ in over} <= {start, start - 8, 0}
        assert len(over) <= 8 + 1


def test_sequences_that_had_to_wait_for_memory_go_on_where_they_were() -> None:
    backbone: Any = load_backbone(GOLDEN / "sdar-tiny", block_length=8)
    asked, config = prompts(backbone, (20, 21, 22, 23)), DecodeConfig(gen_length=24)
    want = [one.tolist() for one in denoise(backbone, asked, config).sequences]
    hidden, passes = backbone.hidden, []

    def small_memory(ids_BT: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
        passes.append(len(ids_BT))
        if len(passes) > 6 and len(ids_BT) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return hidden(ids_BT, *given, **more)  # type: ignore[no-any-return]

    backbone.hidden = small_memory
    got = denoise(backbone, asked, config)
    assert [one.tolist() for one in got.sequences] == want
    assert 4 in passes and set(passes[8:]) <= {1, 2}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("sdar-tiny", {"cfg_scale": 1.0}, "guidance is not published for block models"),
        ("sdar-tiny", {"cache": "prefix"}, "committed blocks are kept exactly anyway"),
        ("sdar-tiny", {"schedule": "time"}, "blocks have an even schedule"),
        ("sdar-tiny", {"editing_threshold": 0.5}, "only llada2 has that"),
        ("llada2-tiny", {"sub_block_length": 4}, "only fast_dllm_v2 has that"),
        ("fast-dllm-v2-tiny", {"steps_per_block": 4}, "it has no schedule, in steps or"),
        ("fast-dllm-v2-tiny", {"sub_block_length": 5}, "expected a divisor of the block length"),
        ("llada-tiny", {"stop_after_block": True}, "take stop_at_eos=True"),
        ("llada-tiny", {"editing_threshold": 0.5}, "only llada2 has that"),
        ("llada-tiny", {"block_length": 33}, "expected 1 to gen_length=32"),
        ("diffusion-gemma-tiny", {"threshold": 0.5}, "by rules of its own"),
        ("diffusion-gemma-tiny", {"editing_threshold": 0.5}, "by rules of its own"),
        ("diffusion-gemma-tiny", {"sub_block_length": 4}, "by rules of its own"),
        ("llada2-tiny", {"max_post_steps": 4}, "without editing_threshold= none does"),
    ],
)
def test_settings_that_a_model_has_no_place_for(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        denoise(load_golden(name).backbone, [[20, 21]], DecodeConfig(gen_length=32, **settings))


def test_a_block_takes_as_many_passes_as_its_steps() -> None:
    """By hand: 4 tokens of a prompt before blocks of 8, and two steps a block: 4 + 4, 4 + 4, ..."""
    backbone = load_backbone(GOLDEN / "sdar-tiny", block_length=8)
    (prompt,) = prompts(backbone, (4,))
    result = denoise(backbone, [prompt], DecodeConfig(gen_length=12, steps_per_block=2))
    assert dict(result.row_passes_by_kind[0]) == {"denoise": 1 + 2, "store": 2}
    assert result.row_token_positions == [8 * 2 + 8 * 3]
    by_steps = denoise(backbone, [prompt], DecodeConfig(gen_length=16, steps=4))
    assert by_steps.row_passes_by_kind[0]["denoise"] == 1 + 2 + 2


@pytest.mark.parametrize("name", BLOCK_MODELS)
def test_a_block_may_be_longer_than_the_canvas(name: str) -> None:
    """The block length that is typed decodes as the one that a model is loaded with."""
    asked = prompts(load_golden(name).backbone, (5, 20))
    as_loaded = denoise(
        load_backbone(GOLDEN / name, block_length=16), asked, DecodeConfig(gen_length=9)
    )
    as_typed = denoise(load_golden(name).backbone, asked, DecodeConfig(9, block_length=16))
    assert [one.tolist() for one in as_typed.sequences] == [
        one.tolist() for one in as_loaded.sequences
    ]
    assert as_typed.row_forward_passes == as_loaded.row_forward_passes


def test_a_last_canvas_of_noise_may_reach_beyond_the_models_positions() -> None:
    backbone = load_backbone(GOLDEN / "diffusion-gemma-tiny", max_length=60)
    config = DecodeConfig(gen_length=20, block_length=16)
    (prompt,) = prompts(load_golden("llada2-tiny").backbone, (40,))
    assert len(denoise(backbone, [prompt], config).sequences[0]) == 20
    with pytest.raises(ConfigurationError, match="leaves no room for gen_length=20"):
        denoise(backbone, [[*prompt, 7]], config)


def test_steps_per_block_of_a_whole_canvas() -> None:
    backbone = load_golden("llada-tiny").backbone
    one, other = (
        denoise(backbone, [[20, 21]], DecodeConfig(gen_length=32, block_length=8, **steps))
        for steps in ({"steps_per_block": 2}, {"steps": 8})
    )
    assert one.sequences[0].equal(other.sequences[0]) and one.row_forward_passes == [8]
    with pytest.raises(ConfigurationError, match="give one of them"):
        DecodeConfig(steps=8, steps_per_block=2)
