"""A chat. The model remembers nothing: each request has the whole conversation."""

from common import models_dir

from llm_manager import LLMManager

QUESTIONS = ["My name is Ada. Who are you?", "What is my name?", "Say goodbye to me."]

messages = [{"role": "system", "content": "You are friendly and answer briefly."}]
with LLMManager(models_dir=models_dir()) as manager:
    name = next(m["id"] for m in manager.list_models() if "chat" in m["capabilities"])
    manager.load_model(name)
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        answer = manager.generate(messages=messages, max_tokens=48, temperature=0)
        message = answer["choices"][0]["message"]
        messages.append({"role": "assistant", "content": message["content"]})
        print("You:  ", question)
        print("Model:", message["content"].strip())
        # Only what is new in the conversation was computed; the rest was cached.
        usage = answer["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        print(f"       {usage['prompt_tokens']} tokens, {cached} of them cached\n")
