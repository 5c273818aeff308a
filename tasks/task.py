"""Requests and metrics of the EOS upper-bound benchmark, as lm-eval's YAML files name them.

A document travels as one `generate_until` request whose arguments carry the unmasked fraction and
the reference, so that --limit, --samples, --use_cache, several processes and sample logs work as
for any task. The answer is one JSON record (eosbench.records) that `process_results` turns into
metrics.

A model other than varlen_dlm gets an error that says which one to run: when it takes up the
arguments (eosbench/documents/request_arguments.py), or at the latest when it has answered with
text. Tasks that want a text run on any model; their requests carry the reference beside the
arguments, for the oracle.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from eosbench.digest import short_digest
from eosbench.documents import ONLY_HERE, BoundArguments
from eosbench.errors import ConfigurationError, report_errors_plainly
from eosbench.lm_eval_results import mend_results
from eosbench.metrics import DocumentValues, document_values
from eosbench.records import LengthRecord


class ReferenceTask(ConfigurableTask):
    """A generate_until task whose requests carry the reference answer.

    The oracle and the bounds on the answer's length need it.
    """

    def __init__(self, config: dict[str, Any] | None = None, **kwargs: Any) -> None:
        report_errors_plainly()
        mend_results(ReferenceTask.__name__)
        settings = {key: value for key, value in (config or {}).items() if key != "class"}
        super().__init__(config=settings, **kwargs)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **_: Any) -> None:
        """Makes the documents, as lm-eval's own method does for a `custom_dataset`.

        That one prints advice on --metadata in front of every task; this one does not.
        """
        self.dataset = self.config.custom_dataset(
            **{**(self.config.metadata or {}), **(dataset_kwargs or {})}
        )

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> Instance:
        """The one request of a document.

        Raises:
            ConfigurationError: the reference answer is not a text.
        """
        kwargs.pop("apply_chat_template", None)
        kwargs.pop("chat_template", None)
        reference = self.doc_to_target(doc)
        # lm-eval makes a list of a template's result that looks like one.
        if not isinstance(reference, str):
            raise ConfigurationError(
                f"task {self.config.task}: the target of {str(doc)[:60]} is a "
                f"{type(reference).__name__}, expected text: let doc_to_target name a column or a "
                "function instead of a template"
            )
        arguments = deepcopy(self.config.generation_kwargs)
        if "eos_upper_bound" in arguments:
            # The document alone seeds the revealed positions, whatever its prompt's format.
            document = f"{self.doc_to_text(doc)}\n{reference}"
            arguments["eos_upper_bound"]["document"] = short_digest(document)
            arguments = BoundArguments(arguments, reference=reference)
        request = Instance(
            request_type="generate_until", doc=doc, arguments=(ctx, arguments), idx=0, **kwargs
        )
        request.reference = reference
        return request

    def apply_filters(self) -> list[Instance] | None:
        """As lm-eval's own method, after which it logs the requests: their arguments are plain."""
        for request in self.instances:
            context, arguments = request.arguments
            if isinstance(arguments, BoundArguments):
                request.arguments = (context, dict(arguments))
        filtered: list[Instance] | None = super().apply_filters()
        return filtered


def process_results(doc: dict[str, Any], results: list[str]) -> DocumentValues:
    """All metrics of one document; eosbench.metrics has definitions and denominators.

    Args:
        doc: the document.
        results: the model's one answer to it.

    Raises:
        ConfigurationError: the answer is not a length record, as of a model other than varlen_dlm.
    """
    try:
        record = LengthRecord.from_json(results[0])
    except (ValueError, TypeError) as error:
        got = f"{results[0][:60]!r} for document {doc.get('id')!r}"
        raise ConfigurationError(
            f"an eos_upper_bound task got {got}, expected a length record: {ONLY_HERE}"
        ) from error
    return document_values(record)
