// Users send nearby queries at a constant rate, regardless of the response times.
//
//   k6 run --address 127.0.0.1:0 --no-usage-report -e BASE_URL=http://127.0.0.1:8000 proximity_nearby_load.js
//
// Parameters, set with `-e NAME=value` (more of them: lib.js):
//   PEOPLE      300    users, whose positions are set before the start
//   RATE        200    requests per second
//   DURATION_S  60     seconds; a position expires after 90 s
//   RADIUS      500    metres: 100, 500 or 2000
//   USERS       300    maximum number of requests in flight; further ones are dropped
//   P95_MS      120    limit of the p95 latency, in milliseconds
//   FAILED      0.01   limit of the share of requests with a status other than 2xx
//   DROPPED     0.01   limit of the share of dropped requests

import exec from 'k6/execution';
import http from 'k6/http';
import {
  BASE_URL, TREND_STATS, all, failsBelow, newRun, number, p95Below, params, post, signIn, summaryOf,
} from './lib.js';

const PEOPLE = number('PEOPLE', 300);
const RATE = number('RATE', 200);
const DURATION_S = number('DURATION_S', 60);
const RADIUS = number('RADIUS', 500);
const USERS = number('USERS', 300);
const ROUTE = '/proximity/nearby';
// The centre of the campus, and the maximum distance of users in degrees: about 1,000 m.
const [LATITUDE, LONGITUDE, SPREAD] = [41.085, 29.044, 0.01];

export const options = {
  scenarios: {
    questions: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: `${DURATION_S}s`,
      preAllocatedVUs: Math.min(50, USERS),
      maxVUs: USERS,
      gracefulStop: '10s',
    },
  },
  setupTimeout: '120s',
  summaryTrendStats: TREND_STATS,
  thresholds: {
    [`http_reqs{name:${ROUTE}}`]: [],
    [`http_req_failed{name:${ROUTE}}`]: failsBelow(number('FAILED', 0.01)),
    [`http_req_duration{name:${ROUTE}}`]: p95Below(number('P95_MS', 120)),
    dropped_iterations: [`count<${Math.ceil(number('DROPPED', 0.01) * RATE * DURATION_S)}`],
  },
};

export function setup() {
  const run = newRun();
  const people = signIn(Array.from({ length: PEOPLE }, (_, i) => `load-${run}-${i}`));
  // After all users have signed in, because positions expire.
  all(
    people.map(({ token }) =>
      post('/presence/heartbeat', '/presence/heartbeat', token, { lat: near(LATITUDE), lon: near(LONGITUDE) }),
    ),
  );
  return { tokens: people.map(({ token }) => token) };
}

export default function ({ tokens }) {
  const token = tokens[exec.scenario.iterationInTest % tokens.length];
  http.get(`${BASE_URL}${ROUTE}?radius=${RADIUS}`, params(ROUTE, token));
}

function near(degrees) {
  return degrees + (2 * Math.random() - 1) * SPREAD;
}

export const handleSummary = summaryOf('proximity_nearby_load');
