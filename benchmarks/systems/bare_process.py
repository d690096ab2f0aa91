"""The process of the system ``bare``: an engine that reads and writes JSON lines."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.engine import Add, Cancel, EngineConfig, EngineRunner, SamplingParams
from inference.engine.config.cpu_threads import unbound
from inference.engine.request import GenerationRequest
from inference.prompts.messages import Message
from inference.prompts.template import ChatTemplate
from registry.gguf.header import parse_header

if TYPE_CHECKING:
    from inference.engine import SequenceOutput
    from inference.engine.backend import Backend, Tokenizer

_MAX_PROMPT_CHARS = 1024 * 1024


def main() -> None:
    """Run the engine until stdin ends."""
    config = EngineConfig(**json.loads(sys.argv[1]))
    with unbound():
        from inference.engine.llama import LlamaBackend
    loaded = threading.Event()
    backends: list[Backend] = []

    def on_ready(backend: Backend) -> None:
        backends.append(backend)
        loaded.set()

    def on_failed(error: BaseException) -> None:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)

    runner = EngineRunner(
        lambda: LlamaBackend(config),
        on_ready=on_ready,
        on_outputs=_tell,
        on_failed=on_failed,
    )
    runner.start()
    loaded.wait()
    prompts = Prompts(Path(config.paths[0]), backends[0].tokenizer)
    print("ready", flush=True)
    for line in sys.stdin:
        runner.send(_command(json.loads(line), prompts))
    runner.stop()


class Prompts:
    """Makes prompts of messages, as web process and worker do."""

    def __init__(self, file: Path, tokenizer: Tokenizer) -> None:
        with file.open("rb") as stream:
            header = parse_header(stream, file.stat().st_size)
        self._template = ChatTemplate(header.text("tokenizer.chat_template"))
        self._tokenizer = tokenizer

    def tokens(self, messages: list[list[str]]) -> list[int]:
        """Return the tokens of (role, content) pairs."""
        text = self._template.render(
            [Message(role, content) for role, content in messages],
            {"bos_token": "", "eos_token": ""},
            max_chars=_MAX_PROMPT_CHARS,
        )
        return self._tokenizer.tokenize(text, special=True)


def _command(said: dict[str, Any], prompts: Prompts) -> Add | Cancel:
    if "cancel" in said:
        return Cancel((said["id"],))
    return Add(
        GenerationRequest(
            request_id=said["id"],
            prompt_token_ids=prompts.tokens(said["messages"]),
            params=SamplingParams(
                max_tokens=said["max_tokens"],
                logit_bias=tuple((token, -100.0) for token in said["banned"]),
                **said["sampling"],
            ),
            owner=said["key"],
            key=said["key"],
        )
    )


def _tell(outputs: list[SequenceOutput]) -> None:
    """Format the output of a step: (id, text, end) of each of its sequences."""
    said = [(o.request_id, o.text, _end(o)) for o in outputs if o.tokens or _end(o)]
    if said:
        print(json.dumps(said), flush=True)


def _end(output: SequenceOutput) -> dict[str, Any] | None:
    if output.finish_reason is None:
        return None
    return {
        "finish_reason": output.finish_reason.value,
        "completion_tokens": output.num_output,
        "prompt_tokens": output.num_prompt,
        "cached_tokens": output.num_cached,
    }


if __name__ == "__main__":
    main()
