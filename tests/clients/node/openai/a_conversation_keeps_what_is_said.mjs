import assert from 'node:assert/strict';
import { CAPITAL, MODEL } from '../subjects.mjs';
import { client } from './client.mjs';

const { id } = await client.conversations.create({ metadata: { topic: 'capitals' } });
await client.responses.create({
  model: MODEL,
  input: CAPITAL,
  conversation: id,
  max_output_tokens: 20,
});
const roles = [];
for await (const item of client.conversations.items.list(id, { order: 'asc' })) {
  roles.push(item.role);
}
assert.deepEqual(roles, ['user', 'assistant']);
await client.conversations.delete(id);
