import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const answer = await client.messages.create({
  model: MODEL,
  max_tokens: 64,
  temperature: 0,
  messages: said(CAPITAL),
});
assert.match(answer.content[0].text, /Paris/);
assert.equal(answer.stop_reason, 'end_turn');
assert.ok(answer.usage.output_tokens > 0);
assert.ok(answer._request_id);
