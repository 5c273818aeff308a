"""The turns of a chat as one prompt, by the template that a checkpoint's tokenizer brings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from eosbench.documents import begins_as_template, places_of_names, places_of_template
from eosbench.errors import ConfigurationError

logger = logging.getLogger(__name__)

Turns = Sequence[dict[str, str]]


class Chat:
    """The chat template of a model, with lm-eval's conventions.

    Args:
        tokenizer: of the checkpoint.
        checkpoint: its name, for messages.
        template_arguments: more that the template is given.

    Attributes:
        template: the name of the template among several; None takes the default one.
    """

    def __init__(
        self, tokenizer: Any, checkpoint: str, template_arguments: Mapping[str, Any] | None = None
    ) -> None:
        self.tokenizer, self.checkpoint = tokenizer, checkpoint
        self.template_arguments = template_arguments or {}
        self.template: str | None = None
        self._places: dict[int, frozenset[int]] = {}
        self._warned = False

    def render(self, turns: Turns, add_generation_prompt: bool = True) -> str:
        """The turns of a chat as one prompt.

        A template that refuses a system turn is given the others, with one warning, as `hf` does
        it.

        Args:
            turns: each with a "role" and a "content".
            add_generation_prompt: whether the assistant's turn is opened. If not, the last turn is
                left open, to be continued.

        Raises:
            ConfigurationError: the checkpoint has no chat template, or one that refuses the turns.
        """
        if not self.tokenizer.chat_template:
            raise ConfigurationError(
                f"checkpoint {self.checkpoint} has no chat template: "
                "leave out --apply_chat_template"
            )
        try:
            return self._remembered(turns, add_generation_prompt)
        except TemplateError as error:
            others = [turn for turn in turns if turn["role"] != "system"]
            if not others or len(others) == len(turns):
                raise self._refusal(turns, error) from error
            self._warn_without_system(error)
        try:
            return self._remembered(others, add_generation_prompt)
        except TemplateError as error:
            raise self._refusal(turns, error) from error

    def places_of_tokens(self, text: str) -> frozenset[int]:
        """The places in a prompt at which the name of a special token is the token.

        They are known of what `render` made: the template wrote these names, and no turn said them.
        A prompt that was made elsewhere (lm-eval keeps requests on disk) is taken for one of a
        template where it begins with the BOS token, or with a token that the template names.
        """
        known = self._places.get(hash(text))
        if known is not None:
            return known
        if begins_as_template(self.tokenizer, text):
            return places_of_names(self.tokenizer, text)
        return frozenset()

    def _remembered(self, turns: Turns, add_generation_prompt: bool) -> str:
        def render(some: Turns) -> str:
            return self._render(some, add_generation_prompt)

        text = render(turns)
        self._places[hash(text)] = places_of_template(self.tokenizer, turns, text, render)
        return text

    def _render(self, turns: Turns, add_generation_prompt: bool) -> str:
        named = {} if self.template is None else {"chat_template": self.template}
        try:
            text = self.tokenizer.apply_chat_template(
                list(turns),
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
                **named,
                **self.template_arguments,
            )
        except ValueError as error:  # the template leaves out the turn that is to be continued
            raise self._refusal(turns, error) from error
        return str(text)

    def _refusal(self, turns: Turns, error: Exception) -> ConfigurationError:
        roles = [turn["role"] for turn in turns]
        return ConfigurationError(
            f"the chat template of {self.checkpoint} refuses the turns {', '.join(roles)} "
            f"({error}): leave out --apply_chat_template"
        )

    def _warn_without_system(self, error: TemplateError) -> None:
        if not self._warned:
            logger.warning(
                "the chat template of %s refuses a system turn (%s): --system_instruction and the "
                "descriptions of tasks are left out",
                self.checkpoint,
                error,
            )
            self._warned = True
