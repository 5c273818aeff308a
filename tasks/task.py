"""Requests and metrics of the EOS upper-bound benchmark, as lm-eval's YAML files name them.

A document travels as one `generate_until` request whose arguments carry the unmasked fraction and
the reference, so that --limit, --samples, --use_cache, several processes and sample logs work as
for any task. The answer is one JSON record (eosbench.records) that `process_results` turns into
metrics. Another model than varlen_dlm gets an error that says which one to run: when it takes the
arguments up (eosbench/documents/request_arguments.py), or at the latest when it has answered with text. Tasks
that want a text run on any model; their requests carry the reference, which the oracle reads,
beside the arguments.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from eosbench.digest import short_digest
from eosbench.documents import ONLY_HERE, BoundArguments
from eosbench.errors import ConfigurationError, report_errors_plainly
from eosbench.metrics import Term, per_document
from eosbench.records import LengthRecord


class ReferenceTask(ConfigurableTask):
    """A generate_until task whose requests carry the reference answer (for the oracle, and for
    bounds on its length).
    """

    def __init__(self, config: dict[str, Any] | None = None, **kwargs: Any) -> None:
        report_errors_plainly()
        super().__init__(
            config={key: value for key, value in (config or {}).items() if key != "class"}, **kwargs
        )

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """As lm-eval's own for a `custom_dataset`, without its advice on --metadata in front of
        every task.
        """
        self.dataset = self.config.custom_dataset(
            **{**(self.config.metadata or {}), **(dataset_kwargs or {})}
        )

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> Instance:
        kwargs.pop("apply_chat_template", None)
        kwargs.pop("chat_template", None)
        reference = self.doc_to_target(doc)
        # Lm-eval evaluates a template's result that looks like a list.
        if not isinstance(reference, str):
            raise ConfigurationError(
                f"task {self.config.task}: the target of {str(doc)[:60]} is a {type(reference).__name__}, expected text: "
                "let doc_to_target name a column or a function instead of a template"
            )
        arguments = deepcopy(self.config.generation_kwargs)
        # What seeds the revealed positions: the document alone, not its prompt format.
        if "eos_upper_bound" in arguments:
            document = f"{self.doc_to_text(doc)}\n{reference}"
            arguments["eos_upper_bound"]["document"] = short_digest(document)
            arguments = BoundArguments(arguments, reference=reference)
        request = Instance(
            request_type="generate_until", doc=doc, arguments=(ctx, arguments), idx=0, **kwargs
        )
        request.reference = reference
        return request


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, Term]:
    """All metrics of one document; see eosbench.metrics for definitions and denominators."""
    try:
        record = LengthRecord.from_json(results[0])
    except (ValueError, TypeError) as error:
        got = f"{results[0][:60]!r} for document {doc.get('id')!r}"
        raise ConfigurationError(
            f"an eos_upper_bound task got {got}, expected a length record: {ONLY_HERE}"
        ) from error
    values = per_document(record)
    error = values.pop("squared_error") ** 0.5
    return {name: Term(value) for name, value in values.items()} | {"rmse": Term(error, root=True)}
