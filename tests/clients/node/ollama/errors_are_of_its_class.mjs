import assert from 'node:assert/strict';
import { Ollama } from 'ollama';
import { CAPITAL, SERVER, said } from '../subjects.mjs';
import { client } from './client.mjs';

await assert.rejects(
  client.chat({ model: 'no-such-model', messages: said(CAPITAL) }),
  { name: 'ResponseError', status_code: 404, message: /does not exist/ },
);
await assert.rejects(new Ollama({ host: SERVER }).list(), { status_code: 401 });
