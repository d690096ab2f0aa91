from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inference.engine import SamplingParams
from inference.engine.request import GenerationRequest
from inference.transport.affinity.prefix_hashes import PrefixHashes, prefix_hashes


def hashes(prompt: str = "", queue: str = "queue.1", **fields: Any) -> PrefixHashes:
    tokens = fields.pop("prompt_token_ids", [])
    request = GenerationRequest("r", tokens, SamplingParams(), prompt=prompt, **fields)
    return prefix_hashes(queue, request)


def common(one: PrefixHashes, other: PrefixHashes) -> int:
    """How many hashes two prompts share."""
    return len({number for number, _ in one} & {number for number, _ in other})


def test_prompts_share_the_hashes_of_their_common_beginning() -> None:
    begin = "x" * 1000
    first, second = hashes(begin + "a" * 500), hashes(begin + "b" * 900)
    assert common(first, second) == 1000 // 128
    assert common(first, hashes("y" + begin)) == 0


def test_a_turn_of_a_chat_has_all_the_hashes_of_the_turns_before() -> None:
    turns = ["hello " * 30, "and then " * 900, "so what " * 2000]
    chats = [hashes("".join(turns[: number + 1])) for number in range(3)]
    for shorter, longer in pairwise(chats):
        assert common(shorter, longer) == len(shorter)


def test_owners_models_and_adapters_share_none() -> None:
    prompt = "x" * 300
    mine = hashes(prompt, owner="a")
    assert len(mine) == 2
    for other in (
        hashes(prompt, owner="b"),
        hashes(prompt, "queue.2", owner="a"),
        hashes(prompt, owner="a", adapters=(("tone", 1.0),)),
    ):
        assert common(mine, other) == 0


def test_tokens_are_hashed_as_text_is() -> None:
    begin = list(range(100))
    one = hashes(prompt_token_ids=[*begin, 1, 2, 3])
    assert common(one, hashes(prompt_token_ids=[*begin, 7, 8])) == 3
    assert common(one, hashes(prompt_token_ids=[5, *begin])) == 0


@given(st.text(max_size=6000))
def test_shares_rise_to_at_most_the_whole(prompt: str) -> None:
    found = hashes(prompt)
    shares = [share for _, share in found]
    assert shares == sorted(set(shares))
    assert all(0 < share <= 1 for share in shares)
    assert bool(found) == (len(prompt.encode(errors="surrogatepass")) >= 128)


def test_a_long_prompt_has_few_hashes() -> None:
    assert len(hashes("x" * 1_000_000)) < 1100
