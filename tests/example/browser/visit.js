// Visit a page in a headless Chromium, for each order {url, visit}. Returned: what went wrong in the page, how many
// observers it made, and what the visit found.
'use strict';
const { serve } = require('../../servers/browser.js');

const PATIENCE_MS = 30_000;

/** Wait until the browser has measured so many things of this type, or of this name. */
const measured = (page, type, count, name = undefined, duration = 0) =>
  page.waitForFunction(
    ([type, count, name, duration]) =>
      globalThis.seen.filter((one) => one.type === type && (name ?? one.name) === one.name && one.duration >= duration)
        .length >= count,
    [type, count, name, duration],
  );

const visits = {
  /** The page of the example, and its second view. */
  async start(page, { url, token }) {
    await page.goto(url);
    await page.fill('input', token);
    await page.click('nav a[href="/vitals"]');
    await page.waitForURL('**/vitals');
    await measured(page, 'soft-navigation', 1);
    await measured(page, 'interaction-contentful-paint', 1);
    await page.click('button[data-only]');
    await page.waitForFunction(() => document.querySelector('pre').textContent !== '');
    return page.textContent('pre');
  },

  /** A page that shifts and blocks, and a soft navigation to a second one. */
  async bad(page, { url }) {
    await page.goto(url);
    await measured(page, 'layout-shift', 1);
    await page.click('#block');
    await measured(page, 'event', 1, 'click', 250);
    await page.click('#next');
    await measured(page, 'soft-navigation', 1);
    await measured(page, 'interaction-contentful-paint', 1);
    await page.click('#block');
    await measured(page, 'event', 3, 'click');
  },

  /** The same, where nothing is measured. */
  async unmeasured(page, { url }) {
    await page.goto(url);
    await page.waitForFunction(() => document.querySelector('#above').offsetHeight > 0);
    await page.click('#block');
    await page.click('#next');
    await page.waitForURL('**/people/**');
  },
};

/** Keep what the browser measures, which a visit waits for. */
function observe() {
  globalThis.seen = [];
  for (const type of ['layout-shift', 'event', 'soft-navigation', 'interaction-contentful-paint']) {
    new PerformanceObserver((list) => {
      globalThis.seen.push(...list.getEntries().map(({ name, duration }) => ({ type, name, duration })));
    }).observe({ type, buffered: true, durationThreshold: 16 });
  }
}

/** Count the observers that the page makes, and report what its policy forbids. */
function watch() {
  globalThis.observers = 0;
  globalThis.PerformanceObserver = class extends PerformanceObserver {
    constructor(callback) {
      super(callback);
      globalThis.observers += 1;
    }
  };
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
    console.error(`${violatedDirective}: ${blockedURI}`);
  });
}

async function visit(page, order) {
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`${error}`));
  page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure().errorText}`));
  if (order.visit !== 'unmeasured') {
    await page.addInitScript(observe);
  }
  await page.addInitScript(watch);
  const found = await visits[order.visit](page, order);
  const observers = await page.evaluate(() => globalThis.observers);
  // Leave it: the page is hidden, and what it has measured is sent.
  await page.goto('about:blank');
  return { complaints, observers, found };
}

serve(visit);
