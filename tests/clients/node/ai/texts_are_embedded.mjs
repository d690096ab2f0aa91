import assert from 'node:assert/strict';
import { embed, embedMany } from 'ai';
import { embedder } from './client.mjs';

const { embedding } = await embed({ model: embedder, value: 'A cat.' });
const { embeddings, usage } = await embedMany({ model: embedder, values: ['A cat.', 'A tax.'] });
assert.equal(embedding.length, 384);
assert.equal(embeddings.length, 2);
assert.ok(usage.tokens > 0);
