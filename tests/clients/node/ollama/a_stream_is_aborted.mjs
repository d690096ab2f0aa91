import assert from 'node:assert/strict';
import { CAPITAL, MODEL, STORY, said } from '../subjects.mjs';
import { GREEDY, client } from './client.mjs';

const stream = await client.chat({
  model: MODEL,
  messages: said(STORY),
  stream: true,
  options: { num_predict: 1800 },
});
await assert.rejects(async () => {
  for await (const part of stream) {
    if (part.message.content) stream.abort();
  }
}, { name: 'AbortError' });
const after = { model: MODEL, messages: said(CAPITAL), options: GREEDY };
assert.ok((await client.chat(after)).message.content);
