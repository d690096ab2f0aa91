from __future__ import annotations

from typing import Any

import pytest

from inference.engine import (
    EngineCore,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    SequenceOutput,
)
from inference.engine.errors import ContextExceeded, InvalidRequest
from inference.engine.request_checks import check_request
from tests.inference.engine.fakes import FakeBackend


def make_engine(**shape: Any) -> tuple[EngineCore, FakeBackend]:
    backend = FakeBackend(**shape)
    return EngineCore(backend), backend


def tokens(text: str) -> list[int]:
    return [ord(character) for character in text]


def run(core: EngineCore, steps: int = 1000) -> dict[str, str]:
    """Step until nothing is left; return the text of each request."""
    texts: dict[str, str] = {}
    for output in run_outputs(core, steps):
        texts[output.request_id] = texts.get(output.request_id, "") + output.text
    return texts


def run_outputs(core: EngineCore, steps: int = 1000) -> list[SequenceOutput]:
    outputs: list[SequenceOutput] = []
    for _ in range(steps):
        if not core.has_work:
            return outputs
        outputs += core.step()
    raise AssertionError("the engine does not come to an end")


def test_a_sequence_ends_with_the_models_end_token() -> None:
    core, backend = make_engine()
    backend.script("2+2=", "4")
    core.add(GenerationRequest("a", tokens("2+2="), SamplingParams()))
    last = run_outputs(core)[-1]
    assert last.finish_reason is FinishReason.STOP
    assert (last.num_prompt, last.num_output) == (4, 2)


def test_a_sequence_ends_at_max_tokens_with_length() -> None:
    core, backend = make_engine()
    backend.script("go", "abcdefgh")
    core.add(GenerationRequest("a", tokens("go"), SamplingParams(max_tokens=3)))
    outputs = run_outputs(core)
    assert "".join(o.text for o in outputs) == "abc"
    assert outputs[-1].finish_reason is FinishReason.LENGTH


def test_a_sequence_ends_when_its_context_is_full() -> None:
    core, backend = make_engine(n_ctx=8)
    backend.script("go", "abcdefghijkl")
    core.add(GenerationRequest("a", tokens("go"), SamplingParams()))
    outputs = run_outputs(core)
    assert "".join(o.text for o in outputs) == "abcdef"
    assert outputs[-1].finish_reason is FinishReason.LENGTH


def test_a_stop_string_ends_a_sequence_and_is_not_given_out() -> None:
    core, backend = make_engine()
    backend.script("go", "one END two")
    core.add(GenerationRequest("a", tokens("go"), SamplingParams(stop=("END",))))
    outputs = run_outputs(core)
    assert "".join(o.text for o in outputs) == "one "
    assert outputs[-1].finish_reason is FinishReason.STOP


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "a{}"),
        (("<call>", "<none>"), "a<call>{}"),
        (("</call>", "<end>"), "a{}</call><end>"),
    ],
)
def test_control_tokens_are_text_where_a_parser_needs_them(
    names: tuple[str, ...], text: str
) -> None:
    core, backend = make_engine()
    backend.script("go", "a\x01{}\x02")
    core.add(GenerationRequest("a", tokens("go"), SamplingParams(control_tokens=names)))
    core.add(
        GenerationRequest(
            "b", tokens("go"), SamplingParams(control_tokens=names), resume=(97, 1)
        )
    )
    texts = run(core)
    assert texts == {"a": text, "b": text.removeprefix("a").removeprefix("<call>")}


def test_a_stop_string_at_the_last_allowed_token_counts_as_stop() -> None:
    core, backend = make_engine()
    backend.script("go", "abEND")
    core.add(
        GenerationRequest(
            "a", tokens("go"), SamplingParams(stop=("END",), max_tokens=5)
        )
    )
    outputs = run_outputs(core)
    assert "".join(o.text for o in outputs) == "ab"
    assert outputs[-1].finish_reason is FinishReason.STOP


def test_requests_join_and_leave_the_running_batch() -> None:
    core, backend = make_engine()
    backend.script("aa", "12345678")
    backend.script("bb", "xy")
    core.add(GenerationRequest("a", tokens("aa"), SamplingParams()))
    for _ in range(3):
        core.step()
    core.add(GenerationRequest("b", tokens("bb"), SamplingParams()))
    assert run(core) == {"a": "345678", "b": "xy"}
    sizes = [len(shape) for shape in backend.shapes]
    assert sizes == [1, 1, 2, 2, 2, 1, 1, 1, 1]


def test_batches_are_ordered_by_contiguous_slots() -> None:
    core, backend = make_engine()
    for name in "abcd":
        backend.script(name * 3, "12345")
        core.add(GenerationRequest(name, tokens(name * 3), SamplingParams()))
    run(core)
    for shape in backend.shapes:
        assert list(shape) == list(range(len(shape)))


def test_beside_decodes_a_prompt_is_cut_into_whole_tiles() -> None:
    core, backend = make_engine(n_ctx=512, n_batch=100, prefill_tile=32)
    core.add(GenerationRequest("a", tokens("go"), SamplingParams(max_tokens=200)))
    while not any(output.tokens for output in core.step()):
        pass
    core.add(GenerationRequest("b", tokens("x" * 300), SamplingParams(max_tokens=1)))
    del backend.plans[:]
    run(core)
    pieces = [size for plan in backend.plans for size, _ in plan.prefills]
    assert sum(pieces) == 300
    assert all(size >= 32 for size in pieces)


