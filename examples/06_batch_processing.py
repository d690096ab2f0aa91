"""Process a list: the engine runs as many requests at once as fit."""

import time

from common import models_dir

from llm_manager import LLMManager

REVIEWS = [
    "The food was wonderful.",
    "I waited an hour and left.",
    "Best hotel of my life!",
    "The room was dirty.",
    "It was fine, nothing special.",
    "I want my money back.",
    "We will come again.",
    "Never again.",
]

# Two examples show a small model what is wanted.
PROMPT = """Review: I love this place.
Opinion: good

Review: It was broken and smelled bad.
Opinion: bad

Review: {review}
Opinion:"""

with LLMManager(models_dir=models_dir()) as manager:
    name = next(m["id"] for m in manager.list_models() if "chat" in m["capabilities"])
    manager.load_model(name)
    started = time.perf_counter()
    answers = manager.generate_batch(
        [PROMPT.format(review=review) for review in REVIEWS],
        max_tokens=8,
        temperature=0,
        # A list of choices: the model can write nothing else.
        structured_outputs={"choice": [" good", " bad"]},
        progress=True,
    )
    seconds = time.perf_counter() - started
    for review, answer in zip(REVIEWS, answers, strict=True):
        print(f"{answer['choices'][0]['text'].strip():5} {review}")
    print(f"\n{len(REVIEWS)} reviews in {seconds:.2f} s")
