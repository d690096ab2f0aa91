import assert from 'node:assert/strict';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { MODEL, PERSON, Person, said } from '../subjects.mjs';
import { client } from './client.mjs';

const answer = await client.messages.parse({
  model: MODEL,
  max_tokens: 64,
  temperature: 0,
  messages: said(PERSON),
  output_config: { format: zodOutputFormat(Person) },
});
assert.ok(Person.safeParse(answer.parsed_output).success);