def test_a_long_prompt_is_prefilled_in_chunks_beside_running_decodes() -> None:
    core, backend = make_engine(n_batch=16, n_ctx=256)
    backend.script("aa", "x" * 40)
    long_prompt = "b" * 100
    backend.script(long_prompt, "yes")
    core.add(GenerationRequest("a", tokens("aa"), SamplingParams()))
    core.step()
    core.step()
    core.add(GenerationRequest("b", tokens(long_prompt), SamplingParams()))
    texts = run(core)
    assert texts["b"] == "yes"
    both = [shape for shape in backend.shapes if len(shape) == 2]
    # Every step of the prefill carried the running sequence's token, too.
    assert len(both) >= 100 // 15
    assert all(shape[0] == 1 and shape[1] <= 15 for shape in both)


def test_waiting_sequences_take_the_slots_that_become_free() -> None:
    core, backend = make_engine(n_seq_max=2)
    for name in "abcde":
        backend.script(name * 2, "12")
        core.add(GenerationRequest(name, tokens(name * 2), SamplingParams()))
    core.step()
    assert (core.stats().num_running, core.stats().num_waiting) == (2, 3)
    assert run(core).keys() == set("abcde")


def test_an_aborted_sequence_leaves_before_the_next_step() -> None:
    core, backend = make_engine(n_batch=4, n_ctx=256)
    backend.script("a" * 100, "x")
    core.add(GenerationRequest("a", tokens("a" * 100), SamplingParams()))
    core.step()
    core.abort(["a"])
    assert not core.has_work
    assert backend.samplers == {}
    core.check_integrity()


def test_a_resumed_sequence_continues_without_repeating_itself() -> None:
    core, backend = make_engine()
    backend.script("go", "hello world")
    core.add(
        GenerationRequest(
            "a", tokens("go"), SamplingParams(max_tokens=11), tuple(tokens("hello "))
        )
    )
    outputs = run_outputs(core)
    assert "".join(o.text for o in outputs) == "world"
    assert outputs[-1].num_output == 11
    assert outputs[-1].num_prompt == 2


def test_a_resumed_sequence_remembers_a_half_seen_stop_string() -> None:
    core, backend = make_engine()
    backend.script("go", "text END more")
    core.add(
        GenerationRequest(
            "a", tokens("go"), SamplingParams(stop=("END",)), tuple(tokens("text E"))
        )
    )
    assert run(core) == {"a": ""}


def test_a_failed_decode_fails_the_sequences_of_the_step_and_not_the_engine() -> None:
    core, backend = make_engine()
    backend.script("aa", "1")
    backend.script("bb", "2")
    core.add(GenerationRequest("a", tokens("aa"), SamplingParams()))
    backend.fail_next = True
    *_, output = [*core.step(), *core.step()]
    assert output.finish_reason is FinishReason.FAILED
    assert "-3" in output.error
    core.add(GenerationRequest("b", tokens("bb"), SamplingParams()))
    assert run(core) == {"b": "2"}


def test_the_same_request_id_cannot_run_twice() -> None:
    core, backend = make_engine()
    backend.script("aa", "1")
    core.add(GenerationRequest("a", tokens("aa"), SamplingParams()))
    with pytest.raises(ValueError, match="already here"):
        core.add(GenerationRequest("a", tokens("aa"), SamplingParams()))


def test_stats_count_prompts_as_their_usage_does() -> None:
    core, backend = make_engine()
    backend.script("abc", "12")
    for name in "xy":
        # The second prompt is cached, and counts all the same.
        core.add(GenerationRequest(name, tokens("abc"), SamplingParams()))
        run(core)
    assert core.stats().prompt_tokens_total == 6
    # Another answer to a prompt, or a worker that takes it over, does not.
    again = GenerationRequest("z", tokens("abc"), SamplingParams(), counts_prompt=False)
    core.add(again)
    run(core)
    assert core.stats().prompt_tokens_total == 6


def test_stats_count_what_was_computed() -> None:
    core, backend = make_engine()
    backend.script("abc", "12")
    core.add(GenerationRequest("a", tokens("abc"), SamplingParams()))
    run(core)
    stats = core.stats()
    assert stats.requests_total == 1
    assert stats.prompt_tokens_total == 3
    assert stats.output_tokens_total == 3
    # The prompt and the answer stay as a cached prefix; the end token has no cell.
    assert stats.kv_cells_used == 5
    assert stats.kv_cells_total == 4 * 64


def check(prompt: list[int], **params: object) -> None:
    check_request(
        prompt=prompt,
        params=SamplingParams(**params),  # type: ignore[arg-type]
        n_ctx=8,
        n_vocab=100,
    )


def test_a_prompt_as_long_as_the_context_is_refused_with_both_numbers() -> None:
    with pytest.raises(ContextExceeded, match=r"8 tokens.* 8 tokens"):
        check([1] * 8)
    check([1] * 7)


@pytest.mark.parametrize("prompt", [[], [100], [-1]])
def test_a_prompt_that_the_model_cannot_read_is_refused(prompt: list[int]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(prompt)
    assert caught.value.param == "prompt"


def test_a_logit_bias_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check([1], logit_bias=((100, 1.0),))
    assert caught.value.param == "logit_bias"


def test_what_was_measured_before_is_not_measured_again() -> None:
    core, backend = make_engine()
    backend.has_prefill_context = True
    measured = core.warm_up()
    assert measured.prefills_apart
    assert backend.plans
    again = FakeBackend()
    second = EngineCore(again, measured=measured)
    assert second.warm_up() == measured
    assert again.plans == []
    assert second.times.decode_s(3) == core.times.decode_s(3)
