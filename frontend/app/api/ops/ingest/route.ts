// POST /api/ops/ingest: forwards web vitals to the service, without cookies and headers of the request.
//
// VITALS_INGEST_URL   the endpoint of the service: http://api:8000/ops/ingest
// VITALS_ORIGIN       the origin of this site, one of OBS_VITALS_ORIGINS of the service: https://app.example.com
//
// Returns 404 unless both are set.

export const dynamic = 'force-dynamic';

const MAX_BODY = 16 * 1024;
const PATIENCE_MS = 2000;

export async function POST(request: Request): Promise<Response> {
  const { VITALS_INGEST_URL: url, VITALS_ORIGIN: origin } = process.env;
  if (!url || !origin) {
    return answer(404);
  }
  if (request.headers.get('origin') !== origin) {
    return answer(403);
  }
  // One timeout for the client's body and the service's response.
  const signal = AbortSignal.timeout(PATIENCE_MS);
  let body: Uint8Array<ArrayBuffer> | undefined;
  try {
    body = await read(request, signal);
  } catch {
    return answer(signal.aborted ? 408 : 400);
  }
  if (body === undefined) {
    return answer(413);
  }
  try {
    const headers = { 'content-type': 'text/plain', origin };
    const said = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'error', cache: 'no-store' });
    await said.body?.cancel();
    return answer(said.status === 204 || (said.status >= 400 && said.status < 500) ? said.status : 502);
  } catch {
    return answer(signal.aborted ? 504 : 502);
  }
}

/** Return the body, or undefined if it is too long; the rest of a long body is not read. */
async function read(request: Request, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY) {
    return undefined;
  }
  const body = new Uint8Array(MAX_BODY);
  const reader = request.body?.getReader();
  if (reader === undefined) {
    return body.subarray(0, 0);
  }
  // Cancelling ends a pending read.
  const stop = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (let size = 0; ; ) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) {
        return body.subarray(0, size);
      }
      if (size + value.byteLength > MAX_BODY) {
        stop();
        return undefined;
      }
      body.set(value, size);
      size += value.byteLength;
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function answer(status: number): Response {
  return new Response(null, { status, headers: { 'cache-control': 'no-store' } });
}
