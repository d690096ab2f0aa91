"""Talk to the server with OpenAI's own package: only base URL and key are changed.

Needs `pip install openai`.
"""

from common import server
from openai import OpenAI

with server() as (base_url, api_key):
    client = OpenAI(base_url=base_url, api_key=api_key)
    models = list(client.models.list())
    print("Models at", base_url)
    for each in models:
        print(" ", each.id, *each.capabilities)

    model = next(each.id for each in models if "chat" in each.capabilities)
    response = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        max_tokens=32,
    )
    print("\nAnswer:", response.choices[0].message.content)

    print("\nStream: ", end="")
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Count from one to five."}],
        temperature=0,
        max_tokens=32,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        elif chunk.usage:
            print("\nTokens:", chunk.usage.total_tokens)
