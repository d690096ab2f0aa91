"""Twelve requests at once over HTTP: the server batches them.

Needs `pip install openai`.
"""

import asyncio
import time

from common import server
from openai import AsyncOpenAI

REQUESTS = 12


async def ask(client: AsyncOpenAI, model: str, number: int) -> float:
    """Send a request; return its seconds."""
    started = time.perf_counter()
    await client.chat.completions.create(
        model=model,
        messages=[
            {"role": "user", "content": f"Write a line about the number {number}."}
        ],
        max_tokens=32,
        temperature=0,
    )
    return time.perf_counter() - started


async def main(base_url: str, api_key: str) -> None:
    # OpenAI's package repeats a request by itself that gets 429 or 503.
    async with AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
        models = [each async for each in client.models.list()]
        model = next(each.id for each in models if "chat" in each.capabilities)
        await ask(client, model, 0)  # the first one also loads the model
        alone = await ask(client, model, 1)
        started = time.perf_counter()
        took = await asyncio.gather(*(ask(client, model, n) for n in range(REQUESTS)))
        seconds = time.perf_counter() - started
    print(f"One request alone:        {alone:.2f} s")
    print(f"{REQUESTS} at once, slowest:     {max(took):.2f} s, all in {seconds:.2f} s")
    print(f"One after the other were: {alone * REQUESTS:.2f} s")


with server() as (base_url, api_key):
    asyncio.run(main(base_url, api_key))
