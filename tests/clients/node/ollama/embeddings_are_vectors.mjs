import assert from 'node:assert/strict';
import { EMBEDDER } from '../subjects.mjs';
import { client } from './client.mjs';

const answer = await client.embed({ model: EMBEDDER, input: ['a cat', 'a dog'] });
assert.equal(answer.embeddings.length, 2);
assert.equal(answer.embeddings[0].length, 384);
