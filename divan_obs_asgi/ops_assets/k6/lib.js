// Shared code of the load tests: parameters, sign-in, think time, thresholds and the summary.
//
// Parameters of every script, set with `-e NAME=value`:
//   BASE_URL       http://127.0.0.1:8000   URL of the backend
//   JUDGE_LATENCY  1                       0 disables the thresholds on latency; those on errors and counts stay
//   SUMMARY_DIR    .                       folder for <script>.json and <script>.txt

import { fail, sleep } from 'k6';
import http from 'k6/http';

// Only 2xx counts as success; by default k6 also accepts 3xx.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }));

export const BASE_URL = text('BASE_URL', 'http://127.0.0.1:8000');
const JUDGES_LATENCY = number('JUDGE_LATENCY', 1) !== 0;
const SUMMARY_DIR = text('SUMMARY_DIR', '.');
const BATCH = 50;

export const TREND_STATS = ['avg', 'med', 'p(95)', 'p(99)', 'max', 'count'];

export function text(name, fallback) {
  return __ENV[name] || fallback;
}

export function number(name, fallback) {
  const given = Number(text(name, fallback));
  if (!Number.isFinite(given) || given < 0) {
    throw new Error(`${name} is ${JSON.stringify(__ENV[name])}; expected a number from 0 on.`);
  }
  return given;
}

// Aborts the run if the backend fails. The first requests may fail while connection pools fill up.
export function failsBelow(rate) {
  return [{ threshold: `rate<${rate}`, abortOnFail: true, delayAbortEval: '10s' }];
}

export function p95Below(ms) {
  return JUDGES_LATENCY ? [`p(95)<${ms}`] : [];
}

// A uniform random time between 0.5 and 1.5 times `seconds`.
export function thinkTime(seconds) {
  return seconds * (0.5 + Math.random());
}

export function think(seconds) {
  sleep(thinkTime(seconds));
}

// `name` is the template of the route: with the URL, each room would have its own series.
export function params(name, token) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  return { headers, tags: { name } };
}

// For setup(): sends all requests in small batches, and aborts the run if one fails.
export function all(requests) {
  const responses = [];
  for (let start = 0; start < requests.length; start += BATCH) {
    responses.push(...http.batch(requests.slice(start, start + BATCH)));
  }
  for (const response of responses) {
    if (response.status < 200 || response.status > 299) {
      fail(`${response.request.method} ${response.url} was answered ${response.status}: ${response.error || response.body}`);
    }
  }
  return responses;
}

export function post(name, path, token, body) {
  return ['POST', BASE_URL + path, body === undefined ? null : JSON.stringify(body), params(name, token)];
}

// Part of the names, so that a second run does not find rooms of the first one.
export function newRun() {
  return Date.now().toString(36);
}

export function signIn(names) {
  const responses = all(names.map((name) => post('/auth/demo', '/auth/demo', null, { name })));
  return responses.map((response, i) => ({ name: names[i], token: response.json('token') }));
}

// Creates rooms and distributes `people` among them; the first member creates the room. Returns rooms and members.
export function fillRooms(names, people) {
  const rooms = names.map((name, i) => ({ name, members: people.filter((_, j) => j % names.length === i) }));
  all(rooms.map((room) => post('/rooms', '/rooms', room.members[0].token, { name: room.name })));
  all(
    rooms.flatMap((room) =>
      room.members.slice(1).map((one) => post('/rooms/{room}/join', `/rooms/${room.name}/join`, one.token)),
    ),
  );
  return rooms;
}

// Returns a handleSummary that writes the summary as JSON and text, and prints the text.
export function summaryOf(script) {
  return (data) => {
    const report = asText(script, data);
    return {
      stdout: report,
      [`${SUMMARY_DIR}/${script}.json`]: JSON.stringify(data, null, 2),
      [`${SUMMARY_DIR}/${script}.txt`]: report,
    };
  };
}

function asText(script, data) {
  const lines = [`${script}, ${(data.state.testRunDurationMs / 1000).toFixed(1)} s`];
  for (const [name, metric] of Object.entries(data.metrics).sort()) {
    const values = Object.entries(metric.values).map(([key, value]) => `${key}=${rounded(value)}`);
    lines.push(`  ${name}: ${values.join(' ')}`);
    for (const [threshold, { ok }] of Object.entries(metric.thresholds || {})) {
      lines.push(`    ${ok ? 'passed' : 'FAILED'}: ${threshold}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function rounded(value) {
  return Number.isInteger(value) ? value : value.toFixed(value < 1 ? 4 : 2);
}
