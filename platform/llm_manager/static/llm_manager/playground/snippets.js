// A request as a program sends it, with a key in the place of the session.

// Members that OpenAI's Python package has arguments for; others go in extra_body.
const OPENAI = new Set([
  ...["model", "messages", "stream", "stream_options", "temperature", "top_p"],
  ...["max_tokens", "max_completion_tokens", "seed", "stop", "presence_penalty"],
  ...["frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "n", "user"],
  ...["tools", "tool_choice", "parallel_tool_calls", "response_format"],
  ...["reasoning_effort", "prediction", "metadata"],
]);
const KEY = "LLM_MANAGER_API_KEY";

const indented = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);

const curl = (request, base) => {
  const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
  return [
    `curl --no-buffer ${base}/chat/completions \\`,
    `  -H "Authorization: Bearer $${KEY}" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${body}'`,
  ].join("\n");
};

const WORDS = new Map([
  [true, "True"],
  [false, "False"],
  [null, "None"],
]);

// Returns a value as Python writes it. JSON's texts are Python's, too.
const python = (value, by = 0) => {
  if (WORDS.has(value)) return WORDS.get(value);
  if (typeof value !== "object") return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const entries = Object.entries(value);
  if (!entries.length) return open + close;
  const pad = " ".repeat(by + 4);
  const texts = entries.map(([name, each]) => {
    const text = python(each, by + 4);
    return Array.isArray(value) ? text : `${JSON.stringify(name)}: ${text}`;
  });
  return `${open}\n${pad}${texts.join(`,\n${pad}`)},\n${" ".repeat(by)}${close}`;
};

const inPython = (request, base) => {
  const entries = Object.entries(request);
  const own = entries.filter(([name]) => !OPENAI.has(name));
  const given = entries.filter(([name]) => OPENAI.has(name));
  if (own.length) given.push(["extra_body", Object.fromEntries(own)]);
  const members = given.map(([name, value]) => `    ${name}=${python(value, 4)},`);
  return [
    "import os",
    "",
    "from openai import OpenAI",
    "",
    "client = OpenAI(",
    `    base_url=${JSON.stringify(base)},`,
    `    api_key=os.environ["${KEY}"],`,
    ")",
    "stream = client.chat.completions.create(",
    ...members,
    ")",
    "for chunk in stream:",
    "    if chunk.choices:",
    '        print(chunk.choices[0].delta.content or "", end="", flush=True)',
  ].join("\n");
};

const inJavaScript = (request, base) =>
  [
    'import OpenAI from "openai";',
    "",
    "const client = new OpenAI({",
    `  baseURL: ${JSON.stringify(base)},`,
    `  apiKey: process.env.${KEY},`,
    "});",
    "const stream = await client.chat.completions.create(",
    `  ${indented(JSON.stringify(request, null, 2), 2)},`,
    ");",
    "for await (const chunk of stream) {",
    '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");',
    "}",
  ].join("\n");

export const LANGUAGES = { curl, Python: inPython, JavaScript: inJavaScript };
