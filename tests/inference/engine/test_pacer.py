from __future__ import annotations

from inference.engine.pacer import MAX_SLOWDOWN, MIN_CHUNK, PrefillPacer


def taught(*, decode_s: float, prefill_token_s: float) -> PrefillPacer:
    pacer = PrefillPacer()
    pacer.observe(8, 0, decode_s)
    pacer.observe(0, 100, 100 * prefill_token_s)
    return pacer


def test_a_prefill_that_nobody_waits_for_gets_the_whole_budget() -> None:
    assert taught(decode_s=0.01, prefill_token_s=0.01).chunk(0, 512) == 512


def test_a_step_with_prefill_stays_within_the_allowed_slowdown() -> None:
    pacer = taught(decode_s=0.030, prefill_token_s=0.001)
    chunk = pacer.chunk(8, 512)
    assert 0.030 + chunk * 0.001 <= MAX_SLOWDOWN * 0.030
    assert chunk == 60


def test_prefill_goes_on_even_where_it_is_slow() -> None:
    assert taught(decode_s=0.001, prefill_token_s=0.01).chunk(8, 512) == MIN_CHUNK


def test_a_chunk_never_exceeds_the_budget() -> None:
    assert taught(decode_s=1.0, prefill_token_s=0.001).chunk(8, 20) == 20
    assert PrefillPacer().chunk(8, 10) == 10


def test_it_follows_a_machine_that_becomes_slower() -> None:
    pacer = taught(decode_s=0.030, prefill_token_s=0.001)
    for _ in range(50):
        pacer.observe(0, 100, 100 * 0.004)
    assert pacer.chunk(8, 512) < 30
