"""Whether a model thinks, and how, is known from its chat template."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from inference.api.chat.reasoning import thinking_budget
from inference.engine.sampling.thinking_budget import ThinkingBudget, ThinkingWatch
from inference.output_parsers import ContentDelta, ReasoningDelta
from inference.prompts.chat import Prompt, prompt_render
from inference.prompts.messages import Message

if TYPE_CHECKING:
    from registry.models import Model

FOLDER = Path(__file__).parents[2] / "chat_templates"
TEMPLATES = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted(FOLDER.glob("*.jinja"))
    # It needs variables of its own.
    if path.stem != "fireworks-ai-llama-3-firefunction-v2"
}
#: Those of models that do not think, or whose template does not show it.
OF_NO_THINKERS = {
    "CohereForAI-c4ai-command-r-plus-tool_use",
    "GigaChat3-10B-A1.8B",
    "GigaChat3.1-10B-A1.8B",
    "Kimi-K2-Instruct",
    "LFM2-8B-A1B",
    "MiMo-VL",
    "MiniMax-M1",
    "Mistral-Small-3.2-24B-Instruct-2506",
    "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
    "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen3-Coder",
    "google-gemma-2-2b-it",
    "ibm-granite-granite-4.0",
    "ibm-granite-granite-4.1",
    "meetkai-functionary-medium-v3.1",
    "meetkai-functionary-medium-v3.2",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "microsoft-Phi-3.5-mini-instruct",
    "mistralai-Mistral-Nemo-Instruct-2407",
    "moonshotai-Kimi-K2",
    "unsloth-mistral-Devstral-Small-2507",
}
#: A template without a place for thoughts.
PLAIN = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def rendered(template: str, **options: Any) -> Prompt:
    """Return the prompt of one question."""
    model = SimpleNamespace(
        name="m",
        architecture="",
        output_parser_override="",
        template_in_force=lambda *, is_for_tools: template,
        metadata={"bos_token": "<s>", "eos_token": "</s>"},
    )
    return prompt_render(cast("Model", model), [Message("user", "Hi")], **options)


def read(prompt: Prompt, text: str) -> tuple[str, str]:
    """Return the reasoning and the content of an answer."""
    parser = prompt.output_parser.for_answer(
        {}, starts_in_reasoning=prompt.starts_in_reasoning
    )
    deltas = [*parser.push(text), *parser.finish()]
    reasoning = [delta.text for delta in deltas if isinstance(delta, ReasoningDelta)]
    content = [delta.text for delta in deltas if isinstance(delta, ContentDelta)]
    return "".join(reasoning), "".join(content)


def written(budget: ThinkingBudget, text: str) -> str:
    """Return what a model writes up to the end of its thought; a token a character."""
    watch = ThinkingWatch(budget, lambda closing: [ord(each) for each in closing])
    characters, answer, was_forced = iter(text), "", False
    while not was_forced or watch.forced is not None:
        was_forced = watch.forced is not None
        token = watch.forced if was_forced else ord(next(characters))
        assert token is not None
        watch.accept(chr(token).encode())
        answer += chr(token)
    return answer


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_shows_whether_its_model_thinks(name: str) -> None:
    assert rendered(TEMPLATES[name]).reasons is (name not in OF_NO_THINKERS)


@pytest.mark.parametrize("name", sorted(TEMPLATES.keys() - OF_NO_THINKERS))
def test_a_thinking_budget_ends_the_thoughts_of_each_model(name: str) -> None:
    prompt = rendered(TEMPLATES[name], effort="high")
    budget = thinking_budget(prompt, 5)
    assert budget is not None
    spoken = prompt.output_parser
    opening = "" if prompt.starts_in_reasoning else spoken.reasoning.opening
    lines = "\n" * spoken.reasoning.has_lines
    thought = f"{lines if not opening else ''}A thought that never ends"

    begun = written(budget, opening + thought)
    reasoning, content = read(prompt, f"{begun}{spoken.framing.before_content}Hello.")

    assert thought.strip().startswith(reasoning)
    assert 3 <= len(reasoning) <= 5
    assert content == "Hello."


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("<thought>", "</thought>"),
        ("<reasoning>", "</reasoning>"),
        ("<longcat_think>", "</longcat_think>"),
        ("<think:x>", "</think:x>"),
        ("[REASONING]", "[/REASONING]"),
        ("◁think▷", "◁/think▷"),
        ("<|inner|>", "<|outer|>"),
    ],
)
def test_marks_around_an_earlier_thought_are_marks(begin: str, end: str) -> None:
    shown = f"{begin}\n{{{{ m.reasoning_content }}}}\n{end}\n"
    place = "{{ m.content }}"
    thought = "{% if m.reasoning_content %}" + shown + "{% endif %}"
    prompt = rendered(PLAIN.replace(place, thought + place))
    assert prompt.reasons
    assert read(prompt, f"{begin}\nHm.\n{end}\nHi.") == ("Hm.", "Hi.")
    assert {begin, end} <= set(prompt.output_parser.preserved_tokens)


@pytest.mark.parametrize(
    ("source", "begin", "end"),
    [
        ("{# m.content.split('</thinking>')[-1] #}", "<thinking>", "</thinking>"),
        ("{# Write <reason>…</reason>, then answer. #}", "<reason>", "</reason>"),
        ("{# <|end_of_thought|> #}", "<|begin_of_thought|>", "<|end_of_thought|>"),
        ("{# [unused17] #}", "[unused16]", "[unused17]"),
    ],
)
def test_marks_in_the_source_are_marks(source: str, begin: str, end: str) -> None:
    prompt = rendered(source + PLAIN)
    assert prompt.reasons
    assert read(prompt, f"{begin}Hm.{end}Hi.") == ("Hm.", "Hi.")


@pytest.mark.parametrize(
    "template",
    [
        PLAIN,
        PLAIN.replace("m.content", "(m.reasoning_content or '') + m.content"),
        "{# <thinking_instructions>…</thinking_instructions> #}" + PLAIN,
        "{# </b> and </reasonable> #}" + PLAIN,
    ],
)
def test_other_marks_are_none(template: str) -> None:
    assert not rendered(template).reasons


@pytest.mark.parametrize(
    ("name", "effort", "shown"),
    [
        ("Kimi-K3", "low", "thinking_effort=low"),
        ("Kimi-K3", "medium", "thinking_effort=high"),
        ("Kimi-K3", "minimal", "thinking_effort=low"),
        ("Kimi-K3", "none", "<|open|>response<|sep|>"),
        ("tencent-Hy3", "medium", "reasoning_effort:high"),
        ("tencent-Hy3", "none", "<think:opensource></think:opensource>"),
        ("muse-glimmer", "low", "Reasoning strength: low."),
        ("MiniMax-M3", "none", "disabled"),
    ],
)
def test_an_effort_becomes_the_nearest_that_the_template_takes(
    name: str, effort: str, shown: str
) -> None:
    assert shown in rendered(TEMPLATES[name], effort=effort).text
