"""Chat templates: what they make of a conversation, and what they cannot do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from inference.prompts import chat
from inference.prompts.chat import NoChatTemplate, prompt_render
from inference.prompts.messages import Message
from inference.prompts.rendering.errors import ChatTemplateError
from inference.prompts.template import ChatTemplate
from registry.models import Model

HELLO = (Message("user", "Hello"),)


def render(source: str, *messages: Message, max_chars: int = 100_000) -> str:
    """Render a template with BOS <s> and EOS </s>."""
    variables = {"bos_token": "<s>", "eos_token": "</s>"}
    return ChatTemplate(source).render(
        messages or HELLO, variables, max_chars=max_chars
    )


def failure(source: str, *messages: Message) -> str:
    """Return the message with which a template fails."""
    with pytest.raises(ChatTemplateError) as caught:
        render(source, *messages)
    assert (caught.value.code, caught.value.param) == (
        "chat_template_error",
        "messages",
    )
    return caught.value.message


def test_blocks_leave_no_blank_lines_behind() -> None:
    source = """{% for message in messages %}
    {% if message.role == 'user' %}
[{{ message.content }}]
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}>{% endif %}"""

    assert render(source, *HELLO, Message("user", "Bye")) == "[Hello]\n[Bye]\n>"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
        ("{{ messages[0]['content'] | trim | upper }}", "HELLO"),
        ("{{ messages | map(attribute='role') | join('+') }}", "user"),
        (
            "{{ [2, 1] * 2 }}{{ 2 * [1] }}{{ 2 * 'a' }}{{ 1.5 * 2 }}",
            "[2, 1, 2, 1][1, 1]aa3.0",
        ),
        ("{{ messages | join(',', attribute='role') }}", "user"),
        ("{{ ['a', 'b'] | join }}{{ 'a-b' | replace('-', '+') }}", "aba+b"),
        ("{{ '%s=%d' | format('a', 3) }}{{ '{}!'.format('b') }}", "a=3b!"),
        ("{{ '{a}'.format_map({'a': 1}) }}{{ 'x' ~ 1 ~ none }}", "1x1None"),
        ("{{ 'a\nb' | indent(2) }}{{ 'c' | indent('>', true) }}", "a\n  b>c"),
        ("{{ {'é': [1]} | tojson }}", '{"é": [1]}'),
        ("{{ [1] | tojson(indent=1) }}{{ 'é' | tojson(ensure_ascii=true) }}", None),
        (
            "{% for i in [0, 1] %}{% if i %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "0",
        ),
        ("{% generation %}a{% endgeneration %}b", "ab"),
        ("{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "1"),
        (
            "{% for m in messages %}{{ loop.length }}{{ loop.last }}{% endfor %}",
            "1True",
        ),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f('a') }}", "<a>"),
        ("{{ 'a' if tools is none else 'b' }}{{ documents is defined }}", "aTrue"),
        ("{% for x in nothing %}{{ x }}{% endfor %}{{ messages | length }}", "1"),
        ("{{ 'ab' * 2 + 'c' }}{{ [1] + [2] }}{{ 7 % 4 }}{{ 2 ** 3 }}", "ababc[1, 2]38"),
        ("{{ messages[0].content.split('l')[-1] }}{{ ','.join(['a', 'b']) }}", "oa,b"),
        ("{{ messages | string | length > 5 }}", "True"),
        ("{% set l = [1] %}{% set _ = l.append(2) %}{{ l.pop(0) }}{{ l }}", "1[2]"),
        ("{% set n = namespace(l=[]) %}{{ n.l.append('a') }}{{ n.l }}", "None['a']"),
    ],
)
def test_a_template_can_do_what_templates_do(source: str, text: str | None) -> None:
    assert render(source) == (text or '[\n 1\n]"\\u00e9"')


def test_today_is_known() -> None:
    today = datetime.now(UTC).astimezone()

    assert render("{{ strftime_now('%Y') }}") == str(today.year)


def test_a_template_that_raises_is_quoted() -> None:
    message = failure("{{ raise_exception('System role not supported') }}")

    assert message == (
        "The model's chat template rejected the messages: System role not supported"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for x in %}", "line 1"),
        ("{{ nothing.attribute }}", "'nothing' is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% include 'x' %}", "no loader"),
        ("{{ 1 | nosuchfilter }}", "nosuchfilter"),
        ("", "empty prompt"),
    ],
)
def test_a_broken_template_says_what_is_broken(source: str, reason: str) -> None:
    with pytest.raises(ChatTemplateError) as caught:
        prompt_render(Model(name="m", chat_template=source or "{# #}"), HELLO)

    assert reason in caught.value.message


def test_a_template_that_is_too_large_is_refused() -> None:
    assert "too long" in failure("x" * 300_000)
    assert "compiled" in failure("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}")


def test_a_model_without_a_template_is_refused_with_a_way_out() -> None:
    with pytest.raises(NoChatTemplate) as caught:
        prompt_render(Model(name="base"), HELLO)

    assert caught.value.code == "no_chat_template"
    assert "/v1/completions" in caught.value.message


def test_bos_is_known_to_be_there_only_if_it_comes_first() -> None:
    def has_bos(source: str, metadata: dict[str, Any]) -> bool:
        model = Model(name="m", chat_template=source, metadata=metadata)
        return prompt_render(model, HELLO).has_bos

    bos = {"bos_token": "<s>"}
    assert has_bos("{{ bos_token }}x", bos)
    assert not has_bos("x{{ bos_token }}", bos)
    assert not has_bos("{{ bos_token }}x", {})
    assert not has_bos("{{ bos_token }}x", {"bos_token": 7})


def test_content_is_text_or_parts_as_the_template_reads_it() -> None:
    parts = (
        "{% for m in messages %}{% for part in m.content %}"
        "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    both = "{% if messages[0].content is string %}s{% else %}p{% endif %}"

    assert render(parts) == "Hello"
    assert render("{{ messages[0].content }}") == "Hello"
    assert render(both + "{{ messages[0].content }}") == "sHello"


def test_a_developer_is_the_system_unless_the_template_knows_better() -> None:
    messages = (Message("developer", "Be kind."), *HELLO)
    source = "{% for m in messages %}[{{ m.role }} {{ m.content }}]{% endfor %}"
    knows = source + "{# developer #}"

    def prompt(source: str) -> str:
        return prompt_render(Model(name="m", chat_template=source), messages).text

    assert prompt(source) == "[system Be kind.][user Hello]"
    assert prompt(knows) == "[developer Be kind.][user Hello]"


def test_tool_calls_and_names_are_passed_on() -> None:
    def call(arguments: str) -> dict[str, object]:
        return {
            "id": "1",
            "type": "function",
            "function": {"name": "f", "arguments": arguments},
        }

    source = (
        "{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls %}"
        "{{ c.function.arguments | tojson }}{% endfor %}{{ m.name }}"
        "{{ m.tool_call_id }}{% endfor %}"
    )
    calls = tuple(call(text) for text in ('{"a": 1}', "[1]", "not json", "[" * 10_000))
    said = Message("assistant", None, tool_calls=calls[:3])
    done = Message("tool", "ok", name="f", tool_call_id="1")

    assert render(source, said, done) == '{"a": 1}"[1]""not json"okf1'
    assert render("x", Message("assistant", None, tool_calls=calls)) == "x"


def test_sizes_are_in_bytes_of_all_that_a_message_adds() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    assert Message("assistant", "é", name="n", tool_calls=(call,)).size_bytes == 6


# What a template cannot do -------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__name__ }}",
        "{{ (lambda: 1)() }}",
        "{{ messages.append(1) }}",
        "{{ messages.pop() }}",
        "{{ [1].extend(messages) }}",
        "{{ messages[0].update({'a': 1}) }}",
        "{{ ''['__class__'].__name__ }}",
        "{{ '{0.__class__.__name__}'.format('') }}",
        "{{ ('' | attr('__class__')).__name__ }}",
        "{{ range.__globals__.x }}",
        "{{ self.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.x }}",
        "{% set x = cycler.__init__ %}{{ x.y }}",
    ],
)
def test_pythons_internals_are_out_of_reach(source: str) -> None:
    failure(source)


def grow(statement: str, output: str) -> str:
    """Return a template that does something sixty times over."""
    return (
        "{% set ns = namespace(s='aaaa', l=[1], n=2) %}"
        f"{{% for i in range(60) %}}{{% {statement} %}}{{% endfor %}}"
        f"{{{{ {output} }}}}"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% for i in range(100000000) %}{% endfor %}",
        "{% for i in range(0, 9999999, 2) %}{% endfor %}",
        "{% for i in range(-9000, 9000) %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}"
        "{{ f(50) }}",
        "{{ 'a' * 10000000000 }}",
        "{{ 10000000000 * 'a' }}",
        "{{ [1] * 10000000000 }}",
        grow("set ns.s = ns.s ~ ns.s", "1"),
        grow("set ns.s = ns.s + ns.s", "1"),
        grow("set ns.s %}{{ ns.s }}{{ ns.s }}{% endset", "1"),
        grow("set ns.s = ns.s.replace('a', 'aaaa')", "1"),
        grow("set ns.s = ns.s | replace('a', 'aaaa')", "1"),
        grow("set ns.s = ns.s.join([ns.s, ns.s, ns.s])", "1"),
        grow("set ns.s = [ns.s, ns.s] | join(ns.s)", "1"),
        grow("set ns.s = '{}{}'.format(ns.s, ns.s)", "1"),
        grow("set ns.s = '%s%s' % (ns.s, ns.s)", "1"),
        grow("set ns.s = '%s%s' | format(ns.s, ns.s)", "1"),
        grow("set ns.l = ns.l + ns.l", "1"),
        grow("set ns.l = [ns.l, ns.l]", "ns.l"),
        grow("set ns.l = [ns.l, ns.l]", "ns.l | tojson"),
        grow("set ns.l = {'a': ns.l, 'b': ns.l}", "ns.l ~ ''"),
        grow("set ns.n = ns.n * ns.n", "1"),
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ '\t'.expandtabs(1000000000) }}",
        "{{ 'a'.translate({97: 'aaaa'}) }}",
        "{{ '%1000000000d' % 3 }}",
        "{{ '%*d' % (1000000000, 3) }}",
        "{{ '{:1000000000}'.format(3) }}",
        "{{ '%1000000000d' | format(3) }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ [1] | tojson(indent=10000) }}",
        "{{ strftime_now('%9999Y') }}",
        "{% for i in range(9999) %}xxxxxxxxxxxxxxxxxxxx{% endfor %}",
    ],
)
def test_a_greedy_template_is_stopped_by_what_it_does_and_not_by_the_clock(
    source: str,
) -> None:
    message = failure(source)

    assert "an error in line" not in message
    assert "of the processor" not in message


def test_a_long_conversation_is_no_greedy_template() -> None:
    source = (
        "{% for m in messages %}{% set text = m.content | trim %}"
        "{{ '<|' ~ m.role ~ '|>' + text.replace('x', 'y').split('z')[0] }}{% endfor %}"
    )
    messages = [Message("user", "x" * 10_000) for _ in range(100)]
    model = Model(name="m", chat_template=source)

    assert len(prompt_render(model, messages).text) == 100 * 10_008


def test_a_template_is_compiled_once() -> None:
    model = Model(name="m", chat_template="once {{ messages | length }}")
    prompt_render(model, HELLO)
    hits = chat.compiled.cache_info().hits

    prompt_render(model, HELLO)

    assert chat.compiled.cache_info().hits == hits + 1
