"""Calls as clients see them, also where models do not keep to the format."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from inference.output_parsers import (
    ContentDelta,
    ToolCallArguments,
    ToolCallBegin,
)
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import TOOLS, Answer, deltas_of, parse


def _hermes(call: str) -> Answer:
    return parse("hermes", f"<tool_call>\n{call}\n</tool_call>")


def test_id_and_name_come_before_the_first_argument() -> None:
    text = 'Hm.<tool_call>{"name": "get", "arguments": {"url": "a"}}</tool_call>'
    content, begin, *rest = deltas_of("hermes", [text])
    assert content == ContentDelta("Hm.")
    assert isinstance(begin, ToolCallBegin)
    assert (begin.index, begin.name) == (0, "get")
    assert rest == [ToolCallArguments(0, '{"url": "a"}')]


def test_arguments_come_while_they_are_written() -> None:
    parser = OUTPUT_PARSERS["hermes"].for_answer(TOOLS)
    (begin,) = parser.push('<tool_call>{"name": "python", "arg')
    assert isinstance(begin, ToolCallBegin)
    parser.push('uments": {"code": "')
    assert parser.push("print") == [ToolCallArguments(0, "print")]
    assert parser.push('(1)"') == [ToolCallArguments(0, '(1)"')]


def test_a_string_between_tags_comes_while_it_is_written() -> None:
    parser = OUTPUT_PARSERS["qwen3_coder"].for_answer(TOOLS)
    parser.push("<tool_call>\n<function=python>\n<parameter=code>\n")
    assert parser.push('print("') == [ToolCallArguments(0, 'print(\\"')]
    assert parser.push("\n") == []
    assert parser.push("é") == [ToolCallArguments(0, "\\né")]


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_of_a_tool_that_is_not_in_the_request_is_content(family: str) -> None:
    framing = OUTPUT_PARSERS[family].framing
    answer = parse(family, framing.write([("nobody", {"url": "abc"})]))
    assert answer.calls == []
    assert "abc" in answer.content


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_without_tools_there_are_no_calls(family: str) -> None:
    text = OUTPUT_PARSERS[family].framing.write([("get", {"url": "abc"})])
    answer = parse(family, text, tools={})
    assert answer.calls == []
    assert "abc" in answer.content


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_that_is_cut_off_keeps_the_arguments_so_far(family: str) -> None:
    text = OUTPUT_PARSERS[family].framing.write([("get", {"url": "abcdef"})])
    answer = parse(family, text[: text.index("def")])
    assert answer.calls == [("get", '{"url": "abc')]
    assert answer.content == ""


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_control_tokens_never_reach_content(family: str) -> None:
    tags = OUTPUT_PARSERS[family].preserved_tokens
    answer = parse(family, " ".join([*tags, "word"] * 2), tools={"now": {}})
    assert "word" in answer.content + answer.reasoning
    assert not re.search(r"<\||<｜|\[[A-Z_]+\]", answer.content)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ('{"name": "now", "arguments": {}}', "{}"),
        ('{"name": "now"}', "{}"),
        ('{"name": "now", "arguments": null}', "{}"),
        ('{"name": "now", "arguments": ""}', "{}"),
        ('{"name": "now", "arguments": "{\\"a\\": \\"b\\"}"}', '{"a": "b"}'),
        ('{"name": "now", "parameters": {"a": 1}}', '{"a": 1}'),
        ('{"id": "7", "type": "function", "name": "now", "arguments": {}}', "{}"),
        ('{"arguments": {"a": 1}, "name": "now", "extra": [1]}', '{"a": 1}'),
        ('[{"name": "now", "arguments": {}}]', "{}"),
        # One brace too many, and one too few.
        ('{"name": "now", "arguments": {"a": {}}}}', '{"a": {}}'),
        ('{"name": "now", "arguments": {"a": {}}', '{"a": {}}'),
        # Not JSON, and put right.
        ('{"name": "now", "arguments": {"a": True}}', '{"a": true}'),
        ('{"name": "now", "arguments": {"a": "x\ny\\d"}}', '{"a": "x\\ny\\\\d"}'),
        ('{"name": "now", "other": {"a": 1}, "arguments": {}}', "{}"),
        # Not JSON: for the tool's caller to see.
        ('{"name": "now", arguments: {}}', "arguments: {}}\n"),
        ('{"name": "now", "other": x, "arguments": {}}', ', "arguments": {}}\n'),
        ('{"name": "now", "arguments": {"a": x, "b": 1}}', '{"a": x, "b": 1}}\n'),
    ],
)
def test_arguments_in_json(call: str, arguments: str) -> None:
    assert _hermes(call) == Answer(calls=[("now", arguments)])


@pytest.mark.parametrize(
    "call",
    [
        "now",
        "{}",
        "[]",
        '{"name": now}',
        '{"name": "nowhere", "arguments": {}}',
        '{"name": 1, "arguments": {}}',
        '{"title": "x", "name": "now"}',
        '{"arguments": {"a": }, "name": "now"}',
    ],
)
def test_text_that_is_no_call_stays_content_with_its_tags(call: str) -> None:
    assert _hermes(call) == Answer(content=f"<tool_call>\n{call}\n</tool_call>")


def test_a_tag_in_prose_does_not_hide_the_call_after_it() -> None:
    text = 'A `<tool_call>` is: <tool_call>{"name": "now"}</tool_call>'
    answer = parse("hermes", text)
    assert answer == Answer("A `<tool_call>` is:", calls=[("now", "{}")])


def test_calls_without_their_closing_tag_are_still_several() -> None:
    text = '<tool_call>{"name": "now"}<tool_call>\n{"name": "get", "arguments": {}}'
    assert parse("hermes", text).calls == [("now", "{}"), ("get", "{}")]


def test_several_calls_between_one_pair_of_tags() -> None:
    text = '{"name": "now"}\n{"name": "get"}, {"name": "nobody"}'
    answer = _hermes(text)
    assert answer.calls == [("now", "{}"), ("get", "{}")]
    assert answer.content.strip() == '{"name": "nobody"}'


@pytest.mark.parametrize(
    ("family", "text", "answer"),
    [
        # No opening tag, as Qwen3-Coder likes it.
        (
            "qwen3_coder",
            "Ok\n<function=get>\n<parameter=url>\na\n</parameter>\n</function>\n"
            "</tool_call>",
            Answer("Ok", calls=[("get", '{"url": "a"}')]),
        ),
        # No closing tags of the values.
        (
            "qwen3_coder",
            "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n"
            "<parameter=days>\n3\n</function>\n</tool_call>",
            Answer(calls=[("get_weather", '{"city": "Paris", "days": 3}')]),
        ),
        # A key that does not end belongs to no argument.
        (
            "qwen3_coder",
            "<tool_call>\n<function=get_weather>\n<parameter=city=Paris</parameter>\n"
            "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
            Answer(
                "<parameter=city=Paris</parameter>\n",
                calls=[("get_weather", '{"days": 3}')],
            ),
        ),
        (
            "qwen3_coder",
            "#include <functional>\nstd::function<function=x>",
            Answer("#include <functional>\nstd::function<function=x>"),
        ),
        ("glm45", "<tool_call>now</tool_call>", Answer(calls=[("now", "{}")])),
        (
            "llama3",
            '[{"name": "now", "parameters": {}}, {"name": "get"}]',
            Answer(calls=[("now", "{}"), ("get", "{}")]),
        ),
        (
            "llama3",
            '<|python_tag|>now.call() then <|python_tag|>nobody.call(x="1")',
            Answer(
                "then", calls=[("now", "{}"), ("python", '{"code": "nobody.call(x=…')]
            ),
        ),
        (
            "plain_json",
            '```\n[\n  {"name": "now"},\n  {"name": "get"}\n]\n```\nDone.',
            Answer("Done.", calls=[("now", "{}"), ("get", "{}")]),
        ),
        (
            "llama3",
            "<|python_tag|>get.call(url='a')",
            Answer(calls=[("get", "{\"url\": 'a')")]),
        ),
        (
            "plain_json",
            '{"name": "now", "arguments": {"a": b}}',
            Answer(calls=[("now", '{"a": b}}')]),
        ),
        (
            "plain_json",
            'Say {"name": "now"}',
            Answer('Say {"name": "now"}'),
        ),
        (
            "mistral",
            '[TOOL_CALLS]now[ARGS]{"a": }[TOOL_CALLS]now[ARGS]{}',
            Answer(calls=[("now", '{"a": }'), ("now", "{}")]),
        ),
        (
            "command_r",
            "Plan.<|START_ACTION|>[]<|END_ACTION|>",
            Answer("Plan.[]"),
        ),
        # Qwen2.5-Coder: no tag, a fence, other tags; and objects that are no calls.
        (
            "hermes",
            '{"name": "get", "arguments": {"url": "a"}}',
            Answer(calls=[("get", '{"url": "a"}')]),
        ),
        (
            "hermes",
            'Ok:\n```json\n{"name": "get", "arguments": {"url": "a"}}\n```\nDone.',
            Answer("Ok:\nDone.", calls=[("get", '{"url": "a"}')]),
        ),
        (
            "hermes",
            '```\n[{"name": "get", "arguments": {}},\n'
            ' {"name": "now", "arguments": {}}]\n```',
            Answer(calls=[("get", "{}"), ("now", "{}")]),
        ),
        (
            "hermes",
            '```xml\n<tool_call>\n{"name": "get", "arguments": {}}\n</tool_call>\n```',
            Answer(calls=[("get", "{}")]),
        ),
        (
            "hermes",
            '```json\n{"name": "get", "arguments": {}}\n```\n\n'
            '```JSON\n{"name": "now", "arguments": {}}\n```\nDone.',
            Answer("Done.", calls=[("get", "{}"), ("now", "{}")]),
        ),
        (
            "hermes",
            '{"name": "get", "arguments": {}}\n</tool_call>\n'
            '{"name": "now", "arguments": {}}\n</tool_call>',
            Answer(calls=[("get", "{}"), ("now", "{}")]),
        ),
        (
            "hermes",
            '<tools>\n{"name": "get", "arguments": {"url": "a"}}\n</tools>',
            Answer(calls=[("get", '{"url": "a"}')]),
        ),
        (
            "hermes",
            '{"arguments": {"url": "a"}, "name": "get"}\n{"name": "now", '
            '"parameters": {}}',
            Answer(calls=[("get", '{"url": "a"}'), ("now", "{}")]),
        ),
        ("hermes", '{"name": "python"}', Answer('{"name": "python"}')),
        (
            "hermes",
            '```json\n{"name": "python", "since": 1991, "arguments": {}}\n```',
            Answer('```json\n{"name": "python", "since": 1991, "arguments": {}}\n```'),
        ),
        (
            "plain_json",
            '{"name": "now"}\n{"title": "x"}',
            Answer('{"title": "x"}', calls=[("now", "{}")]),
        ),
        (
            "kimi_k2",
            "<|tool_call_begin|> now <|tool_call_argument_begin|> {} <|tool_call_end|>",
            Answer(calls=[("now", "{}")]),
        ),
        ("functionary_v32", "Hello", Answer("Hello")),
        (
            "functionary_v32",
            ">>>all\nHello>>>now\n{}",
            Answer("Hello", calls=[("now", "{}")]),
        ),
        # Channels repeated, messages without an end, other people's tools.
        (
            "harmony",
            "<|channel|>commentary<|channel|>analysis<|message|>a<|end|><|start|>"
            "assistant<|channel|>analysis to=browser.open code<|message|>b<|start|>"
            "assistant<|channel|>final <|constrain|>json<|message|>{}",
            Answer("{}", reasoning="a\nb"),
        ),
        (
            "harmony",
            "<|channel|>commentary to=nobody<|message|>a<|call|>",
            Answer("a"),
        ),
        # Cut off in a header, and no header at all.
        ("harmony", "<|channel|>commentary to=functions.n", Answer()),
        ("harmony", "Hello, to=you <|end|>!", Answer("Hello, to=you !")),
    ],
)
def test_habits_of_models(family: str, text: str, answer: Answer) -> None:
    got = parse(family, text)
    assert (got.content, got.reasoning) == (answer.content, answer.reasoning)
    assert len(got.calls) == len(answer.calls)
    for (name, arguments), (expected_name, expected) in zip(
        got.calls, answer.calls, strict=True
    ):
        assert name == expected_name
        assert arguments.startswith(expected.rstrip("…"))


def test_content_after_a_call_starts_on_a_new_line() -> None:
    text = 'A.\n\n<tool_call>{"name": "now"}</tool_call>\n\n B. \n'
    assert parse("hermes", text).content == "A.\nB. \n"


def test_white_space_around_calls_is_no_content() -> None:
    text = '\n\n<tool_call>{"name": "now"}</tool_call>\n<tool_call>{"name": "now"}'
    assert deltas_of("hermes", [text + "\n"])[0] != ContentDelta("\n\n")
    assert parse("hermes", text + "\n").content == ""


def test_no_more_calls_than_allowed() -> None:
    call = '<tool_call>{"name": "get", "arguments": {"url": "a"}}</tool_call>'
    parser = OUTPUT_PARSERS["hermes"].for_answer(TOOLS, max_calls=1)
    parser.push("Hm. " + call[:-14])
    assert not parser.is_full
    parser.push(call[-14:])
    assert parser.is_full
    assert parser.push(f"More. {call}") == []
    assert parser.finish() == []


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_the_last_allowed_call_is_known_to_be_the_last_at_its_end(family: str) -> None:
    parser = OUTPUT_PARSERS[family].for_answer(TOOLS, max_calls=1)
    parser.push(OUTPUT_PARSERS[family].framing.write([("get", {"url": "a"})]))
    assert parser.is_full


def test_nothing_can_be_pushed_after_the_end() -> None:
    parser = OUTPUT_PARSERS["hermes"].for_answer({})
    parser.finish()
    with pytest.raises(ValueError, match="ended"):
        parser.push("more")


def _ids(family: str, text: str) -> list[str]:
    deltas = deltas_of(family, [text])
    return [delta.id for delta in deltas if isinstance(delta, ToolCallBegin)]


def test_ids_have_the_form_of_openai_and_differ() -> None:
    text = '<tool_call>{"name": "now"}</tool_call>' * 2
    first, second = _ids("hermes", text)
    assert re.fullmatch(r"call_[0-9a-zA-Z]{24}", first)
    assert re.fullmatch(r"call_[0-9a-zA-Z]{24}", second)
    assert first != second


def test_mistral_has_ids_that_its_templates_take() -> None:
    text = (
        "[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]now[CALL_ID]abcDEF123[ARGS]{}"
        "[TOOL_CALLS]now[CALL_ID]short[ARGS]{}"
    )
    first, second, third = _ids("mistral_v11", text)
    assert second == "abcDEF123"
    assert re.fullmatch(r"[0-9a-zA-Z]{9}", first)
    assert re.fullmatch(r"[0-9a-zA-Z]{9}", third)


def test_kimi_keeps_the_ids_that_it_counts_on_from() -> None:
    begin, arguments = "<|tool_call_begin|>", "<|tool_call_argument_begin|>{}"
    text = f"{begin}functions.now:7{arguments}{begin}get{arguments}"
    assert _ids("kimi_k2", text) == ["functions.now:7", "functions.get:1"]


@pytest.mark.parametrize(
    ("written", "name", "call_id"),
    [
        ("functions_get_weather_2", "get_weather", "functions_get_weather_2"),
        ("functions_tool_2_0", "tool_2", "functions_tool_2_0"),
        ("functions_tool_2", "tool_2", "functions.tool_2:0"),
        ("functions.tool_2:1", "tool_2", "functions.tool_2:1"),
        ("get_weather:3", "get_weather", "functions.get_weather:3"),
        ("get_weather", "get_weather", "functions.get_weather:0"),
    ],
)
def test_kimi_writes_ids_in_several_forms(
    written: str, name: str, call_id: str
) -> None:
    call = f"<|tool_call_begin|>{written}<|tool_call_argument_begin|>{{}}"
    tools: dict[str, dict[str, Any]] = {"get_weather": {}, "tool_2": {}}
    (begin, _) = deltas_of("kimi_k2", [call], tools=tools)
    assert begin == ToolCallBegin(0, call_id, name)


def test_calls_with_one_id_get_several() -> None:
    begin, arguments = "<|tool_call_begin|>", "<|tool_call_argument_begin|>{}"
    text = f"{begin}functions.now:0{arguments}{begin}functions.now:0{arguments}"
    assert _ids("kimi_k2", text) == ["functions.now:0", "functions.now:1"]


def test_everything_a_call_says_survives_a_request_with_many_tools() -> None:
    tools: dict[str, dict[str, Any]] = {f"tool_{i}": {} for i in range(128)}
    framing = OUTPUT_PARSERS["functionary_v32"].framing
    calls = [("tool_12", {"a": 1}), ("tool_1", {"b": 2}), ("tool_127", {})]
    answer = parse("functionary_v32", framing.write(calls), tools=tools)
    assert [(name, json.loads(text)) for name, text in answer.calls] == calls
