"""Checks of the engine on this machine's GPUs, in a process of their own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchmarks.commands.step_profile import Stopwatch, decode_times, time_bindings
from benchmarks.workloads.prompts import text

if TYPE_CHECKING:
    from benchmarks.model import Conditions
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama import LlamaBackend
    from inference.engine.sampling.logprobs import TokenLogprobs

    #: Of each request, its tokens with what else was likely.
    Answers = dict[str, list[TokenLogprobs]]

#: What tokens may differ by in likelihood and still count as equally likely.
_TIE = 0.05
#: Requests that are computed alone, then together.
_REQUESTS = 8
_TOKENS = 32
_WORDS = 20


def checked(conditions: Conditions) -> dict[str, Any]:
    """Return what was found: GPUs, memory, equal answers, parts of a step."""
    stopwatch = Stopwatch()
    time_bindings(stopwatch)
    from inference.engine import EngineConfig
    from inference.engine.llama import LlamaBackend
    from inference.engine.llama.hardware import gpus

    before = gpus()
    config = EngineConfig(
        paths=(str(conditions.model),),
        n_ctx=conditions.n_ctx,
        n_seq_max=conditions.n_seq_max,
        n_batch=conditions.n_batch,
        n_threads=conditions.n_threads,
    )
    backend = LlamaBackend(config)
    try:
        gaps = _gaps(*_answers(backend))
        after = gpus()
        times = [
            decode_times(backend, streams, stopwatch)
            for streams in sorted({1, conditions.n_seq_max})
        ]
    finally:
        backend.close()
    return {
        "gpus": before,
        "memory": {
            "used": [
                old["free"] - new["free"]
                for old, new in zip(before, after, strict=True)
            ],
            "estimated": _estimated(config, before),
        },
        # Batches of other shapes add their sums in another order: where two tokens
        # are as likely, either may come, and what follows is another text.
        "is_equal": all(gap <= _TIE for gap in gaps),
        "gaps_at_first_difference": gaps,
        "step_s": {str(each.streams): each.parts for each in times},
    }


def _gaps(alone: Answers, together: Answers) -> list[float]:
    """Return how much less likely the other token was where an answer first differs.

    In natural logarithms; infinite if it was not even the second.
    """
    found = []
    for name, answer in alone.items():
        for one, other in zip(answer, together[name], strict=True):
            if one.chosen.token == other.chosen.token:
                continue
            likely = {each.token: each.logprob for each in one.top}
            gap = one.chosen.logprob - likely.get(other.chosen.token, -math.inf)
            found.append(gap)
            break
    return found


def _answers(backend: LlamaBackend) -> tuple[Answers, Answers]:
    """Return the answers to the same requests, each alone, and all at once."""
    prompts = {
        str(number): backend.tokenizer.tokenize(text(_WORDS, f"{number}"), special=True)
        for number in range(_REQUESTS)
    }
    alone: Answers = {}
    for name, prompt in prompts.items():
        alone |= _run(backend, {name: prompt})
    return alone, _run(backend, prompts)


def _run(backend: LlamaBackend, prompts: dict[str, list[int]]) -> Answers:
    from inference.engine import EngineCore, SamplingParams
    from inference.engine.request import GenerationRequest

    core = EngineCore(backend)
    params = SamplingParams(
        temperature=0, max_tokens=_TOKENS, ignore_eos=True, logprobs=2
    )
    for name, prompt in prompts.items():
        # An owner each: no answer is computed from another's cells.
        core.add(GenerationRequest(name, prompt, params, owner=name))
    answers: Answers = {name: [] for name in prompts}
    while core.has_work:
        for output in core.step():
            answers[output.request_id] += output.logprobs
    return answers


def _estimated(config: EngineConfig, found: list[dict[str, Any]]) -> list[int]:
    """Return the bytes that a worker is expected to take on each GPU."""
    import llama_cpp

    from inference.capacity.machine import Gpu, Machine
    from inference.capacity.memory_estimate import estimate_memory
    from inference.engine.llama.hardware import repacked_types
    from registry.gguf.header import SkippedValue, parse_header
    from registry.gguf.memory_shape import memory_shape

    [path] = config.paths
    with open(path, "rb") as stream:  # noqa: PTH123 - a path as text
        size = stream.seek(0, 2)
        stream.seek(0)
        header = parse_header(stream, size)
    shape = memory_shape([header], header.text("general.architecture"))
    tokens = header.fields["tokenizer.ggml.tokens"]
    if shape is None or not isinstance(tokens, SkippedValue):
        raise SystemExit("The model that was written cannot be read.")
    machine = Machine(
        tuple(Gpu(**each) for each in found),
        frozenset(repacked_types(llama_cpp.llama_print_system_info().decode())),
    )
    estimate = estimate_memory(shape, config, machine, n_vocab=tokens.count)
    return list(estimate.totals[1:])
