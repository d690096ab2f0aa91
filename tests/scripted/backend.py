"""A model that answers by a script, which has an answer for each turn of a task."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from inference.engine.step import Sampled
from tests.inference.engine.fakes import END, FakeBackend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from inference.engine.sampling.params import SamplingParams
    from inference.engine.step import StepPlan

#: What a task's turns are counted by: the template writes it before each result.
RESULT = "<tool_response>"
#: What the template writes before the tools; a request without any is of no task.
TOOLS = "# Tools\n"
#: A turn of the user that is no result.
_USER = re.compile(rf"<\|im_start\|>user\n(?!{RESULT})(.*?)<\|im_end\|>", re.DOTALL)
#: What is said where no task asks.
ELSE = "OK."


class ScriptedBackend(FakeBackend):
    """Says in each task what the script has for it, one answer for each turn.

    ``script`` is a file of JSON: answers by tasks. It is read for each request.
    """

    def __init__(self, script: Path, *, n_ctx: int) -> None:
        super().__init__(n_ctx=n_ctx, n_batch=4096)
        self._script = script
        self._rest: dict[str, str] = {}

    def open(
        self,
        request_id: str,
        params: SamplingParams,
        *,
        prompt: list[int],
        output: list[int],
    ) -> None:
        script = json.loads(self._script.read_text())
        answer = answer_to("".join(map(chr, prompt)), script)
        self._rest[request_id] = answer[len(output) :]

    def close_sequence(self, request_id: str) -> None:
        self._rest.pop(request_id, None)

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        sampled = {}
        for item in plan.items:
            slot = item.sequence.slot
            assert slot is not None
            cells = self.cells.setdefault(slot, [])
            cells.extend(self._cell(token) for token in item.tokens)
            if item.samples:
                request_id = item.sequence.request_id
                rest = self._rest[request_id]
                self._rest[request_id] = rest[1:]
                sampled[slot] = Sampled((ord(rest[0]) if rest else END,), 0)
        return sampled


def answer_to(prompt: str, script: Mapping[str, Sequence[str]]) -> str:
    """Return what a script has for a prompt with tools.

    The task is the one that the user named last; the turn is the number of results of
    tools after that.
    """
    answers, begin = None, 0
    if TOOLS in prompt:
        for said in _USER.finditer(prompt):
            for task in script:
                if task in said[1]:
                    answers, begin = script[task], said.end()
    if answers is None:
        return ELSE
    turn = prompt.count(RESULT, begin)
    return answers[min(turn, len(answers) - 1)]
