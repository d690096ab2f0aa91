"""The workloads, as data: the same requests for every system.

A run gets a salt that is new in every round and the same for every system, and
puts it in front of its texts: a prefix is only shared where the workload says so.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Protocol

from benchmarks.client.answers import Answer, Call, Message, clock
from benchmarks.reporting.figures import Figures, load_figures, percentile
from benchmarks.workloads.prompts import text

if TYPE_CHECKING:
    from benchmarks.client.answers import Target

#: Long enough for a decode rate, short enough for many rounds.
MAX_TOKENS = 96
#: A question as people type it.
QUESTION_TOKENS = 16


class Workload(Protocol):
    """A load with a name."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def num_keys(self) -> int:
        """API keys that it needs."""

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of one run; ``tokens`` are all that were made.

        Raises WrongAnswer, alone or in a group."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Requests that arrive at once.

    ``prompt_tokens`` and ``max_tokens`` are gone through in turn. The first
    ``shared_tokens`` of all prompts are the same system message.
    """

    name: str
    streams: int
    prompt_tokens: tuple[int, ...] = (QUESTION_TOKENS,)
    max_tokens: tuple[int, ...] = (MAX_TOKENS,)
    shared_tokens: int = 0
    num_keys: int = 1

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of all requests."""
        return load_figures(await at_once(target, self.calls(salt)))

    def calls(self, salt: str) -> list[Call]:
        """Return the requests."""
        shared = (
            (Message("system", text(self.shared_tokens, salt)),)
            if self.shared_tokens
            else ()
        )
        lengths = zip(cycle(self.prompt_tokens), cycle(self.max_tokens), strict=False)
        return [
            Call((*shared, question(prompt_tokens, f"{salt}-{number}")), max_tokens)
            for number, (prompt_tokens, max_tokens) in enumerate(
                islice(lengths, self.streams)
            )
        ]


@dataclass(frozen=True, slots=True)
class Chats:
    """Conversations side by side; each turn extends the last by answer and question."""

    name: str
    conversations: int = 4
    turns: int = 5
    system_tokens: int = 200
    question_tokens: int = 60
    max_tokens: int = 48
    num_keys: int = 1

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of all answers, and what each turn took."""
        conversations = await asyncio.gather(
            *(
                self._converse(target, f"{salt}-{number}")
                for number in range(self.conversations)
            )
        )
        answers = [answer for turns in conversations for answer in turns]
        return {**load_figures(answers), **chat_figures(conversations)}

    async def _converse(self, target: Target, salt: str) -> list[Answer]:
        messages = [Message("system", text(self.system_tokens, salt))]
        answers = []
        for turn in range(self.turns):
            messages.append(question(self.question_tokens, f"{salt}-{turn}"))
            answer = await target.ask(Call(tuple(messages), self.max_tokens))
            messages.append(Message("assistant", answer.text))
            answers.append(answer)
        return answers


def chat_figures(conversations: list[list[Answer]]) -> Figures:
    """Return by turn the medians of TTFT and of prompt tokens not cached."""
    figures: Figures = {}
    for number, answers in enumerate(zip(*conversations, strict=True), 1):
        ttft_s = statistics.median(answer.ttft_s for answer in answers)
        figures[f"turn_{number}_ttft_s"] = ttft_s
        computed = [
            answer.prompt_tokens - answer.cached_tokens
            for answer in answers
            if answer.prompt_tokens is not None and answer.cached_tokens is not None
        ]
        if computed:
            figures[f"turn_{number}_computed_tokens"] = statistics.median(computed)
    return figures


@dataclass(frozen=True, slots=True)
class Newcomer:
    """One long prompt that arrives while streams run."""

    name: str
    streams: int = 8
    prompt_tokens: int = 1500
    #: Tokens of every stream before the newcomer: the quiet time to compare with.
    quiet_tokens: int = 32
    max_tokens: int = 256
    num_keys: int = 1

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the streams' figures, and how the newcomer changed them."""
        quiet = asyncio.Event()
        unready = self.streams

        async def stream(number: int) -> Answer:
            seen = 0

            def on_text() -> None:
                nonlocal seen, unready
                seen += 1
                if seen == self.quiet_tokens:
                    unready -= 1
                    if unready == 0:
                        quiet.set()

            call = Call(
                (question(QUESTION_TOKENS, f"{salt}-{number}"),), self.max_tokens
            )
            return await target.ask(call, on_text=on_text)

        async with asyncio.TaskGroup() as group:
            streams = [
                group.create_task(stream(number)) for number in range(self.streams)
            ]
            await quiet.wait()
            arrived_s = clock()
            call = Call((question(self.prompt_tokens, f"{salt}-new"),), 1)
            newcomer = await target.ask(call)
        answers = [task.result() for task in streams]
        figures = load_figures(answers)
        figures["tokens"] += newcomer.completion_tokens
        return {**figures, **newcomer_figures(answers, newcomer, arrived_s)}


