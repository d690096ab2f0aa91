"""Lines of batches, one by one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from inference.api.batches.lines import parse_line
from inference.api.body.parsing_pool import MIN_BYTES, parsing_pool

URL = "/v1/chat/completions"


def test_a_long_line_and_live_bodies_do_not_wait_for_each_other() -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * MIN_BYTES}]}
    line = {"custom_id": "a", "method": "POST", "url": URL, "body": body}
    text = json.dumps(line).encode()
    both = Barrier(3, timeout=60)

    def hold(value: Any) -> Any:
        both.wait()
        both.wait()
        return value

    bodies = [
        parsing_pool().parse(text, hold, client=name, limit=len(text)) for name in "ab"
    ]
    # Both helpers of bodies are busy.
    both.wait()
    with ThreadPoolExecutor(1) as threads:
        parsed = threads.submit(parse_line, 1, text, URL, max_bytes=len(text))
        assert parsed.result(60).body == body
    both.wait()
    assert [each.result(60) for each in bodies] == [line, line]
