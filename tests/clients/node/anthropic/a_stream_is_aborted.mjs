import assert from 'node:assert/strict';
import { APIUserAbortError } from '@anthropic-ai/sdk';
import { MODEL, STORY, said } from '../subjects.mjs';
import { client } from './client.mjs';

const stream = client.messages
  .stream({ model: MODEL, max_tokens: 1500, messages: said(STORY) })
  .on('text', () => stream.abort());
await assert.rejects(stream.done(), APIUserAbortError);
