"""A crash of llama.cpp ends one process, not your program.

This example kills the process of a model, as a crash would.
"""

import psutil
from common import models_dir

from llm_manager import LLMManager
from llm_manager.errors import WorkerCrashed


def workers() -> list[psutil.Process]:
    """Return the processes that this program has started."""
    return psutil.Process().children(recursive=True)


with LLMManager(models_dir=models_dir()) as manager:
    name = next(m["id"] for m in manager.list_models() if "chat" in m["capabilities"])
    manager.load_model(name)
    print("The model runs in process", ", ".join(str(each.pid) for each in workers()))
    with manager.generate(
        prompt="Once upon a time", stream=True, max_tokens=500
    ) as stream:
        try:
            for number, _ in enumerate(stream):
                if number == 3:
                    for each in workers():
                        each.kill()
        except WorkerCrashed as error:
            print("WorkerCrashed:", error)

    # The next call loads the model again.
    answer = manager.generate(prompt="The sky is", max_tokens=8, temperature=0)
    print("After that:", answer["choices"][0]["text"].strip())
print("At the end", len(workers()), "processes are left.")
