"""Load a model and let it continue a text."""

from common import models_dir

from llm_manager import LLMManager

# `with` unloads the model at the end and stops the process that it ran in.
with LLMManager(models_dir=models_dir()) as manager:
    name = next(m["id"] for m in manager.list_models() if "chat" in m["capabilities"])
    # -1 puts all layers on the GPU if there is one.
    manager.load_model(name, config={"n_ctx": 2048, "n_gpu_layers": -1})
    print("Model:", name)

    # A prompt is continued as it is. Temperature 0 takes the likeliest token each time.
    answer = manager.generate(
        prompt="The capital of France is", max_tokens=16, temperature=0
    )
    print("Text: ", answer["choices"][0]["text"].strip())

    # Messages are a conversation; the model's own template turns them into a prompt.
    answer = manager.generate(
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=48,
        temperature=0.3,
        seed=1,  # the same seed gives the same answer
    )
    print("Chat: ", answer["choices"][0]["message"]["content"].strip())
    print("Usage:", answer["usage"]["prompt_tokens"], "tokens in,", end=" ")
    print(answer["usage"]["completion_tokens"], "out")
