import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { CAPITAL, MODEL } from '../subjects.mjs';
import { client } from './client.mjs';

const asked = { model: MODEL, input: CAPITAL, temperature: 0, max_output_tokens: 30 };
const stream = await client.responses.create({ ...asked, background: true, stream: true });
let id, last;
for await (const event of stream) {
  id ??= event.response.id;
  last = event.sequence_number;
  if (event.type === 'response.output_text.delta') break;
}
let final;
const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
for await (const event of rest) final = event;
assert.equal(final.type, 'response.completed');
const stored = await client.responses.retrieve(id);
assert.equal(stored.output_text, final.response.output[0].content[0].text);
await client.responses.delete(id);
await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
