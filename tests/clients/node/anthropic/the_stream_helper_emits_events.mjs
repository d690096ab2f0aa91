import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const texts = [];
const stream = client.messages
  .stream({ model: MODEL, max_tokens: 64, temperature: 0, messages: said(CAPITAL) })
  .on('text', (delta) => texts.push(delta));
const final = await stream.finalMessage();
assert.ok(texts.length > 1);
assert.equal(texts.join(''), final.content[0].text);
assert.ok(final.usage.output_tokens > 0);
