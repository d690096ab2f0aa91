"""The same question to every model in the folder: speed, length and answer."""

import time

from common import models_dir
from rich.console import Console
from rich.table import Table

from llm_manager import LLMManager

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
KV_TYPES = ["f16", "q8_0"]  # how the cache is stored: q8_0 takes half the memory

table = Table(
    "Model", "KV cache", "Load", "Tokens/s", "Answer", title=QUESTION[0]["content"]
)
with LLMManager(models_dir=models_dir()) as manager:
    chats = [m["id"] for m in manager.list_models() if "chat" in m["capabilities"]]
    for name in chats[:4]:
        for kv_type in KV_TYPES:
            started = time.perf_counter()
            config = {"n_ctx": 1024, "cache_type_k": kv_type, "cache_type_v": kv_type}
            manager.switch_model(name, config=config)
            load = time.perf_counter() - started
            started = time.perf_counter()
            answer = manager.generate(messages=QUESTION, max_tokens=24, temperature=0)
            seconds = time.perf_counter() - started
            speed = answer["usage"]["completion_tokens"] / seconds
            text = answer["choices"][0]["message"]["content"].strip()
            table.add_row(name, kv_type, f"{load:.1f} s", f"{speed:.0f}", text)
Console().print(table)
