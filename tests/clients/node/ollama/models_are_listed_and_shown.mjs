import assert from 'node:assert/strict';
import { MODEL } from '../subjects.mjs';
import { client } from './client.mjs';

const { models } = await client.list();
assert.ok(models.some((model) => model.name === MODEL));
const shown = await client.show({ model: MODEL });
assert.ok(shown.capabilities.includes('completion'));
assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/);
await client.ps();
