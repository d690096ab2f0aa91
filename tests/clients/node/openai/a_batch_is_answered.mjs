import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';
import { MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const url = '/v1/chat/completions';
const body = { model: MODEL, max_tokens: 4, messages: said('Hi.') };
const bodies = { a: body, b: body, wrong: { ...body, user: 7 } };
const lines = Object.entries(bodies).map(([custom_id, each]) =>
  JSON.stringify({ custom_id, method: 'POST', url, body: each }),
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
while (!['completed', 'failed', 'expired', 'cancelled'].includes(batch.status)) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  batch = await client.batches.retrieve(batch.id);
}
assert.equal(batch.status, 'completed');
assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });

const read = async (id) => {
  const text = await (await client.files.content(id)).text();
  return text.trim().split('\n').map((line) => JSON.parse(line));
};
const answers = await read(batch.output_file_id);
assert.deepEqual(answers.map((each) => each.custom_id).sort(), ['a', 'b']);
assert.ok(answers.every((each) => each.response.body.object === 'chat.completion'));
const [refused] = await read(batch.error_file_id);
assert.equal(refused.response.body.error.param, 'user');

const listed = [];
for await (const each of client.batches.list({ limit: 1 })) listed.push(each.id);
assert.ok(listed.includes(batch.id));
await client.files.delete(file.id);
await assert.rejects(client.files.retrieve(file.id), OpenAI.NotFoundError);
