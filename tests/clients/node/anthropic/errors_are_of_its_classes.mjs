import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const ask = (fields, options) =>
  client.messages.create(
    { model: MODEL, max_tokens: 8, messages: said(CAPITAL), ...fields },
    options,
  );
await assert.rejects(ask({ model: 'nobody' }), Anthropic.NotFoundError);
await assert.rejects(ask({ temperature: 9 }), Anthropic.BadRequestError);
await assert.rejects(
  client.withOptions({ apiKey: 'sk-wrong' }).models.list(),
  Anthropic.AuthenticationError,
);
