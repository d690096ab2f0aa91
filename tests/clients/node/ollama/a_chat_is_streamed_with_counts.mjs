import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { GREEDY, client } from './client.mjs';

const request = { model: MODEL, messages: said(CAPITAL), options: GREEDY };
const whole = await client.chat(request);
assert.match(whole.message.content, /Paris/);
let text = '';
let last;
for await (const part of await client.chat({ ...request, stream: true })) {
  text += part.message.content;
  last = part;
}
assert.equal(text, whole.message.content);
assert.equal(last.done, true);
assert.equal(last.eval_count, whole.eval_count);
assert.ok(last.total_duration >= last.eval_duration);
