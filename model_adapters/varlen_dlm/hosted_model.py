"""A model as lm-evaluation-harness hosts any: its device, its processes, its tokens, its chats.

What it answers to requests is in model.py.
"""

from __future__ import annotations

from typing import Any

import torch
from lm_eval.api.model import TemplateLM

from eosbench.backbone import Backbone
from eosbench.digest import digest_of_json
from eosbench.documents import encode_text
from model_adapters.varlen_dlm.chat import Chat
from model_adapters.varlen_dlm.model_arguments import ModelArguments
from model_adapters.varlen_dlm.processes import Processes


class HostedModel(TemplateLM):  # type: ignore[misc]  # lm_eval has no types
    """A backbone with the members that lm-eval asks of every model.

    Args:
        arguments: of the model.
        backbone: the model.
        processes: this process among those that share the requests.
    """

    def __init__(self, arguments: ModelArguments, backbone: Backbone, processes: Processes) -> None:
        super().__init__()
        self.arguments, self.backbone, self.processes = arguments, backbone, processes
        self.pretrained, self.tokenizer = arguments.pretrained, backbone.tokenizer
        self.chat = Chat(self.tokenizer, self.pretrained, arguments.template_arguments)

    @property
    def device(self) -> torch.device:
        """The device that the model's inputs go to."""
        return self.backbone.device

    @property
    def rank(self) -> int:
        """The number of this process."""
        return self.processes.rank

    @property
    def world_size(self) -> int:
        """The number of processes."""
        return self.processes.world_size

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes, concatenated."""
        return self.processes.all_gather(tensor)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """The objects of all processes on process `dst`, None elsewhere."""
        return self.processes.gather_object(obj, dst)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        end = self.tokenizer.eos_token_id
        return min(self.backbone.spec.eos_ids) if end is None else int(end)

    @property
    def prefix_token_id(self) -> int:
        """The token that stands for an empty context."""
        if self.arguments.prefix_token_id is not None:
            return self.arguments.prefix_token_id
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else int(bos)

    @property
    def tokenizer_name(self) -> str:
        """The name under which lm-eval caches rendered requests.

        Everything that changes their text is in it.
        """
        said = {**self.arguments.given_settings(), "template": self.chat.template}
        parts = [self.pretrained, self.backbone.spec.fingerprint, digest_of_json(said)]
        return "__".join(parts).replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template that `--apply_chat_template` chooses, by name where there are several."""
        found: str | None = super().chat_template(chat_template)
        several = isinstance(getattr(self.tokenizer, "chat_template", None), dict)
        self.chat.template = chat_template if several and isinstance(chat_template, str) else None
        return found

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The turns of a chat as one prompt; see model_adapters.varlen_dlm.chat."""
        return self.chat.render(chat_history, add_generation_prompt)

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        *,
        context: str | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """The token ids of a text, in which the names of special tokens are text.

        They are tokens where the chat template wrote them. By default special tokens are added as
        the tokenizer or `add_bos_token` says, unless the text begins with the BOS token already.

        Args:
            string: the text.
            add_special_tokens: whether to add them.
            context: the prompt that the text begins with, where more stands behind it; by default
                all of the text is the prompt.
        """
        places = self.chat.places_of_tokens(string if context is None else context)
        if add_special_tokens is None:
            asked = self.arguments.add_bos_token
            begins = 0 in places and string.startswith(self.tokenizer.bos_token or "\0")
            add_special_tokens = asked is not False and not begins
        return encode_text(
            self.tokenizer, string, add_special_tokens=add_special_tokens, places=places
        )
