"""Print an answer while it is written, and stop it when there is enough of it."""

import time

from common import models_dir

from llm_manager import LLMManager

ENOUGH = 200  # characters

with LLMManager(models_dir=models_dir()) as manager:
    name = next(m["id"] for m in manager.list_models() if "chat" in m["capabilities"])
    manager.load_model(name)
    started = time.perf_counter()
    first = None
    text = ""
    # Leaving the `with` ends the answer and frees its place.
    with manager.generate(
        messages=[{"role": "user", "content": "Tell me a long story about a fox."}],
        stream=True,
        max_tokens=1000,
        temperature=0,
    ) as stream:
        for chunk in stream:
            piece = chunk["choices"][0]["delta"].get("content") or ""
            first = first or (piece and time.perf_counter())
            text += piece
            print(piece, end="", flush=True)
            if len(text) > ENOUGH:
                break
    seconds = time.perf_counter() - started
    print(f"\n\nFirst text after {(first or 0) - started:.2f} s, ", end="")
    print(f"stopped after {seconds:.2f} s.")
