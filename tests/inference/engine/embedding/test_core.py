from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from inference.engine.embedding.core import EmbeddingCore
from inference.engine.errors import ContextExceeded, InvalidRequest
from inference.engine.request import PoolingRequest
from inference.engine.request_checks import check_inputs
from inference.engine.sequence import FinishReason
from tests.inference.engine.fake_embedder import BAD, NAN, FakeEmbedder

if TYPE_CHECKING:
    from inference.engine.output import PoolingOutput


def request(
    name: str, *texts: str, key: str = "k", weight: float = 1.0, priority: int = 0
) -> PoolingRequest:
    inputs = tuple([ord(character) for character in text] for text in texts)
    return PoolingRequest(name, inputs, key, weight, priority)


def run(core: EmbeddingCore) -> dict[str, PoolingOutput]:
    """Step until nothing is left; return the end of each request."""
    ends = {}
    while core.has_work:
        for output in core.step():
            if output.finish_reason is not None:
                ends[output.request_id] = output
    core.check_integrity()
    return ends


def vectors(output: PoolingOutput) -> list[list[float]]:
    return [np.frombuffer(each, "<f4").tolist() for each in output.vectors]


def unit(*numbers: float) -> list[float]:
    return [float(number) for number in np.array(numbers) / np.linalg.norm(numbers)]


def test_every_input_gets_its_own_vector_of_length_one_in_order() -> None:
    core = EmbeddingCore(FakeEmbedder())
    core.add(request("a", "xyz", "pq", "r"))
    (output,) = run(core).values()
    expected = [unit(120, 122, 3), unit(112, 113, 2), unit(114, 114, 1)]
    np.testing.assert_allclose(vectors(output), expected, rtol=1e-6)
    assert output.finish_reason is FinishReason.STOP
    assert output.num_prompt == 6


def test_a_request_begins_once_and_ends_once() -> None:
    core = EmbeddingCore(FakeEmbedder(n_batch=4))
    core.add(request("a", "xxx", "yyy", "zzz"))
    outputs = [output for _ in range(3) for output in core.step()]
    assert [output.is_start for output in outputs] == [True, False]
    assert outputs[1].finish_reason is FinishReason.STOP
    assert not core.has_work


def test_a_score_is_left_as_the_model_gives_it() -> None:
    core = EmbeddingCore(FakeEmbedder(is_ranking=True))
    core.add(request("a", "cat\nact", "cat\ndog"))
    (output,) = run(core).values()
    assert vectors(output) == [[3], [0]]


def test_requests_share_batches_up_to_the_tokens_of_one() -> None:
    backend = FakeEmbedder(n_batch=8)
    core = EmbeddingCore(backend)
    core.add(request("a", "aaa", "bbb"))
    core.add(request("b", "ccc", "dd"))
    ends = run(core)
    assert backend.batches == [["aaa", "bbb"], ["ccc", "dd"]]
    assert set(ends) == {"a", "b"}


def test_a_batch_has_no_more_inputs_than_the_model_takes() -> None:
    backend = FakeEmbedder(n_seq_max=2)
    core = EmbeddingCore(backend)
    core.add(request("a", *"pqrst"))
    run(core)
    assert [len(batch) for batch in backend.batches] == [2, 2, 1]


def test_an_input_that_is_longer_than_a_batch_has_one_to_itself() -> None:
    backend = FakeEmbedder(n_batch=8)
    core = EmbeddingCore(backend)
    core.add(request("a", "s", "l" * 30, "t"))
    run(core)
    assert ["l" * 30] in backend.batches


def test_a_thousand_inputs_of_one_key_delay_another_keys_one_by_a_batch() -> None:
    backend = FakeEmbedder(n_batch=16, n_seq_max=16)
    core = EmbeddingCore(backend)
    core.add(request("flood", *["ffff"] * 1000, key="flood"))
    core.step()
    core.add(request("single", "ssss", key="other"))
    assert {output.request_id for output in core.step()} == {"single"}


