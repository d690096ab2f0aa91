import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { CAPITAL, MODEL, STORY, said } from '../subjects.mjs';
import { client } from './client.mjs';

const long = { model: MODEL, messages: said(STORY), max_tokens: 1800 };
const stream = await client.chat.completions.create({ ...long, stream: true });
for await (const chunk of stream) {
  if (chunk.choices[0].delta.content) stream.controller.abort();
}
await assert.rejects(
  client.chat.completions.create(long, { timeout: 500, maxRetries: 0 }),
  OpenAI.APIConnectionTimeoutError,
);
const short = { ...long, messages: said(CAPITAL), max_tokens: 4 };
assert.ok(await client.chat.completions.create(short));
