"""Wrong keys are checked one after another; right ones wait for none of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from accounts.errors import InvalidApiKey, TooManyUnknownKeys
from accounts.keys.unknown_keys import MAX_WAITING, UnknownKeys

_PAUSE_S = 0.05


async def check(keys: UnknownKeys, text: str, address: str, *, is_right: bool) -> bool:
    """Check a key; return whether it was let in."""
    try:
        async with keys.checking(text, address):
            if not is_right:
                raise InvalidApiKey
    except InvalidApiKey:
        return False
    return True


async def test_wrong_keys_of_an_address_take_turns() -> None:
    keys = UnknownKeys(wrong_key_s=_PAUSE_S)
    started = time.monotonic()

    await asyncio.gather(
        *(check(keys, f"wrong {n}", "a", is_right=False) for n in range(5))
    )

    assert time.monotonic() - started >= 5 * _PAUSE_S


async def test_a_known_key_and_another_address_wait_for_no_wrong_key() -> None:
    keys = UnknownKeys(wrong_key_s=60)
    assert await check(keys, "right", "a", is_right=True)
    wrong = asyncio.create_task(check(keys, "wrong", "a", is_right=False))
    await asyncio.sleep(0)

    async with asyncio.timeout(5):
        assert await check(keys, "right", "a", is_right=True)
        assert await check(keys, "also right", "b", is_right=True)

    wrong.cancel()


async def test_a_new_key_waits_for_its_turn_and_is_known_then() -> None:
    keys = UnknownKeys(wrong_key_s=_PAUSE_S)
    wrong = [
        asyncio.create_task(check(keys, f"wrong {n}", "a", is_right=False))
        for n in range(3)
    ]
    await asyncio.sleep(0)
    started = time.monotonic()

    assert await check(keys, "right", "a", is_right=True)

    assert time.monotonic() - started >= _PAUSE_S
    await asyncio.gather(*wrong)


async def test_a_long_line_of_unknown_keys_is_refused() -> None:
    keys = UnknownKeys(wrong_key_s=60)
    waiting = [
        asyncio.create_task(check(keys, f"wrong {n}", "a", is_right=False))
        for n in range(MAX_WAITING)
    ]
    await asyncio.sleep(0)

    with pytest.raises(TooManyUnknownKeys):
        await check(keys, "one more", "a", is_right=True)
    assert await check(keys, "one more", "b", is_right=True)

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await check(keys, "one more", "a", is_right=True)
