// What the load tests share: parameters, sign-in, think time, thresholds, the summary.
//
// Parameters of every script, by `-e NAME=value`:
//   BASE_URL       http://127.0.0.1:8000   where the backend is served
//   JUDGE_LATENCY  1                       0 leaves out the thresholds on latency; those on errors and counts stay
//   SUMMARY_DIR    .                       where <script>.json and <script>.txt are written

import { fail, sleep } from 'k6';
import http from 'k6/http';

// Anything but 2xx counts as failed; by default k6 takes 3xx for success, too.
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

// Ends the run early: a backend that fails need not be tortured. The first requests may fail while pools fill up.
export function failsBelow(rate) {
  return [{ threshold: `rate<${rate}`, abortOnFail: true, delayAbortEval: '10s' }];
}

export function p95Below(ms) {
  return JUDGES_LATENCY ? [`p(95)<${ms}`] : [];
}

// Uniform from half of `seconds` to one and a half.
export function thinkTime(seconds) {
  return seconds * (0.5 + Math.random());
}

export function think(seconds) {
  sleep(thinkTime(seconds));
}

// `name` is the template of the route: with the URL itself, each room would be a series of its own.
export function params(name, token) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) {
    headers.Authorization = `Bearer ${token}`;
  }
  return { headers, tags: { name } };
}

// For setup(): sends all requests, some at a time, and ends the run where one is refused.
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

// Part of names, so that a second run finds no rooms of the first.
export function newRun() {
  return Date.now().toString(36);
}

export function signIn(names) {
  const responses = all(names.map((name) => post('/auth/demo', '/auth/demo', null, { name })));
  return responses.map((response, i) => ({ name: names[i], token: response.json('token') }));
}

// Makes rooms and puts `people` into them in turn; the first of each room makes it. Returns the rooms and their members.
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

// Returns a handleSummary that writes JSON and text, and shows the text.
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
