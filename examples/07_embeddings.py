"""Find the text that fits a question, by the angle between vectors.

Needs an embedding model in the models directory, such as all-MiniLM-L6-v2.Q8_0.gguf.
"""

from common import models_dir, skip

from llm_manager import LLMManager

TEXTS = [
    "The cat sleeps on the sofa.",
    "Bread is made of flour, water and yeast.",
    "The train to Berlin leaves at noon.",
]
QUESTION = "How do I bake?"

with LLMManager(models_dir=models_dir()) as manager:
    models = [
        m["id"] for m in manager.list_models() if "embedding" in m["capabilities"]
    ]
    if not models:
        skip(f"There is no embedding model in {models_dir()}.")
    manager.load_model(models[0])
    answer = manager.embed([QUESTION, *TEXTS])
    question, *texts = (each["embedding"] for each in answer["data"])
    print(f"{models[0]}: vectors of {len(question)} numbers\n\n{QUESTION}")
    # Vectors have length 1, so their product is the cosine of the angle.
    scores = [sum(a * b for a, b in zip(question, text, strict=True)) for text in texts]
    # The text that fits best stands last.
    for score, text in sorted(zip(scores, TEXTS, strict=True)):
        print(f"  {score:5.2f}  {text}")
