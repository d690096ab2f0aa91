import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const stream = await client.chat.completions.create({
  model: MODEL,
  messages: said(CAPITAL),
  temperature: 0,
  stream: true,
  stream_options: { include_usage: true },
});
let text = '';
let usage;
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta.content ?? '';
  usage = chunk.usage ?? usage;
}
assert.match(text, /Paris/);
assert.ok(usage.completion_tokens > 0);
