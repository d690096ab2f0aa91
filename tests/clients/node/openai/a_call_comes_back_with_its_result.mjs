import assert from 'node:assert/strict';
import { zodFunction } from 'openai/helpers/zod';
import { MODEL, Place, WEATHER, said } from '../subjects.mjs';
import { client } from './client.mjs';

const asked = { model: MODEL, temperature: 0, max_tokens: 64 };
const first = await client.chat.completions.create({
  ...asked,
  messages: said(WEATHER),
  tools: [zodFunction({ name: 'get_weather', parameters: Place })],
  tool_choice: { type: 'function', function: { name: 'get_weather' } },
});
const { message } = first.choices[0];
assert.equal(first.choices[0].finish_reason, 'tool_calls');
const [call] = message.tool_calls;
const result = { role: 'tool', tool_call_id: call.id, content: 'It is sunny.' };
const second = await client.chat.completions.create({
  ...asked,
  messages: [...said(WEATHER), message, result],
});
assert.ok(second.choices[0].message.content);
