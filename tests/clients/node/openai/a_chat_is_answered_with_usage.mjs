import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const { data, response, request_id } = await client.chat.completions
  .create({ model: MODEL, messages: said(CAPITAL), temperature: 0 })
  .withResponse();
assert.match(data.choices[0].message.content, /Paris/);
assert.ok(data.usage.completion_tokens > 0);
assert.equal(response.headers.get('x-request-id'), request_id);
