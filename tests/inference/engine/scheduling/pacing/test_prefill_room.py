from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.scheduling.pacing.piece_times import PieceCost
from inference.engine.scheduling.pacing.prefill_room import (
    MIN_PIECE,
    PieceCosts,
    PrefillRoom,
)

TILE = 64
EVEN = PieceCost(fixed_s=0.004, token_s=0.001)


def costs(
    short_s: float = 0.001, *, fixed_s: float = 0.004, has_prefill_context: bool = False
) -> PieceCosts:
    """Return costs where a token of a tile takes 1 ms, of a shorter piece this."""
    return PieceCosts(PieceCost(fixed_s, short_s), EVEN, TILE, has_prefill_context)


def room(
    seconds: float, of: PieceCosts | None = None, tokens: int = 512
) -> PrefillRoom:
    found = of or costs()
    return PrefillRoom(tokens, seconds, found, found.tile)


def pieces(room: PrefillRoom, prompts: list[int]) -> list[int]:
    """Return the pieces of prompts of these lengths, one after another."""
    found = []
    for rest in prompts:
        found.append(room.piece(rest, 0))
        if found[-1]:
            room = room.without(found[-1], 0)
    return found


def test_a_prompt_that_nobody_waits_for_gets_the_whole_batch() -> None:
    assert PrefillRoom(512).piece(2000, 0) == 512


def test_a_piece_has_as_many_whole_tiles_as_fit() -> None:
    assert room(0.200).piece(2000, 0) == 3 * TILE
    assert room(0.069).piece(2000, 0) == TILE


def test_a_piece_has_the_token_that_is_computed_with_the_decodes_besides() -> None:
    leading = replace(room(0.200), lead=1)
    assert leading.piece(2000, 0) == 3 * TILE + 1
    assert replace(room(0.068), lead=1).piece(2000, 0) == TILE - 1
    # What ends a prompt is as long as it is.
    assert leading.piece(TILE, 0) == TILE


def test_what_ends_a_prompt_may_take_longer_where_that_is_spared() -> None:
    spared = replace(room(0.040), ending_s=0.100)
    assert spared.piece(90, 0) == 90
    assert spared.piece(100, 0) == room(0.040).piece(100, 0) < 40


def test_an_end_takes_longer_only_where_both_costs_say_that_it_fits() -> None:
    # Tiles were measured at the beginning of a prompt, short pieces deep in one.
    deep = PieceCosts(PieceCost(0.004, 0.001, 2e-6), EVEN, TILE, True)
    spared = replace(room(0.020, deep), ending_s=0.150)
    assert spared.piece(100, 0) == 100
    assert spared.piece(100, 1400, is_long=True) < TILE


def test_several_prompts_end_within_what_is_spared() -> None:
    assert pieces(replace(room(0.040), ending_s=0.100), [50, 40, 20]) == [50, 40, 0]


def test_the_end_of_a_prompt_is_taken_whole_where_it_fits() -> None:
    assert room(0.120).piece(100, 0) == 100
    assert room(0.120).piece(30, 0) == 30
    assert room(0.070).piece(100, 0) == TILE


def test_where_no_tile_fits_a_piece_is_as_long_as_fits() -> None:
    assert room(0.0445).piece(2000, 0) == 40


def test_several_short_prompts_are_computed_in_one_step() -> None:
    assert pieces(room(0.080), [20, 18, 22, 30]) == [20, 18, 22, 0]


def test_a_second_prompt_gets_no_crumb() -> None:
    assert pieces(room(0.080), [60, 200]) == [60, 0]


def test_deep_pieces_are_shorter() -> None:
    deep = PieceCosts(PieceCost(0.004, 0.001, 1e-6), PieceCost(0.004, 0.001, 1e-6), 64)
    assert room(0.044, deep).piece(900, 0) > room(0.044, deep).piece(900, 1500) > 0


