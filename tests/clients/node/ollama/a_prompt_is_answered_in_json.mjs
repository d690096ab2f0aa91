import assert from 'node:assert/strict';
import { MODEL } from '../subjects.mjs';
import { GREEDY, client } from './client.mjs';

const format = {
  type: 'object',
  properties: { name: { enum: ['Alice', 'Bob'] } },
  required: ['name'],
  additionalProperties: false,
};
const answer = await client.generate({
  model: MODEL,
  prompt: 'Alice is 30 years old. Answer in JSON.',
  format,
  options: GREEDY,
});
assert.ok(['Alice', 'Bob'].includes(JSON.parse(answer.response).name));
