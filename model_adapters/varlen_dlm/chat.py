"""The turns of a chat as one prompt, by the template that a checkpoint's tokenizer brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from eosbench.errors import ConfigurationError


def render_turns(
    tokenizer: Any,
    checkpoint: str,
    turns: Sequence[dict[str, str]],
    add_generation_prompt: bool,
    template_arguments: Mapping[str, Any] | None = None,
) -> str:
    """The turns of a chat as one prompt.

    Args:
        tokenizer: of the checkpoint.
        checkpoint: its name, for messages.
        turns: each with a "role" and a "content".
        add_generation_prompt: whether the assistant's turn is opened. If not, the last turn is left
            open, to be continued.
        template_arguments: more that the template is given.

    Raises:
        ConfigurationError: the checkpoint has no chat template, or one that refuses the turns (a
            system role, for example).
    """
    if not tokenizer.chat_template:
        raise ConfigurationError(
            f"checkpoint {checkpoint} has no chat template: leave out --apply_chat_template"
        )
    try:
        text = tokenizer.apply_chat_template(
            list(turns),
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            **(template_arguments or {}),
        )
    except TemplateError as error:
        roles = [turn["role"] for turn in turns]
        system = "--system_instruction and a task's description, or " if "system" in roles else ""
        raise ConfigurationError(
            f"the chat template of {checkpoint} refuses the turns {', '.join(roles)} ({error}): "
            f"leave out {system}--apply_chat_template"
        ) from error
    return str(text)
