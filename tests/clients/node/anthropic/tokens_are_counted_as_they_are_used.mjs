import assert from 'node:assert/strict';
import { CAPITAL, MODEL, said } from '../subjects.mjs';
import { client } from './client.mjs';

const asked = { model: MODEL, messages: said(CAPITAL) };
const { input_tokens } = await client.messages.countTokens(asked);
const { usage } = await client.messages.create({ ...asked, max_tokens: 1 });
assert.equal(input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
