import assert from 'node:assert/strict';
import { APICallError, generateText } from 'ai';
import { CAPITAL } from '../subjects.mjs';
import { server } from './client.mjs';

await assert.rejects(generateText({ model: server('nobody'), prompt: CAPITAL }), (error) => {
  assert.ok(APICallError.isInstance(error));
  assert.equal(error.statusCode, 404);
  assert.match(error.message, /does not exist/);
  return !error.isRetryable;
});
