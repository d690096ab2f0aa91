import { Ollama } from 'ollama';
import { KEY, SERVER } from '../subjects.mjs';

export const client = new Ollama({
  host: SERVER,
  headers: { Authorization: `Bearer ${KEY}` },
});
export const GREEDY = { temperature: 0, num_predict: 64 };
