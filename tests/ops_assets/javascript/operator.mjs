// Validate objects of the Prometheus operator: a list of them on standard input, what is wrong with each on standard output.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

// NODE_PATH is for `require` only.
const require = createRequire(join(process.env.NODE_PATH, '_'));
const folder = join(process.env.NODE_PATH, '@kubernetes-models/prometheus-operator');
const { exports } = require(join(folder, 'package.json'));
const kinds = await import(pathToFileURL(join(folder, exports['./monitoring.coreos.com/v1'].import)));

const said = JSON.parse(readFileSync(0, 'utf8')).map((object) => {
  try {
    new kinds[object.kind](object).validate();
    return '';
  } catch (error) {
    return String(error.message);
  }
});
console.log(JSON.stringify(said));
