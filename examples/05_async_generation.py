"""asyncio: many coroutines share one batch of the engine."""

import asyncio
import time

from common import models_dir

from llm_manager import LLMManager

TOPICS = ["the sea", "bread", "a clock", "the moon"]


async def main() -> None:
    async with LLMManager(models_dir=models_dir()) as manager:
        models = await manager.list_models_async()
        await manager.load_model_async(
            next(m["id"] for m in models if "chat" in m["capabilities"])
        )

        async def ask(topic: str) -> str:
            answer = await manager.generate_async(
                messages=[{"role": "user", "content": f"One sentence about {topic}."}],
                max_tokens=32,
                temperature=0,
            )
            return answer["choices"][0]["message"]["content"].strip()

        started = time.perf_counter()
        for topic in TOPICS:
            await ask(topic)
        one_by_one = time.perf_counter() - started

        started = time.perf_counter()
        answers = await asyncio.gather(*(ask(topic) for topic in TOPICS))
        together = time.perf_counter() - started

        for topic, answer in zip(TOPICS, answers, strict=True):
            print(f"{topic:8} {answer}")
        print(f"\nOne by one {one_by_one:.2f} s, together {together:.2f} s.")


asyncio.run(main())