def test_the_least_piece_grows_where_a_pass_through_the_model_is_dear() -> None:
    assert costs(fixed_s=0.001).least(0, is_long=False) == MIN_PIECE
    assert MIN_PIECE < costs(fixed_s=0.010).least(0, is_long=False) < TILE
    assert costs(fixed_s=0.030).least(0, is_long=False) == TILE


def test_prompts_go_on_by_the_least_piece_however_slow_they_are() -> None:
    assert room(0.001).piece(900, 0) == MIN_PIECE
    assert room(0.001, costs(fixed_s=0.010)).piece(900, 0) == costs(
        fixed_s=0.010
    ).least(0, is_long=False)


def test_a_piece_is_half_the_least_one_where_no_more_fits() -> None:
    assert room(0.016).piece(900, 0) == 12
    assert room(0.011).piece(900, 0) == MIN_PIECE


def test_where_others_may_come_pieces_are_shorter_and_waste_more() -> None:
    dear = costs(fixed_s=0.010)
    beside = room(0.001, dear)
    before = replace(beside, is_before_others=True)
    assert MIN_PIECE <= before.piece(900, 0) < beside.piece(900, 0)


def test_where_short_pieces_waste_time_a_piece_is_a_tile_at_least() -> None:
    assert room(0.040, costs(0.005)).piece(2000, 0) == TILE
    # Nor is an end left that is shorter than one.
    assert room(0.040, costs(0.005)).piece(100, 0) == 100


def test_with_a_prefill_context_short_pieces_of_long_prompts_waste_nothing() -> None:
    apart = costs(0.0025, has_prefill_context=True)
    assert room(0.0545, apart).piece(2000, 0, is_long=True) == 20


def test_the_next_turn_of_a_conversation_is_not_computed_in_pieces_that_waste() -> None:
    apart = costs(0.0025, has_prefill_context=True)
    assert room(0.0545, apart).piece(70, 0) == 70


def test_a_first_piece_is_tried_before_it_is_known_what_one_takes() -> None:
    unknown = PrefillRoom(512, 0.0, None, TILE)
    assert pieces(unknown, [300, 20]) == [TILE, 0]


def test_without_streams_no_end_of_a_prompt_is_left_that_is_shorter_than_a_tile() -> (
    None
):
    assert PrefillRoom(512, tile=TILE).piece(530, 0) == 466
    assert pieces(PrefillRoom(500, tile=TILE), [480, 300]) == [480, 0]
    assert pieces(PrefillRoom(500, tile=TILE), [100, 20, 10]) == [100, 20, 10]


@given(
    st.integers(1, 3000),
    st.integers(0, 2000),
    st.integers(0, 600),
    st.one_of(st.just(math.inf), st.floats(0, 2)),
    st.sampled_from([1, TILE]),
    st.floats(1e-4, 0.02),
)
def test_a_piece_is_within_the_batch_and_prompts_get_done(
    rest: int, start: int, tokens: int, seconds: float, tile: int, short_s: float
) -> None:
    found = PieceCosts(PieceCost(0.004, short_s), EVEN, tile)
    piece = PrefillRoom(tokens, seconds, found, tile).piece(rest, start)
    assert 0 <= piece <= min(rest, tokens)
    assert piece > 0 or not tokens


@given(st.floats(0.03, 2), st.integers(1, 3000), st.integers(0, 2000))
def test_a_piece_keeps_to_the_seconds_unless_it_is_the_least(
    seconds: float, rest: int, start: int
) -> None:
    found = costs()
    piece = room(seconds, found).piece(rest, start)
    least = min(found.least(start, is_long=False), rest)
    assert piece <= least or found.seconds(piece, start) <= seconds + 1e-9


@pytest.mark.parametrize("rest", [10, 63, 64, 65, 127, 500])
def test_it_knows_which_prompts_a_step_ends(rest: int) -> None:
    assert room(0.070).ends(rest, 0) == (rest <= 66)
