"""Words of `--gen_kwargs`, of a YAML file and of `--model_args`: text, numbers, other names."""

from __future__ import annotations

from typing import Any

import pytest

from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.generation_requests import GenerationRequest, read_requests
from model_adapters.varlen_dlm.parsing import parse_arguments
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, ids, model_of


def read(given: dict[str, Any], **arguments: Any) -> GenerationRequest:
    """The request for an answer to "q?", which is two tokens, of a model of 300 positions."""
    (request,) = read_requests([asked("q?", **given)], ids, parse_arguments(arguments), 300)
    return request


@pytest.mark.parametrize(
    ("given", "canvas"),
    [
        ({}, 256),
        ({"max_gen_toks": "16"}, 16),
        ({"max_gen_toks": 16.0}, 16),
        ({"gen_length": 16}, 16),
        ({"max_new_tokens": "16"}, 16),
        ({"max_tokens": 16, "max_completion_tokens": 32}, 16),
        ({"max_gen_toks": 64, "max_new_tokens": 16}, 64),  # in lm-eval's order
        ({"max_gen_toks": 64, "gen_length": 16}, 16),  # which no task says
        ({"max_length": 18}, 16),  # prompt and answer, as for transformers
        ({"max_length": "18", "max_gen_toks": 64}, 16),
        ({"max_gen_toks": None, "max_new_tokens": 16}, 16),
    ],
)
def test_the_canvas_has_the_length_that_was_asked_for(given: dict[str, Any], canvas: int) -> None:
    assert read(given).canvas == canvas
    assert read(given).settings.gen_length == canvas


@pytest.mark.parametrize(
    "given",
    [{"max_gen_toks": "16"}, {"gen_length": 16}, {"max_new_tokens": 16}, {"max_tokens": "16"}],
)
def test_the_names_hold_in_model_args_too(given: dict[str, Any]) -> None:
    assert read({}, **given).canvas == 16


@pytest.mark.parametrize(
    ("given", "temperature"),
    [
        ({}, 0.0),
        ({"do_sample": "true"}, 1.0),
        ({"do_sample": "True", "temperature": "0.5"}, 0.5),
        ({"do_sample": "false", "temperature": 0.5}, 0.0),
        ({"do_sample": 0, "temperature": 0.5}, 0.0),
        ({"temperature": "0.5"}, 0.5),
        ({"do_sample": None, "temperature": None}, 0.0),
    ],
)
def test_sampling(given: dict[str, Any], temperature: float) -> None:
    assert read(given).settings.temperature == temperature


def test_other_names_of_decoding() -> None:
    settings = read({"diffusion_steps": "64", "cfg": "0.5"}).settings
    assert (settings.steps, settings.cfg_scale) == (64, 0.5)
    settings = read({}, diffusion_steps=64, cfg=0.5).settings
    assert (settings.steps, settings.cfg_scale) == (64, 0.5)


def test_text_and_number_draw_the_same() -> None:
    as_text = read({"temperature": "0.8", "max_gen_toks": "16", "seed": "3"})
    as_numbers = read({"temperature": 0.8, "max_gen_toks": 16, "seed": 3})
    assert as_text.seed == as_numbers.seed != read({"temperature": 0.8, "max_gen_toks": 16}).seed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gen_length": "x"}, r"task task, document 0: gen_length='x': expected a whole number"),
        ({"max_new_tokens": 300}, r"max_new_tokens=300: expected .* from 1 to 299"),
        ({"max_length": 2}, r"max_length=2: leaves no room behind a prompt of 2 tokens"),
        ({"max_length": 400}, r"max_length=400: expected .* the model's 300 positions"),
        ({"seed": "x"}, r"document 0: seed='x': expected a whole number"),
        ({"do_sample": "perhaps"}, r"do_sample='perhaps': expected true or false"),
        ({"temperature": "nan"}, r"temperature=nan: expected 0 or more"),
    ],
)
def test_words_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(given)


def test_several_lengths_are_named(caplog: pytest.LogCaptureFixture) -> None:
    read({"max_gen_toks": 64, "max_new_tokens": 16})
    assert "{'max_gen_toks': 64, 'max_new_tokens': 16}" in caplog.text
    caplog.clear()
    read({"max_gen_toks": 64, "max_new_tokens": "64"})
    assert not caplog.text


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"batch_size": "auto", "max_batch_size": 2}, 2),
        ({"batch_size": "auto:4", "max_batch_size": "2"}, 2),
        ({"batch_size": 3, "max_batch_size": 8}, 3),
        ({"batch_size": 8, "max_batch_size": 2}, 2),
        ({"max_batch_size": 2}, 2),
        ({"batch_size": "auto"}, 9),
    ],
)
def test_no_pass_has_more_rows_than_the_largest_batch(given: dict[str, Any], rows: int) -> None:
    questions = [f"q{number}?" for number in range(9)]
    backbone = backbone_of(dict.fromkeys(questions, "yes"))
    model = model_of(backbone, **given)
    requests = [asked(question, number) for number, question in enumerate(questions)]
    assert model.generate_until(requests, disable_tqdm=True) == ["yes"] * 9
    assert max(len(ids_BT) for ids_BT, _ in backbone.passes) == rows
