import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const deltas = [];
const runner = client.chat.completions
  .stream({ model: MODEL, messages: said(CAPITAL), temperature: 0 })
  .on('content', (delta) => deltas.push(delta));
const final = await runner.finalContent();
assert.match(final, /Paris/);
assert.equal(deltas.join(''), final);
