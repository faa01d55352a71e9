// People who write in rooms: their number grows from 0 to USERS, and stays there.
//
//   k6 run --address 127.0.0.1:0 --no-usage-report -e BASE_URL=http://127.0.0.1:8000 chat_send_load.js
//
// Parameters, by `-e NAME=value` (further ones: lib.js):
//   USERS    300    people at the most
//   ROOMS    30     among which they are divided
//   RAMP_S   60     seconds from none to all of them
//   HOLD_S   60     seconds with all of them
//   THINK_S  1      from an answer to the next message, on average: uniform from half of it to one and a half
//   P95_MS   150    95 % of the messages are answered in fewer milliseconds
//   FAILED   0.01   the share of messages whose answer is not 2xx stays below

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
