import assert from 'node:assert/strict';
import { generateText } from 'ai';
import { CAPITAL } from '../subjects.mjs';
import { model } from './client.mjs';

const { text, usage, finishReason } = await generateText({
  model,
  prompt: CAPITAL,
  temperature: 0,
});
assert.match(text, /Paris/);
assert.equal(finishReason, 'stop');
assert.ok(usage.outputTokens > 0);
