"""A batch that this program answers itself, with its own engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.lib.errors import INVALID

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.api.batches.lines import BatchLine
    from llm_manager import LLMManager
    from llm_manager.command_line.batching.lines import BatchInput, BatchOutput

#: What the Python API has.
_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


def run(
    source: BatchInput,
    output: BatchOutput,
    on_done: Callable[[], None],
) -> None:
    """Answer the lines without an answer. Raises CommandFailed."""
    if source.endpoint not in _ENDPOINTS:
        raise CommandFailed(
            f"{source.endpoint} needs a running server: this program answers "
            f"{', '.join(_ENDPOINTS)}.",
            ExitStatus.WRONG_USAGE,
        )
    from llm_manager import LLMManager, LLMManagerError
    from llm_manager.config.reading import load_config
    from llm_manager.errors import ModelNotFound

    config = load_config()
    try:
        with LLMManager(config=config) as manager:
            for name in sorted(source.models):
                manager.model_info(name)
            asyncio.run(
                _run(manager, source, output, on_done, config.batches.in_flight)
            )
    except ModelNotFound as error:
        raise CommandFailed(str(error), ExitStatus.NOT_FOUND) from None
    except LLMManagerError as error:
        raise CommandFailed(str(error)) from None


async def _run(
    manager: LLMManager,
    source: BatchInput,
    output: BatchOutput,
    on_done: Callable[[], None],
    at_once: int,
) -> None:
    left = source.lines(set(output.answered))

    async def work() -> None:
        for line, _ in left:
            output.add(await _result(manager, source.endpoint, line))
            on_done()

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(work())


async def _result(
    manager: LLMManager, endpoint: str, line: BatchLine
) -> dict[str, Any]:
    """Return the result of a line, in the words of /v1/batches."""
    from llm_manager import LLMManagerError

    status = 200
    try:
        body: Any = await _answer(manager, endpoint, line.body)
    except LLMManagerError as error:
        status = 400 if error.type == INVALID else 500
        body = {
            "error": {
                "message": str(error),
                "type": error.type,
                "param": getattr(error, "param", None),
                "code": getattr(error, "code", None),
            }
        }
    response = {"status_code": status, "request_id": "", "body": body}
    return {
        "id": f"batch_req_{line.number}",
        "custom_id": line.custom_id,
        "response": response,
        "error": None,
    }


async def _answer(manager: LLMManager, endpoint: str, body: dict[str, Any]) -> Any:
    parameters = {name: value for name, value in body.items() if name != "stream"}
    is_embedding = endpoint == "/v1/embeddings"
    if is_embedding and "input" not in parameters:
        from inference.api.errors import BadRequest

        raise BadRequest(
            "Missing required parameter: 'input'.",
            param="input",
            code="missing_required_parameter",
        )
    if is_embedding:
        return await manager.embed_async(**parameters)
    return await manager.generate_async(**parameters)
