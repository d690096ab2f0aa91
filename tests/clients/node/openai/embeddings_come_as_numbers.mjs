import assert from 'node:assert/strict';
import { EMBEDDER } from '../subjects.mjs';
import { client } from './client.mjs';

// Unasked it wants base64, and decodes it.
const { data } = await client.embeddings.create({ model: EMBEDDER, input: ['A cat.', 'A tax.'] });
const asked = await client.embeddings.create({
  model: EMBEDDER,
  input: 'A cat.',
  encoding_format: 'float',
});
assert.equal(data[1].embedding.length, 384);
asked.data[0].embedding.forEach((number, index) => {
  assert.ok(Math.abs(number - data[0].embedding[index]) < 1e-3);
});
