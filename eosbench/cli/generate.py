"""`eosbench generate`: one prompt, its bound, its answer, and what both cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eosbench.cli.listing import complete_methods
from eosbench.cli.live_canvas import LiveCanvas, encoding_of, visible
from eosbench.cli.shared import ChatTemplate, Device, console, key_values, names
from eosbench.errors import ConfigurationError

if TYPE_CHECKING:
    from eosbench.api import Generated, PredictedLength

SAMPLING = "Sampling"


def generate(
    prompt: Annotated[str, typer.Argument(help="The text of the prompt; - reads it from stdin.")],
    pretrained: Annotated[
        str, typer.Option(help="Folder or hub id of the diffusion language model, or embedded.")
    ] = "embedded",
    method: Annotated[
        str | None,
        typer.Option(
            help="How the length is found (eosbench methods). By default the embedded model's own, "
            "and fixed for any other.",
            autocompletion=complete_methods,
        ),
    ] = None,
    predictor: Annotated[
        str | None, typer.Option(help="Folder or hub id of a predictor (eosbench fit).")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max_new_tokens", min=1, help="The canvas: the most tokens of the answer."),
    ] = None,
    show_steps: Annotated[
        bool, typer.Option("--show_steps", help="Show the canvas as it fills, pass after pass.")
    ] = False,
    until: Annotated[
        list[str] | None, typer.Option(help="A string that ends the answer. May be repeated.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="An answer, whose length the method oracle is told.")
    ] = None,
    apply_chat_template: ChatTemplate = False,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="Of the model's weights: float32, bfloat16, float16 or auto."),
    ] = None,
    model_args: Annotated[
        str,
        typer.Option("--model_args", help="More arguments of varlen_dlm: overflow=retry,alpha=0.1"),
    ] = "",
    gen_kwargs: Annotated[
        str,
        typer.Option("--gen_kwargs", help="More generation arguments: steps=64,block_length=32"),
    ] = "",
    seed: Annotated[
        int | None, typer.Option(help="Of what is drawn.", rich_help_panel=SAMPLING)
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="0 takes the likeliest tokens, above it they are drawn.", rich_help_panel=SAMPLING
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            "--top_p",
            help="Draw from the likeliest, up to this share of the probability.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top_k", help="Draw from so many of the likeliest.", rich_help_panel=SAMPLING
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(
            "--repetition_penalty",
            help="Above 1, tokens that stand already are less likely.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    remasking: Annotated[
        str | None,
        typer.Option(
            help="Which tokens of a pass stay: low_confidence, random, maskgit_plus, entropy, "
            "topk_margin, origin.",
            rich_help_panel=SAMPLING,
        ),
    ] = None,
    logits_eos_inf: Annotated[
        bool,
        typer.Option("--logits_eos_inf", help="Never choose the EOS.", rich_help_panel=SAMPLING),
    ] = False,
    confidence_eos_eot_inf: Annotated[
        bool,
        typer.Option(
            "--confidence_eos_eot_inf",
            help="Keep ends of a text masked to the last.",
            rich_help_panel=SAMPLING,
        ),
    ] = False,
) -> None:
    """Answer one prompt: the predicted bound and its promise, the text, and what it cost."""
    text = _text(prompt)
    flags = _given({"method": method, "predictor": predictor, "device": device, "dtype": dtype})
    drawn = {
        "seed": seed,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "repetition_penalty": repetition_penalty,
        "remasking": remasking,
        "logits_eos_inf": logits_eos_inf or None,
        "confidence_eos_eot_inf": confidence_eos_eot_inf or None,
    }
    arguments = _joined("model_args", model_args, flags)
    settings = _joined("gen_kwargs", gen_kwargs, _given(drawn))
    import eosbench

    model = eosbench.load(pretrained, **arguments)
    with LiveCanvas(console, model.backbone.tokenizer) as canvas:
        [answer] = model.generate(
            [[{"role": "user", "content": text}]] if apply_chat_template else [text],
            max_new_tokens=max_new_tokens,
            until=until or (),
            references=None if reference is None else [reference],
            watch=canvas.show if show_steps else None,
            **settings,
        )
    _print(answer)


# What has an option of its own, and would be said twice.
OWN_OPTIONS = {
    "model_args": ("pretrained",),
    "gen_kwargs": ("max_new_tokens", "until", "references", "watch"),
}


def _joined(option: str, text: str, flags: dict[str, Any]) -> dict[str, Any]:
    """The pairs name=value of an option, and the flags beside it.

    Raises:
        ConfigurationError: a pair that has an option of its own, or that a flag says, too.
    """
    pairs = key_values(names(text))
    for name in OWN_OPTIONS[option]:
        if name in pairs:
            raise ConfigurationError(
                f"--{option} {name}={pairs[name]}: eosbench generate --help lists the option for it"
            )
    for name in flags:
        if name in pairs:
            raise ConfigurationError(
                f"--{name} {flags[name]} beside --{option} {name}={pairs[name]}: leave one out"
            )
    return pairs | flags


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _text(prompt: str) -> str:
    """The prompt, or that of stdin without the line feed that ends it.

    Raises:
        ConfigurationError: it is empty, or no text in UTF-8.
    """
    try:
        if prompt == "-":
            text = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        else:
            text = prompt.encode().decode()  # bytes that are no text are surrogates, and fail
    except UnicodeError as error:
        raise ConfigurationError(f"the prompt is no text in UTF-8: {error}") from error
    if not text.strip():
        raise ConfigurationError("the prompt is empty: type one, or - and its text on stdin")
    return text


def _print(answer: Generated) -> None:
    """Three parts: the bound, the text and the cost."""
    cost = answer.cost
    console.out("bound  " + bound_in_words(answer.length), style="dim", highlight=False)
    console.out(visible(answer.text, encoding_of(console)), highlight=False)
    ending = "; cut at the end of its window" if cost.truncated else ""
    console.out(
        f"cost   a window of {_count(answer.window, 'token')}, "
        f"{_count(cost.forward_passes, 'forward pass', 'es')}, "
        f"{_count(cost.token_positions, 'token-position')}, {cost.seconds:.2f} s{ending}",
        style="dim",
        highlight=False,
    )


def _count(number: int, noun: str, ending: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else ending}"


def bound_in_words(length: PredictedLength | None) -> str:
    """The bound of an answer, the estimate behind it, and its promise."""
    if length is None:
        return "none: the method decides the length while it decodes"
    tokens = f"{_count(length.bound, 'token')}, from an estimate of {length.prediction:.1f}"
    if length.clamped:
        tokens += ", which the canvas is too short for"
    if length.promise is None:
        return f"{tokens}; it promises nothing"
    return f"{tokens}; {promise_in_words(length.promise.settings())}"


def promise_in_words(settings: dict[str, Any]) -> str:
    """A promise as a reader takes it.

    Args:
        settings: the model arguments that ask for it.

    Example:
        >>> promise_in_words({"alpha": 0.05})
        'at most 5 % of answers are longer'
        >>> promise_in_words({"shortfall": 2.0, "groups": "prompt"})
        'answers are cut by at most 2 tokens on average, among prompts of like length too'
    """
    words = "it costs the fewest token-positions that are expected"
    if "alpha" in settings:
        words = f"at most {100 * settings['alpha']:g} % of answers are longer"
    if "shortfall" in settings:
        words = f"answers are cut by at most {settings['shortfall']:g} tokens on average"
    of_like = {
        "prompt": "prompts of like length",
        "prediction": "answers of like predicted length",
    }
    group = of_like.get(settings.get("groups", ""))
    return words if group is None else f"{words}, among {group} too"
