import assert from 'node:assert/strict';
import { toFile } from 'openai';
import { MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const url = '/v1/chat/completions';
const body = { model: MODEL, max_tokens: 200, messages: said('Hi.') };
const lines = Array.from({ length: 200 }, (_, n) =>
  JSON.stringify({ custom_id: `${n}`, method: 'POST', url, body }),
);
const file = await client.files.create({
  file: await toFile(Buffer.from(lines.join('\n')), 'in.jsonl'),
  purpose: 'batch',
});
let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: url,
  completion_window: '24h',
});
batch = await client.batches.cancel(batch.id);
assert.ok(['cancelling', 'cancelled'].includes(batch.status));
while (batch.status === 'cancelling') {
  await new Promise((resolve) => setTimeout(resolve, 200));
  batch = await client.batches.retrieve(batch.id);
}
assert.equal(batch.status, 'cancelled');