def newcomer_figures(
    streams: list[Answer], newcomer: Answer, arrived_s: float
) -> Figures:
    """Return the ITL before the newcomer and while its prompt was computed.

    A gap counts where it ends; the one under way when the prompt was done counts
    with it. The quiet time begins when all streams have begun.
    """
    began_s = max(answer.arrivals_s[0] for answer in streams)
    gaps = [gap for answer in streams for gap in answer.gaps]
    quiet = [
        length for end, length in gaps if began_s < end - length and end <= arrived_s
    ]
    beside = [
        length
        for end, length in gaps
        if end > arrived_s and end - length < newcomer.arrivals_s[0]
    ]
    return {
        "quiet_itl_p95_s": percentile(quiet, 95),
        "beside_itl_p95_s": percentile(beside, 95),
        "beside_itl_max_s": max(beside),
        "newcomer_ttft_s": newcomer.ttft_s,
    }


@dataclass(frozen=True, slots=True)
class TwoKeys:
    """Many requests of one API key, then a few of another: how long do the few take?"""

    name: str
    many: int
    few: int
    max_tokens: int
    num_keys: int = 2

    async def run(self, target: Target, salt: str) -> Figures:
        """Return the figures of the few alone and beside the many."""
        alone = await at_once(target, self._few(f"{salt}-alone"))
        many = [
            Call(
                (question(QUESTION_TOKENS, f"{salt}-{number}"),),
                self.max_tokens,
                group="many",
            )
            for number in range(self.many)
        ]
        answers = await at_once(target, [*many, *self._few(f"{salt}-beside")])
        beside = [answer for answer in answers if answer.call.group == "few"]
        figures = load_figures(answers)
        figures["tokens"] += sum(answer.completion_tokens for answer in alone)
        return {**figures, **two_keys_figures(alone, beside)}

    def _few(self, salt: str) -> list[Call]:
        return [
            Call(
                (question(QUESTION_TOKENS, f"{salt}-{number}"),),
                self.max_tokens,
                group="few",
                key=1,
            )
            for number in range(self.few)
        ]


def two_keys_figures(alone: list[Answer], beside: list[Answer]) -> Figures:
    """Return the few's mean TTFT and latency alone and beside the many."""
    mean = statistics.fmean
    figures = {
        "few_ttft_alone_s": mean(answer.ttft_s for answer in alone),
        "few_ttft_beside_s": mean(answer.ttft_s for answer in beside),
        "few_latency_alone_s": mean(answer.latency_s for answer in alone),
        "few_latency_beside_s": mean(answer.latency_s for answer in beside),
    }
    figures["few_slowdown"] = (
        figures["few_latency_beside_s"] / figures["few_latency_alone_s"]
    )
    return figures


def question(tokens: int, salt: str) -> Message:
    """Return a user's message of about this many tokens."""
    return Message("user", text(tokens, salt))


async def at_once(target: Target, calls: list[Call]) -> list[Answer]:
    """Send the calls together, in order; return the answers. Raises ExceptionGroup."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(target.ask(call)) for call in calls]
    return [task.result() for task in tasks]


#: What `make bench` measures.
WORKLOADS: tuple[Workload, ...] = (
    Burst("decode-1", streams=1),
    Burst("decode-2", streams=2),
    Burst("decode-4", streams=4),
    Burst("decode-8", streams=8),
    Burst("decode-16", streams=16),
    Burst("decode-32", streams=32),
    Burst("prefill-1000", streams=4, prompt_tokens=(1000,), max_tokens=(1,)),
    Burst("shared-16", streams=16, shared_tokens=600),
    Burst("shared-32", streams=32, shared_tokens=600),
    Chats("chat"),
    Newcomer("newcomer"),
    Burst(
        "mixed",
        streams=24,
        prompt_tokens=(20, 100, 300, 800),
        max_tokens=(16, 64, 192),
    ),
    TwoKeys("two-keys", many=64, few=4, max_tokens=48),
)

#: What `make bench ARGS=--quick` measures: enough to see that all of it works.
QUICK_WORKLOADS: tuple[Workload, ...] = (
    Burst("decode-1", streams=1, max_tokens=(48,)),
    Burst("decode-16", streams=16, max_tokens=(48,)),
    Burst("shared-16", streams=16, max_tokens=(16,), shared_tokens=600),
    TwoKeys("two-keys", many=40, few=2, max_tokens=16),
)

#: What `python -m benchmarks scaling` measures.
SCALING_WORKLOADS: tuple[Workload, ...] = (
    *(Burst(f"streams-{n}", streams=n) for n in (1, 2, 4, 8, 12, 16, 24, 32)),
    *(
        Burst(f"prompt-{n}", streams=1, prompt_tokens=(n,), max_tokens=(1,))
        for n in (64, 128, 256, 512, 1024, 1536)
    ),
    *(
        Burst(f"depth-{n}", streams=4, prompt_tokens=(n,), max_tokens=(64,))
        for n in (64, 256, 512, 1024, 1536)
    ),
)
