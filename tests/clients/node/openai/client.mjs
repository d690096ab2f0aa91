import OpenAI from 'openai';
import { KEY, SERVER } from '../subjects.mjs';

export const client = new OpenAI({ baseURL: `${SERVER}/v1`, apiKey: KEY });
