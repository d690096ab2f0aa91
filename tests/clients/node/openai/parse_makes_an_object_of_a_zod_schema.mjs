import assert from 'node:assert/strict';
import { zodResponseFormat } from 'openai/helpers/zod';
import { MODEL, PERSON, Person, said } from '../subjects.mjs';
import { client } from './client.mjs';

const answer = await client.chat.completions.parse({
  model: MODEL,
  messages: said(PERSON),
  response_format: zodResponseFormat(Person, 'person'),
  temperature: 0,
});
assert.ok(Person.safeParse(answer.choices[0].message.parsed).success);
