import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Metric } from 'web-vitals';

import { routeAmong, startWebVitals, Vitals } from '../lib/obs/webvitals.js';

const PAGE = 'https://shop.example/rooms/7?q=secret#anna';
const route = routeAmong(['/', '/rooms/[id]']);

function metric(changes: Partial<Metric>): Metric {
  return {
    name: 'LCP',
    value: 1300,
    rating: 'good',
    delta: 1300,
    id: 'v6-1',
    entries: [],
    navigationType: 'navigate',
    navigationId: 1,
    ...changes,
  };
}

function collector(of = route): { vitals: Vitals; sent: string[] } {
  const sent: string[] = [];
  return { vitals: new Vitals(of, (body) => sent.push(body)), sent };
}

test('the last value of each metric is sent, once', () => {
  const { vitals, sent } = collector();
  vitals.add(metric({ id: 'a', name: 'CLS', value: 0.01 }), PAGE);
  vitals.add(metric({ id: 'b' }), PAGE);
  vitals.add(metric({ id: 'a', name: 'CLS', value: 0.3, rating: 'poor' }), PAGE);
  vitals.flush();
  vitals.add(metric({ id: 'a', name: 'CLS', value: 0.4, rating: 'poor' }), PAGE);
  vitals.flush();
  vitals.flush();
  assert.deepEqual(sent.map((body) => JSON.parse(body)), [
    {
      vitals: [
        { name: 'CLS', value: 0.3, rating: 'poor', navigation: 'navigate', route: '/rooms/[id]' },
        { name: 'LCP', value: 1300, rating: 'good', navigation: 'navigate', route: '/rooms/[id]' },
      ],
    },
  ]);
});

test('a soft navigation is counted under its own route, and has no TTFB', () => {
  const { vitals, sent } = collector();
  const soft = { navigationType: 'soft-navigation', navigationURL: 'https://shop.example/' } as const;
  vitals.add(metric({ id: 'a', ...soft }), PAGE);
  vitals.add(metric({ id: 'b', name: 'TTFB', value: 0, ...soft }), PAGE);
  vitals.flush();
  assert.deepEqual(JSON.parse(sent.join()), {
    vitals: [{ name: 'LCP', value: 1300, rating: 'good', navigation: 'soft-navigation', route: '/' }],
  });
});

test('nothing of an address is sent, whatever the callback returns', () => {
  const returned: (() => string | undefined)[] = [
    () => PAGE,
    () => '/rooms/[id]?q=secret',
    () => '/#anna',
    () => '',
    () => undefined,
    () => {
      throw new Error('secret');
    },
  ];
  for (const of of returned) {
    const { vitals, sent } = collector(of);
    vitals.add(metric({}), PAGE);
    vitals.flush();
    assert.match(sent.join(), /"route":"__unmatched__"/);
    assert.doesNotMatch(sent.join(), /secret|anna|rooms|shop|v6-1/);
  }
});

test('what the service would refuse is not sent', () => {
  const { vitals, sent } = collector();
  for (const [at, value] of [-1, 120_001, Infinity, NaN].entries()) {
    vitals.add(metric({ id: `${at}`, value }), PAGE);
  }
  vitals.flush();
  assert.deepEqual(sent, []);
});

test('twenty are sent at once, and of many the last hundred', () => {
  const { vitals, sent } = collector();
  for (let at = 0; at < 500; at += 1) {
    vitals.add(metric({ id: `${at}`, value: at }), PAGE);
  }
  vitals.flush();
  const bodies = sent.map((body) => JSON.parse(body).vitals);
  assert.deepEqual(bodies.map((body) => body.length), [20, 20, 20, 20, 20]);
  assert.equal(bodies[0][0].value, 400);
  assert.ok(sent.every((body) => body.length < 16 * 1024));
});

test('routes are found as Next.js writes them', () => {
  const of = routeAmong(['/', '/rooms/[id]', '/rooms/new', '/docs/[...path]', '/shop/[[...path]]', '/a.b']);
  const found = (path: string): string | undefined => of(new URL(path, PAGE));
  assert.equal(found('/'), '/');
  assert.equal(found('/rooms/7/?q=1'), '/rooms/[id]');
  assert.equal(found('/rooms/new'), '/rooms/new');
  assert.equal(found('/rooms'), undefined);
  assert.equal(found('/rooms/7/8'), undefined);
  assert.equal(found('/docs/a/b'), '/docs/[...path]');
  assert.equal(found('/docs'), undefined);
  assert.equal(found('/shop'), '/shop/[[...path]]');
  assert.equal(found('/shop/a/b'), '/shop/[[...path]]');
  assert.equal(found('/axb'), undefined);
  assert.equal(routeAmong([''])(new URL('/x', PAGE)), undefined);
});

test('it is off by default', () => {
  // There is no window here: whatever was observed or listened to would fail.
  startWebVitals({ route });
  startWebVitals({ route, enabled: false });
  assert.throws(() => startWebVitals({ route, enabled: true }), ReferenceError);
});
