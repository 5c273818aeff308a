"""The costs of the run that a model is in.

One model may serve several runs: two calls of `lm_eval.simple_evaluate`, for example. lm-eval says
nowhere that a run begins or ends. But it asks for the description of the model last, and within a
run it sends no request in two calls. It reads the rank of the process before all requests and after
them, never between two kinds of requests: so a run that fails in the metric of a task is over too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from lm_eval.api.instance import Instance

from eosbench.forward import Ledger
from model_adapters.varlen_dlm.processes import Processes

P = ParamSpec("P")
Answers = TypeVar("Answers")


class RunCosts:
    """Counts what a run costs, over all processes, and forgets the runs before it.

    A run is over after `end`, after an error, when the rank is read after its requests, or when a
    request comes that it has answered.

    Args:
        ledger: is charged for every request, and cleared where a run begins.
        processes: those that share the requests.
    """

    def __init__(self, ledger: Ledger, processes: Processes) -> None:
        self.ledger, self._processes = ledger, processes
        self._answered: set[tuple[str, str | None, int | None, int]] = set()
        self._is_over = self._is_answering = False
        self._spent_by_all: list[dict[str, dict[str, float]]] | None = None

    @contextmanager
    def answering(self, requests: Sequence[Instance]) -> Iterator[None]:
        """Charges what happens inside to this run, or to a new one.

        Args:
            requests: all that lm-eval sends in one call.
        """
        asked = {(one.request_type, one.task_name, one.doc_id, one.idx) for one in requests}
        if self._is_over or asked & self._answered:
            self.begin()
        self._answered |= asked
        self._is_answering = True
        try:
            yield
        except BaseException:
            self.end()
            raise
        finally:
            self._is_answering = False

    def begin(self) -> None:
        """Begins a run, which has cost nothing so far."""
        self.ledger.clear()
        self._answered, self._is_over, self._spent_by_all = set(), False, None

    def end(self) -> None:
        """Ends the run. Its costs stay until requests of the next one come."""
        self._is_over = True

    def rank_was_read(self) -> None:
        """Ends the run, unless it is the model itself that reads its rank while it answers."""
        if not self._is_answering:
            self.end()

    def share(self) -> None:
        """Tells every process what all of them spent; each of them must come here."""
        self._spent_by_all = self._processes.everyones(self.ledger.totals())

    def totals(self) -> dict[str, dict[str, float]]:
        """The costs of the run by task, as `Ledger.totals` has them, summed over the processes."""
        of_all = Ledger()
        of_all.merge(self._spent_by_all or [self.ledger.totals()])
        return of_all.totals()


class InRuns(Protocol):
    """A model that counts the costs of its runs."""

    costs: RunCosts


Model = TypeVar("Model", bound=InRuns)


def in_a_run(
    answer: Callable[Concatenate[Model, list[Instance], P], Answers],
) -> Callable[Concatenate[Model, list[Instance], P], Answers]:
    """The method of a model that answers the requests of one call, as a part of a run."""

    @functools.wraps(answer)
    def answer_in_a_run(
        model: Model, requests: list[Instance], /, *args: P.args, **kwargs: P.kwargs
    ) -> Answers:
        with model.costs.answering(requests):
            return answer(model, requests, *args, **kwargs)

    return answer_in_a_run
