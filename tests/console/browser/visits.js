// What people do with the console; each returns what they saw.
'use strict';
const fs = require('node:fs');
const path = require('node:path');

const TABS = ['requests', 'errors', 'routes', 'health', 'loop', 'clients', 'monitoring', 'about', 'actions'];
const AXE = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const scene = (order, name) => fetch(`${order.origin}/fake?scene=${encodeURIComponent(name)}`, { method: 'POST' });
const text = (page, selector) => page.locator(selector).innerText();
const seen = (page, selector, part) =>
  page.waitForFunction(([selector, part]) => document.querySelector(selector)?.textContent.includes(part), [selector, part]);

/** Open the page, and give it the token. */
async function enter(page, { url, token }, hash = '') {
  await page.goto(url + hash);
  await page.fill('#token', token);
  await page.press('#token', 'Enter');
  await page.waitForSelector('#open:not([hidden])');
}

async function tab(page, id) {
  await page.click(`#tab-${id}`);
  await page.waitForSelector(`#panel-${id}:not([hidden])`);
}

/** Return the serious violations of the rules of accessibility, each with its elements. */
async function violations(page) {
  // By the debugger, which the policy of the page does not bind.
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { resultTypes: ['violations'] });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)).join(' ')}`);
  });
}

const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

module.exports = {
  /** Without a token, with wrong ones until the limit, and with the right one. */
  async door(page, order) {
    await page.goto(order.url);
    await page.waitForSelector('#token');
    const closed = await text(page, 'body');
    const answers = [];
    for (let at = 0; at < 11; at++) {
      const answered = page.waitForResponse('**/ops/console/state');
      await page.fill('#token', `wrong-token-${at}`);
      await page.press('#token', 'Enter');
      await answered;
      await page.waitForFunction(() => !/^(Asking|$)/.test(document.querySelector('#refusal').textContent));
      answers.push(await text(page, '#refusal'));
    }
    const stillClosed = await page.isVisible('#open');
    const accessible = await violations(page);
    await page.fill('#token', order.token);
    await page.press('#token', 'Enter');
    await page.waitForSelector('#open:not([hidden])');
    const typed = await page.inputValue('#token');
    return { closed, answers, stillClosed, accessible, typed, header: await text(page, '#header') };
  },

  /** Open without a token where the service allows it. */
  async open(page, { url }) {
    await page.goto(url);
    await page.waitForSelector('#open:not([hidden])');
    return text(page, '#header');
  },

  /** One request after the other, with its calls, its lines and its error. */
  async requests(page, order) {
    await enter(page, order);
    const found = {};
    for (const [name, route] of [['slow', '/leaderboards'], ['repeated', '/members'], ['failed', '/carts']]) {
      await page.click(`#panel-requests th a:has-text("${route}")`);
      await seen(page, '.detail h2', route);
      found[name] = await text(page, '#panel-requests .detail');
      found[`${name}Bars`] = await page.locator('.waterfall .call').evaluateAll((bars) =>
        bars.map((bar) => [bar.getAttribute('class'), Number(bar.getAttribute('width'))]),
      );
      found[`${name}Link`] = await page.locator('.detail a[target]').getAttribute('href');
    }
    await page.click('.detail a[href^="#error="]');
    await seen(page, '#panel-errors .detail', 'Traceback');
    found.error = await text(page, '#panel-errors .detail');
    await page.click('#panel-errors .detail a[href^="#request="]');
    await seen(page, '#panel-requests .detail h2', '/carts');
    return found;
  },

  /** What each tab says. */
  async tabs(page, order) {
    await enter(page, order);
    const found = { header: await text(page, '#header') };
    for (const id of TABS) {
      await tab(page, id);
      found[id] = await text(page, `#panel-${id}`);
    }
    return found;
  },

  /** A link from elsewhere, opened before the token is given. */
  async link(page, order) {
    const found = {};
    for (const [name, hash] of Object.entries(order.links)) {
      await page.goto('about:blank');
      await enter(page, order, hash);
      await page.waitForFunction(() => !/^Close\s*Request .*Loading/s.test(document.querySelector('.detail')?.innerText ?? ''));
      await page.waitForFunction(() => !document.querySelector('#panels').innerText.includes('Loading'));
      found[name] = await text(page, '#panels');
    }
    return found;
  },

  /** New entries, a restart, a service in trouble, and a pause. */
  async changes(page, order) {
    await enter(page, order);
    const rows = () => page.locator('#panel-requests tbody tr').count();
    const found = { before: await rows() };
    await page.evaluate(() => {
      globalThis.row = document.querySelector('#panel-requests tbody tr:last-child');
    });
    await scene(order, 'later');
    await seen(page, '#panel-requests tbody', '/late');
    found.after = await rows();
    found.sameRow = await page.evaluate(() => globalThis.row.isConnected);
    await tab(page, 'errors');
    found.errors = await page.locator('#panel-errors tbody tr').count();
    await tab(page, 'requests');
    await scene(order, 'unavailable');
    await seen(page, '#status', '503');
    found.trouble = await text(page, '#status');
    await scene(order, 'restarted');
    await seen(page, '#notices', 'restarted');
    await seen(page, '#panel-requests tbody', '/fresh');
    found.restarted = await text(page, '#notices');
    found.fresh = await rows();
    await page.keyboard.press('p');
    await seen(page, '#status', 'Paused');
    const { states } = await (await scene(order, 'killed')).json();
    await page.waitForTimeout(2500);
    found.paused = (await (await scene(order, 'killed')).json()).states - states;
    await page.keyboard.press('p');
    await seen(page, '.workers', '1 of 2');
    found.killed = await text(page, '.workers');
    found.forgotten = await text(page, '#panel-requests');
    await scene(order, 'one of many');
    await seen(page, '.workers', 'unknown');
    found.oneOfMany = await text(page, '.workers');
    await scene(order, 'draining');
    await seen(page, '.ready', 'draining');
    await scene(order, 'damaged');
    await seen(page, '.numbers', '–');
    await tab(page, 'routes');
    await seen(page, '#status', 'failed');
    await tab(page, 'errors');
    found.odd = await text(page, '#panel-errors tbody');
    await scene(order, 'normal');
    await tab(page, 'routes');
    await seen(page, '#panel-routes tbody', '/carts/{id}');
    return found;
  },

  /** The keys, without a mouse. */
  async keys(page, order) {
    await enter(page, order);
    const found = {};
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press('j');
    const first = await focused();
    await page.keyboard.press('j');
    found.second = await focused();
    await page.keyboard.press('k');
    found.back = first === (await focused());
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await seen(page, '#panel-requests .detail', 'Where the time went');
    found.opened = await text(page, '#panel-requests .detail h2');
    await page.keyboard.press('Escape');
    await page.waitForSelector('#panel-requests .detail', { state: 'hidden' });
    await page.keyboard.press('/');
    await page.keyboard.type('carts');
    found.filtered = await page.locator('#panel-requests tbody tr').count();
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    found.help = await text(page, 'dialog');
    await page.click('dialog input[type=checkbox]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    await page.keyboard.press('p');
    found.off = await page.getAttribute('#tools button', 'aria-pressed');
    await page.focus('#tab-requests');
    await page.keyboard.press('ArrowRight');
    found.arrow = await page.getAttribute('#tab-errors', 'aria-selected');
    return found;
  },

  /** Each action, with a change of mind. */
  async actions(page, order) {
    await enter(page, order, '#tab=actions');
    const form = (title) => page.locator(`form[aria-label="${title}"]`);
    const outcome = (title) => form(title).locator('.outcome').innerText();
    const yes = () => page.click('dialog[open] .danger');
    const found = { greyed: await form('Export a test span').innerText() };
    found.disabled = await form('Export a test span').locator('button').isDisabled();
    await form('Drain').locator('button').click();
    found.first = await text(page, 'dialog');
    await yes();
    await page.waitForFunction(() => document.querySelector('dialog')?.textContent.includes('sure'));
    found.second = await text(page, 'dialog');
    await page.click('dialog button:has-text("No")');
    await page.waitForFunction(() => document.body.textContent.includes('Nothing was done'));
    found.kept = await text(page, '.ready');
    await form('Set a log level').locator('input').first().fill('shop.cart');
    await form('Set a log level').locator('button').click();
    found.level = await text(page, 'dialog');
    await yes();
    await page.waitForFunction(() => document.querySelector('form[aria-label="Set a log level"] .outcome').textContent.startsWith('Done'));
    await form('Start a job').locator('select').selectOption('nightly');
    await form('Start a job').locator('button').click();
    await yes();
    await page.waitForFunction(() => document.querySelector('form[aria-label="Start a job"] .outcome').textContent.startsWith('Done'));
    await form('Debug one request').locator('button').click();
    await yes();
    await page.waitForFunction(() => document.querySelector('form[aria-label="Debug one request"] .outcome code'));
    found.header = await outcome('Debug one request');
    await form('Drain').locator('button').click();
    await yes();
    await page.waitForFunction(() => document.querySelector('dialog')?.textContent.includes('sure'));
    await yes();
    await seen(page, '.ready', 'draining');
    return found;
  },

  /** Hostile texts on every tab, and after them a page that still works. */
  async hostile(page, order) {
    await enter(page, order);
    const found = { texts: '' };
    for (const id of TABS) {
      await tab(page, id);
      found.texts += await text(page, `#panel-${id}`);
    }
    for (const [kind, list] of [['requests', '#panel-requests'], ['errors', '#panel-errors']]) {
      await tab(page, kind);
      await page.locator(`${list} th a`).first().click();
      await page.waitForSelector(`${list} .detail pre`);
      found.texts += await text(page, `${list} .detail`);
    }
    found.elements = await page.locator('img, iframe, object, embed, #open script, [onerror], [style]').count();
    found.links = await page.locator('a').evaluateAll((links) => links.filter((one) => !['http:', 'https:'].includes(one.protocol)).length);
    found.hacked = await page.evaluate(() => typeof globalThis.hacked);
    await scene(order, 'later');
    await tab(page, 'requests');
    await seen(page, '#panel-requests tbody', '/late');
    return found;
  },

  /** 500 routes and 8 workers, seen in some rounds: which rows are made anew, and how long the page is busy. */
  async many(page, order) {
    await enter(page, order, '#tab=routes');
    await page.waitForSelector('#panel-routes tbody tr:nth-child(500)');
    await page.evaluate(() => {
      globalThis.rows = [...document.querySelectorAll('#panel-routes tbody tr')];
      globalThis.changed = 0;
      new MutationObserver((list) => {
        globalThis.changed += list.length;
      }).observe(document.querySelector('#panel-routes tbody'), { childList: true, subtree: true });
    });
    for (let at = 0; at < 2; at++) {
      await page.waitForResponse('**/ops/console/state?since=*');
    }
    await page.waitForTimeout(200);
    const found = await page.evaluate(() => ({ changed: globalThis.changed, kept: globalThis.rows.filter((row) => row.isConnected).length }));
    await page.fill('#tools input', '/items/42/');
    found.filtered = await page.locator('#panel-routes tbody tr').count();
    found.workers = await text(page, '.workers');
    return found;
  },

  /** Each tab at three widths, light and dark, and at 200 %; saved as pictures, if there is a folder for them. */
  async looks(page, order) {
    const found = { violations: [], overflows: [] };
    await enter(page, order);
    await page.keyboard.press('p');
    for (const scheme of order.schemes) {
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      for (const width of [360, 768, 1440, 720]) {
        // 720 px with a text of twice the size: what 1440 px at 200 % are.
        await page.setViewportSize({ width, height: 900 });
        for (const id of TABS) {
          await tab(page, id);
          if (id === 'requests' || id === 'errors') {
            await page.locator(`#panel-${id} th a`).nth(id === 'requests' ? order.open : 0).click();
            await page.waitForSelector(`#panel-${id} .detail dl`);
          }
          const where = `${id}-${width}-${scheme}`;
          if (await overflows(page)) {
            found.overflows.push(where);
          }
          // The rules are slow; between these widths only the room changes.
          if (width === 360 || width === 1440) {
            found.violations.push(...(await violations(page)).map((one) => `${where} ${one}`));
          }
          if (order.folder && width !== 720) {
            await page.evaluate(() => scrollTo(0, 0));
            await page.screenshot({ path: path.join(order.folder, `${where}.png`), fullPage: false });
          }
        }
      }
    }
    return found;
  },

  /** An operator on a real service, of which something goes wrong at each `make`. */
  async operator(page, order) {
    const make = (name) => fetch(`${order.order}/${name}`, { method: 'POST' });
    const open = async (route) => {
      await seen(page, '#panel-requests tbody', route);
      await page.click(`#panel-requests th a:has-text("${route}")`);
      await seen(page, '#panel-requests .detail', 'Where the time went');
      await seen(page, '#panel-requests .detail h2', route);
      return text(page, '#panel-requests .detail');
    };
    await enter(page, order);
    const found = {};
    await make('slow');
    found.slow = await open('/slow');
    await make('repeated');
    found.repeated = await open('/repeated/{id}');
    await make('failing');
    found.failing = await open('/failing');
    await tab(page, 'errors');
    await seen(page, '#panel-errors tbody', 'ZeroDivisionError');
    await make('blocking');
    await tab(page, 'loop');
    await seen(page, '#panel-loop ol', 'blocking');
    found.loop = await text(page, '#panel-loop ol');
    await make('kill-redis');
    await tab(page, 'health');
    await make('ready');
    await seen(page, '#panel-health', 'refused');
    found.health = await text(page, '#panel-health');
    await make('start-redis');
    await tab(page, 'actions');
    const level = page.locator('form[aria-label="Set a log level"]');
    await level.locator('input').first().fill('shop');
    await level.locator('button').click();
    await page.click('dialog[open] .danger');
    await page.waitForFunction(() => document.querySelector('form[aria-label="Set a log level"] .outcome').textContent.startsWith('Done'));
    found.level = await level.locator('.outcome').innerText();
    await make('restart');
    await seen(page, '#notices', 'restarted');
    found.restarted = await text(page, '#notices');
    const drain = page.locator('form[aria-label="Drain"]');
    await drain.locator('button').click();
    await page.click('dialog[open] .danger');
    await page.waitForFunction(() => document.querySelector('dialog')?.textContent.includes('sure'));
    await page.click('dialog[open] .danger');
    await seen(page, '.ready', 'draining');
    found.draining = await text(page, '.ready');
    return found;
  },

  /** Two workers, of which one is killed. */
  async workers(page, order) {
    await enter(page, order);
    await page.waitForFunction(() => /^[2-9] of/.test(document.querySelector('.workers').textContent));
    const failed = page.locator(`#panel-requests tr:has(td[data-label=Worker]:text-is("${order.victim}")):has-text("/failing") th a`);
    await failed.first().waitFor();
    await fetch(`${order.order}/kill`, { method: 'POST' });
    await tab(page, 'about');
    await page.waitForFunction(
      (victim) => [...document.querySelectorAll('#panel-about tr')].some((row) => row.textContent.startsWith(victim) && row.textContent.includes('ended')),
      String(order.victim),
    );
    // A new page, which has nothing of the time before.
    await page.goto('about:blank');
    await enter(page, order);
    await failed.first().click();
    await seen(page, '#panel-requests .detail', 'Where the time went');
    return { opened: await text(page, '#panel-requests .detail') };
  },
};
