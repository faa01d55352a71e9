// Visit the console in a headless Chromium, for each order {url, token, visit}. Returned: what the page complained of,
// which other origins it asked, and what the visit found.
'use strict';
const { serve } = require('../../servers/browser.js');
const visits = require('./visits.js');

const PATIENCE_MS = 30_000;

/** Report what the policy of the page forbids. */
function watch() {
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    console.error(`policy: ${violatedDirective} ${blockedURI}`);
  });
}

async function visit(page, order) {
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  const refused = [];
  const foreign = [];
  page.on('console', (message) => {
    // Chromium's own line for an answer that is not 2xx, or none; the page cannot prevent it.
    const list = message.text().startsWith('Failed to load resource') ? refused : complaints;
    list.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => complaints.push(`${error}`));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(order.url).origin) {
      foreign.push(request.url());
    }
  });
  await page.addInitScript(watch);
  const found = await visits[order.visit](page, order);
  const kept = await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length, location.href].join(' '));
  return { complaints, refused, foreign, kept, found };
}

serve(visit, { viewport: { width: 1440, height: 900 } });
