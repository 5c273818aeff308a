"""The answers that stand above the tables: a few plain sentences, made from the numbers.

bounds.py tells of predicted bounds, other_tasks.py of results without any, next_steps.py what is
missing and what to type.
"""

from __future__ import annotations

from eosbench.report.answers.answers import Answers, make_answers
from eosbench.report.answers.sentence import Sentence

__all__ = ["Answers", "Sentence", "make_answers"]
