// Users post messages in rooms. Their number grows from 0 to USERS and then stays constant.
//
//   k6 run --address 127.0.0.1:0 --no-usage-report -e BASE_URL=http://127.0.0.1:8000 chat_send_load.js
//
// Parameters, set with `-e NAME=value` (more of them: lib.js):
//   USERS    300    maximum number of users
//   ROOMS    30     number of rooms
//   RAMP_S   60     seconds until all users are active
//   HOLD_S   60     seconds with all users
//   THINK_S  1      mean pause in seconds between a response and the next message
//   P95_MS   150    limit of the p95 latency of a message, in milliseconds
//   FAILED   0.01   limit of the share of messages with a status other than 2xx

import exec from 'k6/execution';
import http from 'k6/http';
import {
  BASE_URL, TREND_STATS, failsBelow, fillRooms, newRun, number, p95Below, params, signIn, summaryOf, think,
} from './lib.js';

const USERS = number('USERS', 300);
const ROOMS = Math.min(number('ROOMS', 30), USERS);
const THINK_S = number('THINK_S', 1);
const ROUTE = '/rooms/{room}/messages';

export const options = {
  scenarios: {
    people: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: `${number('RAMP_S', 60)}s`, target: USERS },
        { duration: `${number('HOLD_S', 60)}s`, target: USERS },
      ],
      gracefulStop: '10s',
    },
  },
  setupTimeout: '120s',
  summaryTrendStats: TREND_STATS,
  thresholds: {
    [`http_reqs{name:${ROUTE}}`]: [],
    [`http_req_failed{name:${ROUTE}}`]: failsBelow(number('FAILED', 0.01)),
    [`http_req_duration{name:${ROUTE}}`]: p95Below(number('P95_MS', 150)),
  },
};

export function setup() {
  const run = newRun();
  const people = signIn(Array.from({ length: USERS }, (_, i) => `load-${run}-${i}`));
  fillRooms(Array.from({ length: ROOMS }, (_, i) => `load-${run}-${i}`), people);
  return { people: people.map(({ token }, i) => ({ token, room: `load-${run}-${i % ROOMS}` })) };
}

export default function ({ people }) {
  const { token, room } = people[(exec.vu.idInTest - 1) % people.length];
  const text = `Message ${exec.vu.iterationInScenario} of ${exec.vu.idInTest}`;
  http.post(`${BASE_URL}/rooms/${room}/messages`, JSON.stringify({ text }), params(ROUTE, token));
  think(THINK_S);
}

export const handleSummary = summaryOf('chat_send_load');
