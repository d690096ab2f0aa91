import assert from 'node:assert/strict';
import { zodTextFormat } from 'openai/helpers/zod';
import { MODEL, PERSON, Person } from '../subjects.mjs';
import { client } from './client.mjs';

const response = await client.responses.parse({
  model: MODEL,
  input: PERSON,
  temperature: 0,
  text: { format: zodTextFormat(Person, 'person') },
});
assert.ok(Person.safeParse(response.output_parsed).success);
