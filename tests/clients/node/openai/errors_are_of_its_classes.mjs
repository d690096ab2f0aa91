import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const ask = (fields, options) =>
  client.chat.completions.create({ model: MODEL, messages: said(CAPITAL), ...fields }, options);
await assert.rejects(ask({ model: 'nobody' }), OpenAI.NotFoundError);
await assert.rejects(ask({ temperature: 9 }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  return error.param === 'temperature';
});
await assert.rejects(
  client.withOptions({ apiKey: 'sk-wrong' }).models.list(),
  OpenAI.AuthenticationError,
);
