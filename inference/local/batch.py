"""Many requests at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from inference.api.preparing.abilities import WRITES
from llm_manager.lib.errors import LLMManagerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inference.local.answers import Answers, Said
    from inference.local.loaded_models import LoadedModels

#: Requests at once for each sequence that the engine runs: none waits for this program.
_PER_SEQUENCE = 2


def bodies(
    requests: Sequence[str | list[dict[str, Any]] | Mapping[str, Any]],
    common: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return each request as a body.

    A text is a prompt, a list a conversation, a mapping the parameters of ``generate``.
    ``common`` are parameters of all that have not their own.
    """
    made: list[dict[str, Any]] = []
    for request in requests:
        if isinstance(request, str):
            own: Mapping[str, Any] = {"prompt": request}
        elif isinstance(request, list):
            own = {"messages": request}
        else:
            own = request
        made.append({**common, **own})
    return made


async def run_batch(
    answers: Answers,
    models: LoadedModels,
    name: str | None,
    requests: Sequence[Mapping[str, Any]],
    *,
    max_parallel: int | None,
    on_done: Callable[[], None],
    return_errors: bool,
) -> list[Said | LLMManagerError]:
    """Return the answers in the order of the requests.

    The first error ends the others, unless errors are returned in their places.
    """
    if not requests:
        return []
    loaded = await models.choose(name, WRITES)
    at_once = max_parallel or _PER_SEQUENCE * loaded.plan.engine.n_seq_max
    gate = asyncio.Semaphore(at_once)

    async def one(body: Mapping[str, Any]) -> Said | LLMManagerError:
        async with gate:
            try:
                return await answers.generate(name or loaded.model.name, body)
            except LLMManagerError as error:
                if return_errors:
                    return error
                raise
            finally:
                on_done()

    tasks = [asyncio.create_task(one(body)) for body in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
