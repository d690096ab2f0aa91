"""Workloads of further features: grammars, probabilities, predictions.

What is measured is always beside the same requests without it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]

from benchmarks.client.answers import Call, Message, WrongAnswer
from benchmarks.reporting.figures import load_figures
from benchmarks.workloads.serving import QUESTION_TOKENS, at_once, question

if TYPE_CHECKING:
    from benchmarks.client.answers import Answer, Target
    from benchmarks.reporting.figures import Figures
    from benchmarks.workloads.serving import Workload

_GREEDY = {"temperature": 0}
#: Where several tokens are computed at once sums are rounded differently, and a model
#: this small may slip once.
_MIN_COPIED = 0.9
#: Less than the story has, so that no answer is over before its end.
_STORY_TOKENS = 240
STORY = """
The old lighthouse stood at the end of the long stone pier. Every evening at dusk the
keeper climbed the narrow stairs, one hundred and twelve of them, and lit the great
lamp. Ships far out at sea looked for its light and knew that the harbour was near. In
the winter the storms were so strong that the waves broke over the roof of his house,
and he could not leave the tower for days. He kept a small library there, a few plants
that needed little sun, and a grey cat who slept beside the stove. On clear nights he
wrote down the names of the ships that passed, the direction of the wind, and the time
at which the moon rose. His daughter came to visit on the first Sunday of each month
with bread, oranges and letters from the town. They drank tea and she told him who had
married, who had moved away, and which shops had closed. When she left he watched her
boat until it was only a white point on the water. Then he went back up the stairs,
cleaned the glass, filled the tank with oil, and wound the clock that turned the lamp.
He had done this for thirty years, and he did not want to do anything else.
""".strip().replace("\n", " ")

#: A record with the keys that people give theirs, and values without much choice: how
#: long an answer can be does not depend on how a server writes white space.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer_identifier": {"type": "integer", "minimum": 1000, "maximum": 9999},
        "subscription_status": {"enum": ["active", "cancelled", "expired"]},
        "notification_preferences": {
            "type": "object",
            "properties": {
                "email_notifications": {"type": "boolean"},
                "text_message_notifications": {"type": "boolean"},
            },
            "required": ["email_notifications", "text_message_notifications"],
            "additionalProperties": False,
        },
        "shipping_department": {"enum": ["north", "south", "east", "west"]},
    },
    "required": [
        "customer_identifier",
        "subscription_status",
        "notification_preferences",
        "shipping_department",
    ],
    "additionalProperties": False,
}


def with_free(figures: Figures, free: list[Answer]) -> Figures:
    """Return the figures with those of the same requests without the feature."""
    plain = load_figures(free)
    return {
        **figures,
        "tokens": figures["tokens"] + plain["tokens"],
        "free_rate": plain["tokens_per_s"],
        "to_free": figures["tokens_per_s"] / plain["tokens_per_s"],
    }


@dataclass(frozen=True, slots=True)
class Constrained:
    """Streams whose answers must match a JSON schema, after the same without one."""

    name: str
    streams: int = 8
    max_tokens: int = 160
    num_keys: int = 1

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of the constrained answers. Raises WrongAnswer."""
        free = await at_once(target, self._calls(f"{salt}-free", None))
        answers = await at_once(target, self._calls(f"{salt}-json", SCHEMA))
        for answer in answers:
            check_value(answer.text)
        return {
            **with_free(load_figures(answers), free),
            "answer_tokens": sum(a.completion_tokens for a in answers) / len(answers),
        }

    def _calls(self, salt: str, schema: dict[str, Any] | None) -> list[Call]:
        sampling: dict[str, Any] = dict(_GREEDY)
        if schema is not None:
            named = {"name": "customer", "schema": schema, "strict": True}
            sampling["response_format"] = {"type": "json_schema", "json_schema": named}
        return [
            Call(
                (question(QUESTION_TOKENS, f"{salt}-{number}"),),
                self.max_tokens,
                sampling=sampling,
                exact=schema is None,
            )
            for number in range(self.streams)
        ]


def check_value(answer: str) -> None:
    """Raise WrongAnswer unless an answer is a value of the schema."""
    try:
        jsonschema.validate(json.loads(answer), SCHEMA)
    except (ValueError, jsonschema.ValidationError) as error:
        raise WrongAnswer(f"{answer!r} does not match the schema: {error}") from None


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Streams that return the most likely tokens, after some that do not."""

    name: str
    streams: int = 8
    top: int = 5
    max_tokens: int = 96
    num_keys: int = 1

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of those with probabilities. Raises WrongAnswer."""
        free = await at_once(target, self._calls(f"{salt}-free", _GREEDY))
        sampling = {**_GREEDY, "logprobs": True, "top_logprobs": self.top}
        answers = await at_once(target, self._calls(f"{salt}-told", sampling))
        for answer in answers:
            if answer.logprobs != answer.completion_tokens:
                raise WrongAnswer(
                    f"the probabilities of {answer.logprobs} tokens were returned, of "
                    f"{answer.completion_tokens}"
                )
        return with_free(load_figures(answers), free)

    def _calls(self, salt: str, sampling: dict[str, Any]) -> list[Call]:
        return [
            Call(
                (question(QUESTION_TOKENS, f"{salt}-{number}"),),
                self.max_tokens,
                sampling=sampling,
            )
            for number in range(self.streams)
        ]


@dataclass(frozen=True, slots=True)
class CopyEditing:
    """One stream that writes a given text again, first so and then with a prediction.

    A small model does not edit, but it copies: the conversation has the text twice.
    What is predicted is that text with every ``edited_every``-th word another one, as
    it was before somebody edited it.
    """

    name: str
    edited_every: int = 25
    num_keys: int = 1

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of the predicted answer. Raises WrongAnswer."""
        written = f"Note {salt}. {STORY}"
        messages = (
            Message("user", f"Repeat this text exactly:\n\n{written}"),
            Message("assistant", written),
            Message("user", "Repeat it once more."),
        )
        call = Call(messages, _STORY_TOKENS, sampling=_GREEDY)
        free = await target.ask(call)
        content = " ".join(self._before_edits(written.split()))
        sampling = {**_GREEDY, "prediction": {"type": "content", "content": content}}
        predicted = await target.ask(replace(call, sampling=sampling))
        for answer in (free, predicted):
            check_copy(written, answer.text)
        return with_free(load_figures([predicted]), [free])

    def _before_edits(self, words: list[str]) -> list[str]:
        edited = range(self.edited_every - 1, len(words), self.edited_every)
        return ["before" if i in edited else word for i, word in enumerate(words)]


def check_copy(written: str, answer: str) -> None:
    """Raise WrongAnswer unless an answer has nearly all words of the text, in order."""
    words = answer.split()
    matcher = SequenceMatcher(a=written.split()[: len(words)], b=words, autojunk=False)
    if matcher.ratio() < _MIN_COPIED:
        raise WrongAnswer(f"{answer!r} is no copy")


#: What `python -m benchmarks features` measures.
FEATURE_WORKLOADS: tuple[Workload, ...] = (
    Constrained("constrained"),
    Logprobs("logprobs"),
    CopyEditing("drafts"),
)
