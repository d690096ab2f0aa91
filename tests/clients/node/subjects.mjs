// What the clients are asked for, and where.
import { z } from 'zod';

export const { SERVER, KEY, MODEL, FOLDER_MODEL, EMBEDDER } = process.env;
export const CAPITAL = 'Name the capital of France.';
export const WEATHER = 'What is the weather in Paris?';
export const PERSON = 'Alice is 30 years old. Answer in JSON.';
export const STORY = 'Write a very long story.';
export const Person = z.object({
  name: z.enum(['Alice', 'Bob']),
  age: z.number().int().min(0).max(150),
});
export const Place = z.object({ city: z.enum(['Paris', 'London']) });

export const said = (content) => [{ role: 'user', content }];
