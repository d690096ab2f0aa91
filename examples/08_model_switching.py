"""Change the model, or how it is loaded, without starting again."""

from common import models_dir

from llm_manager import LLMManager

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]

with LLMManager(models_dir=models_dir()) as manager:
    chats = [m["id"] for m in manager.list_models() if "chat" in m["capabilities"]]
    # With a single model, the same one with another context.
    plans = [(name, {"n_ctx": 1024}) for name in chats[:3]]
    if len(plans) == 1:
        plans.append((chats[0], {"n_ctx": 4096, "cache_type_k": "q8_0"}))
    for name, config in plans:
        # The model before it is unloaded first, and its memory is free.
        loaded = manager.switch_model(name, config=config)
        answer = manager.generate(messages=QUESTION, max_tokens=24, temperature=0)
        print(f"{name}, {loaded['context']['in_force']} tokens of context")
        print(" ", answer["choices"][0]["message"]["content"].strip())
        print("  loaded now:", ", ".join(manager.loaded_models))
