// Drive one headless Chromium. The argument is its path. Each line of standard input is an order as JSON; each line of
// standard output is what its visit returned, or its error. The end of the input ends the browser.
'use strict';
const readline = require('node:readline');
const { chromium } = require('playwright-core');

/** Call `visit` with a page and the order for each line; the page has a context of its own, of which nothing stays. */
exports.serve = async (visit, options = {}) => {
  const browser = await chromium.launch({ executablePath: process.argv[2], args: ['--no-sandbox'] });
  try {
    for await (const line of readline.createInterface({ input: process.stdin })) {
      const context = await browser.newContext(options);
      let result;
      try {
        result = { returned: await visit(await context.newPage(), JSON.parse(line)) };
      } catch (error) {
        result = { error: error.stack };
      } finally {
        await context.close();
      }
      console.log(JSON.stringify(result));
    }
  } finally {
    await browser.close();
  }
};
