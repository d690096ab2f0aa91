import assert from 'node:assert/strict';
import { MODEL, Place, WEATHER, said } from '../subjects.mjs';
import { GET_WEATHER, client } from './client.mjs';

const asked = { model: MODEL, max_tokens: 64, temperature: 0, tools: [GET_WEATHER] };
const first = await client.messages
  .stream({
    ...asked,
    messages: said(WEATHER),
    tool_choice: { type: 'tool', name: 'get_weather' },
  })
  .finalMessage();
assert.equal(first.stop_reason, 'tool_use');
const call = first.content.at(-1);
assert.ok(Place.safeParse(call.input).success);
const result = { type: 'tool_result', tool_use_id: call.id, content: 'It is sunny.' };
const second = await client.messages.create({
  ...asked,
  messages: [
    ...said(WEATHER),
    { role: 'assistant', content: first.content },
    { role: 'user', content: [result] },
  ],
  tool_choice: { type: 'none' },
});
assert.ok(second.content[0].text);
