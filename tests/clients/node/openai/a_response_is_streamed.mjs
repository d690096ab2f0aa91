import assert from 'node:assert/strict';
import { CAPITAL, MODEL } from '../subjects.mjs';
import { client } from './client.mjs';

const deltas = [];
const stream = client.responses
  .stream({ model: MODEL, input: CAPITAL, temperature: 0, max_output_tokens: 30 })
  .on('response.output_text.delta', (event) => deltas.push(event.delta));
const final = await stream.finalResponse();
assert.ok(deltas.length > 1);
assert.match(final.output_text, /Paris/);
assert.equal(deltas.join(''), final.output_text);