def test_a_key_of_twice_the_weight_gets_twice_as_many_tokens() -> None:
    backend = FakeEmbedder(n_batch=16, n_seq_max=16)
    core = EmbeddingCore(backend)
    core.add(request("h", *["hh"] * 100, key="heavy", weight=2.0))
    core.add(request("l", *["ll"] * 100, key="light"))
    for _ in range(6):
        core.step()
    computed = [text for batch in backend.batches for text in batch]
    assert computed.count("hh") == 2 * computed.count("ll")


def test_of_one_keys_requests_the_lower_priority_goes_first() -> None:
    backend = FakeEmbedder(n_seq_max=1)
    core = EmbeddingCore(backend)
    core.add(request("late", "p", priority=1))
    core.add(request("early", "q", priority=-1))
    run(core)
    assert backend.batches == [["q"], ["p"]]


def test_an_input_that_cannot_be_computed_fails_its_own_request_only() -> None:
    backend = FakeEmbedder()
    core = EmbeddingCore(backend)
    core.add(request("good", "p", "q"))
    core.add(request("bad", "r", BAD))
    core.add(request("late", "s"))
    ends = run(core)
    assert ends["bad"].finish_reason is FinishReason.FAILED
    assert ends["bad"].code == "decode_failed"
    assert ends["bad"].error == "llama_decode returned -3"
    assert len(ends["good"].vectors) == 2
    assert len(ends["late"].vectors) == 1


def test_vectors_that_are_not_numbers_fail_the_request() -> None:
    core = EmbeddingCore(FakeEmbedder())
    core.add(request("bad", NAN))
    core.add(request("good", "p"))
    ends = run(core)
    assert ends["bad"].code == "decode_failed"
    assert ends["good"].finish_reason is FinishReason.STOP


def test_an_aborted_request_is_computed_no_further() -> None:
    backend = FakeEmbedder(n_seq_max=1)
    core = EmbeddingCore(backend)
    core.add(request("gone", "p", "q", "r"))
    core.add(request("kept", "s"))
    core.step()
    core.abort(["gone", "unknown"])
    assert set(run(core)) == {"kept"}
    assert backend.batches == [["p"], ["s"]]


def test_it_counts_what_it_does() -> None:
    core = EmbeddingCore(FakeEmbedder(n_ctx=64, n_seq_max=1))
    core.add(request("a", "pq", "rst"))
    core.add(request("b", "u"))
    core.step()
    stats = core.stats()
    assert (stats.num_running, stats.num_waiting) == (1, 1)
    run(core)
    stats = core.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert (stats.requests_total, stats.prompt_tokens_total) == (2, 6)
    assert (stats.n_ctx, stats.n_ctx_max) == (64, 64)
    # An input is a sequence: a request's inputs share no context.
    assert core.telemetry.snapshot()["gauges"]["longest_sequence"] == 3


def test_warming_up_computes_something() -> None:
    backend = FakeEmbedder()
    core = EmbeddingCore(backend)
    core.warm_up()
    assert backend.batches == [["a"]]
    assert core.stats().requests_total == 0
    core.close()
    assert backend.is_closed


def test_an_input_that_is_too_long_is_named_with_both_numbers() -> None:
    with pytest.raises(ContextExceeded, match=r"8 tok.*'input\[1\]' has 9") as caught:
        check_inputs([[1] * 8, [1] * 9], ["input[0]", "input[1]"], n_ctx=8, n_vocab=9)
    assert caught.value.param == "input[1]"
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("tokens", "words"), [([], "no tokens"), ([1, 9], "token id 9; .* 0 to 8")]
)
def test_an_invalid_input_is_named(tokens: list[int], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        check_inputs([[1], tokens], ["input[0]", "input[1]"], n_ctx=8, n_vocab=9)
    assert caught.value.param == "input[1]"
