import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, mock, test } from 'node:test';
import type { NextRequest } from 'next/server';

import { POST } from '../app/api/ops/ingest/route.js';

// Next.js calls it so.
POST satisfies (request: NextRequest) => Promise<Response>;

const SHOP = 'https://shop.example';
const BODY = JSON.stringify({ vitals: [{ name: 'LCP', value: 1 }] });

interface Asked {
  method: string | undefined;
  headers: IncomingMessage['headers'];
  body: string;
}

let close: (() => void) | undefined;
let patience: AbortController;

// The handler's clock runs out when a test says so, and not where a machine is slow.
beforeEach(() => {
  patience = new AbortController();
  mock.method(AbortSignal, 'timeout', (ms: number) => {
    assert.equal(ms, 2000);
    return patience.signal;
  });
});

afterEach(() => {
  mock.restoreAll();
  close?.();
  close = undefined;
  delete process.env.VITALS_INGEST_URL;
  delete process.env.VITALS_ORIGIN;
});

/** Start a service that answers in this way, and configure the handler for it; return what it is asked. */
async function service(listener: RequestListener): Promise<Asked[]> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += String(chunk)));
    request.on('end', () => {
      asked.push({ method: request.method, headers: request.headers, body });
      listener(request, response);
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  close = () => {
    server.closeAllConnections();
    server.close();
  };
  process.env.VITALS_INGEST_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ops/ingest`;
  process.env.VITALS_ORIGIN = SHOP;
  return asked;
}

function post(body: RequestInit['body'], headers: Record<string, string> = {}): Request {
  const init = { method: 'POST', body: body ?? null, headers: { origin: SHOP, ...headers }, duplex: 'half' };
  return new Request('http://localhost/api/ops/ingest', init);
}

function answers(status: number): RequestListener {
  return (_, response) => response.writeHead(status, { 'set-cookie': 'a=b', 'x-internal': '10.0.0.1' }).end();
}

test('a body is passed on, and no cookie and no header of the browser', async () => {
  const asked = await service(answers(204));
  const personal = { cookie: 'session=s3cret', authorization: 'Bearer s3cret', 'x-forwarded-for': '192.0.2.7' };
  const said = await POST(post(BODY, { ...personal, referer: `${SHOP}/rooms/7?q=1`, 'user-agent': 'Somebody' }));
  assert.equal(said.status, 204);
  assert.deepEqual([...said.headers], [['cache-control', 'no-store']]);
  assert.equal(asked.length, 1);
  assert.equal(asked[0]?.method, 'POST');
  assert.equal(asked[0]?.body, BODY);
  assert.equal(asked[0]?.headers.origin, SHOP);
  assert.equal(asked[0]?.headers['content-type'], 'text/plain');
  for (const name of [...Object.keys(personal), 'referer']) {
    assert.equal(asked[0]?.headers[name], undefined);
  }
  assert.notEqual(asked[0]?.headers['user-agent'], 'Somebody');
});

test('it is not there unless both flags are set', async () => {
  const asked = await service(answers(204));
  delete process.env.VITALS_ORIGIN;
  assert.equal((await POST(post(BODY))).status, 404);
  process.env.VITALS_ORIGIN = SHOP;
  process.env.VITALS_INGEST_URL = '';
  assert.equal((await POST(post(BODY))).status, 404);
  assert.equal(asked.length, 0);
});

test('a page of another origin is refused', async () => {
  const asked = await service(answers(204));
  for (const origin of ['https://evil.example', 'null', '', `${SHOP}.evil.example`]) {
    assert.equal((await POST(post(BODY, { origin }))).status, 403);
  }
  assert.equal(asked.length, 0);
});

test('16 KB are passed on, and one byte more is not, announced or not', async () => {
  const asked = await service(answers(204));
  const most = 'x'.repeat(16 * 1024);
  assert.equal((await POST(post(most))).status, 204);
  assert.equal((await POST(post(`${most}x`))).status, 413);
  assert.equal((await POST(post('x', { 'content-length': '16385' }))).status, 413);
  let chunks = 0;
  const endless = new ReadableStream({
    pull(controller) {
      chunks += 1;
      controller.enqueue(new Uint8Array(1024));
    },
  });
  assert.equal((await POST(post(endless))).status, 413);
  assert.ok(chunks < 100);
  assert.equal(asked.length, 1);
});

test('a refusal of the service is answered, and nothing of its headers', async () => {
  for (const [status, expected] of [[403, 403], [422, 422], [429, 429], [200, 502], [301, 502], [500, 502]] as const) {
    await service(answers(status));
    const said = await POST(post(BODY));
    assert.equal(said.status, expected);
    assert.deepEqual([...said.headers], [['cache-control', 'no-store']]);
    close?.();
  }
});

test('a service that is not there, or does not answer, is not waited for', async () => {
  await service(() => patience.abort());
  assert.equal((await POST(post(BODY))).status, 504);
  close?.();
  patience = new AbortController();
  assert.equal((await POST(post(BODY))).status, 502);
});

test('a body that does not come is not waited for', async () => {
  const asked = await service(answers(204));
  let cancelled = false;
  const source = { pull: () => patience.abort(), cancel: () => void (cancelled = true) };
  const silent = new ReadableStream(source, { highWaterMark: 0 });
  assert.equal((await POST(post(silent))).status, 408);
  assert.ok(cancelled);
  assert.equal(asked.length, 0);
});
