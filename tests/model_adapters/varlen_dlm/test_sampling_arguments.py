"""Sampling options from the command line of lm-eval to the settings of a request."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from eosbench.decoding import DecodeConfig
from eosbench.errors import ConfigurationError
from model_adapters.varlen_dlm.generation_requests import GenerationRequest, read_requests
from model_adapters.varlen_dlm.parsing import parse_arguments
from model_adapters.varlen_dlm.prompts import answered
from model_adapters.varlen_dlm.prompts import asked as prompts
from tests.fakes import EOS
from tests.model_adapters.varlen_dlm.scripted_model import asked, backbone_of, ids, model_of

TYPED = {
    "top_p": ("0.9", 0.9),
    "top_k": ("50", 50),
    "repetition_penalty": ("1.2", 1.2),
    "logits_eos_inf": ("true", True),
    "confidence_eos_eot_inf": ("True", True),
}


def read(given: dict[str, Any], **arguments: Any) -> GenerationRequest:
    """The request for an answer to "q?" of a model of 300 positions."""
    (request,) = read_requests([asked("q?", **given)], ids, parse_arguments(arguments), 300)
    return request


@pytest.mark.parametrize("name", TYPED)
def test_words_become_settings_wherever_they_are_typed(name: str) -> None:
    text, value = TYPED[name]
    for settings in (read({name: text}).settings, read({}, **{name: text}).settings):
        assert getattr(settings, name) == value
    off = getattr(DecodeConfig(), name)
    no_limit = {"top_p": 1.0, "top_k": 0}.get(name, off)
    assert getattr(read({name: no_limit}, **{name: text}).settings, name) == off


@pytest.mark.parametrize(
    ("given", "temperature"),
    [
        ({}, 0.2),
        ({"do_sample": True}, 0.2),
        ({"temperature": 0.7}, 0.7),
        ({"do_sample": False, "temperature": 0.7}, 0.0),
        ({"do_sample": False}, 0.0),
        ({"temperature": 0.0}, 0.0),
    ],
)
def test_a_temperature_of_the_model_holds_where_a_request_says_none(
    given: dict[str, Any], temperature: float, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read(given, temperature="0.2").settings.temperature == temperature
    warned = "1 of 1 requests say do_sample=False" in caplog.text
    assert warned == (temperature == 0)


def test_answers_depend_on_them_and_on_nothing_that_is_off() -> None:
    plain = model_of(backbone_of({"q?": "yes"}))
    off = {"temperature": 0, "top_p": 1, "top_k": 0, "repetition_penalty": 1.0}
    assert model_of(backbone_of({"q?": "yes"}), **off).fingerprint == plain.fingerprint
    given = [{name: value} for name, (value, _) in TYPED.items()]
    given += [{"temperature": 0.5}, {"remasking": "maskgit_plus"}]
    given += [{"remasking": "origin", "schedule": "time"}]
    models = [model_of(backbone_of({"q?": "yes"}), **one) for one in given]
    assert len({one.fingerprint for one in (plain, *models)}) == len(given) + 1
    told = models[0].get_model_info()["eosbench"]["decoding"]
    assert told["top_p"] == 0.9 and "top_k" not in told


def test_what_is_random_has_a_draw_of_its_own() -> None:
    spec = backbone_of({}).spec
    assert read({}, temperature=0.5).draw(spec) is not None
    assert read({}, remasking="origin", schedule="time").draw(spec) is not None
    assert read({}, temperature=0.5, top_k=1).draw(spec) is None
    assert read({"top_p": 0.9}).draw(spec) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top_p": "2"}, r"document 0: top_p=2.0: expected 0 to 1"),
        ({"top_k": "many"}, r"document 0: top_k='many': expected a whole number"),
        ({"top_k": 2.5}, r"document 0: top_k=2.5: expected a whole number"),
        ({"repetition_penalty": -1}, r"document 0: repetition_penalty=-1.0: expected above 0"),
        ({"alg": "origin"}, r"document 0: .* remasking=entropy,schedule=time,block_length=0"),
        ({"logits_eos_inf": "perhaps"}, r"logits_eos_inf='perhaps': expected True or False"),
    ],
)
def test_words_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(given)


@pytest.mark.parametrize("method", ["fixed", "blocks", "daedal", "rho_eos"])
def test_no_method_places_an_eos_that_may_not_be_chosen(method: str) -> None:
    """The model says "yes" and then the EOS with a probability that decoding takes at once."""
    settings = {} if method in ("fixed", "blocks") else {"initial_gen_length": 8}
    model = model_of(backbone_of({"q?": "yes"}), method=method, **settings)
    free, never = (
        list(answered(model, prompts(model, "q?", {"max_gen_toks": 12, **given}))[0].tokens)
        for given in ({}, {"logits_eos_inf": True})
    )
    assert free == ids("yes") and EOS not in never
    # rho-EOS still shrinks its canvas, to "yes" and one position of the end that the model says.
    assert never[:3] == ids("yes") and len(never) == (4 if method == "rho_eos" else 12)


def test_hf_knows_the_same_words() -> None:
    """A sampled answer under hf's three words is one of the tokens that they leave."""
    model = model_of(backbone_of({"q?": "yes"}))
    request = asked("q?", until=[], do_sample=True, temperature=3.0, top_k=1, top_p=0.9)
    assert model.generate_until([request]) == ["yes"]
