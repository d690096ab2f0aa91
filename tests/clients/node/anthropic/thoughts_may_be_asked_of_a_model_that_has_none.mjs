import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const { data, response } = await client.messages
  .create({
    model: MODEL,
    max_tokens: 64,
    messages: said(CAPITAL),
    thinking: { type: 'adaptive' },
  })
  .withResponse();
assert.deepEqual(
  data.content.map((block) => block.type),
  ['text'],
);
assert.equal(response.headers.get('x-llm-manager-left-out'), 'thinking');
