// Users listen to rooms over Socket.IO and post messages over HTTP. Each member must get each message of the room once.
//
//   k6 run --address 127.0.0.1:0 --no-usage-report -e BASE_URL=http://127.0.0.1:8000 socketio_chat_load.js
//
// Each room is one virtual user of k6, with one client for each member. The members start when all have joined, and
// leave when all messages have arrived, so the counts are exact.
//
// Parameters, set with `-e NAME=value` (more of them: lib.js):
//   CLIENTS          200    Socket.IO clients
//   ROOMS            20     number of rooms
//   DURATION_S       60     seconds during which messages are posted
//   THINK_S          5      mean pause in seconds between two messages of a user
//   PATIENCE_S       30     timeout in seconds of a connection and of an acknowledgement
//   LAST_S           30     maximum wait in seconds for the last messages
//   ACK_P95_MS       150    limit of the p95 of acknowledgements, in milliseconds
//   DELIVERY_P95_MS  250    limit of the p95 from the request to the delivery, in milliseconds

import { fail } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import {
  BASE_URL, TREND_STATS, failsBelow, fillRooms, newRun, number, p95Below, params, signIn, summaryOf, thinkTime,
} from './lib.js';
import { connect } from './socketio.js';

const CLIENTS = number('CLIENTS', 200);
const ROOMS = Math.min(number('ROOMS', 20), CLIENTS);
const DURATION_S = number('DURATION_S', 60);
const THINK_S = number('THINK_S', 5);
const PATIENCE_S = number('PATIENCE_S', 30);
const LAST_S = number('LAST_S', 30);
const ROUTE = '/rooms/{room}/messages';

// Acknowledgements, by the tag `name`: the 201 of a message, and Socket.IO's acknowledgement of join and leave.
const ackMs = new Trend('socketio_ack_ms');
const deliveryMs = new Trend('socketio_delivery_ms');
const expected = new Counter('socketio_events_expected');
const received = new Counter('socketio_events_received');
const missing = new Counter('socketio_events_missing');
const unexpected = new Counter('socketio_events_unexpected'); // duplicates, or messages of another room
const refusals = new Counter('socketio_refusals');
const lost = new Counter('socketio_connections_lost');

export const options = {
  scenarios: {
    rooms: {
      executor: 'per-vu-iterations',
      vus: ROOMS,
      iterations: 1,
      maxDuration: `${DURATION_S + LAST_S + 5 * PATIENCE_S}s`,
      gracefulStop: '0s',
    },
  },
  setupTimeout: '120s',
  summaryTrendStats: TREND_STATS,
  thresholds: {
    [`http_reqs{name:${ROUTE}}`]: [],
    [`http_req_failed{name:${ROUTE}}`]: failsBelow(0.01),
    socketio_ack_ms: p95Below(number('ACK_P95_MS', 150)),
    socketio_delivery_ms: p95Below(number('DELIVERY_P95_MS', 250)),
    socketio_events_received: ['count>0'],
    socketio_events_missing: ['count==0'],
    socketio_events_unexpected: ['count==0'],
    socketio_refusals: [{ threshold: 'count==0', abortOnFail: true, delayAbortEval: '10s' }],
    socketio_connections_lost: ['count==0'],
    // Rooms that did not finish.
    dropped_iterations: ['count==0'],
    iterations: [`count==${ROOMS}`],
  },
};

export function setup() {
  const run = newRun();
  const people = signIn(Array.from({ length: CLIENTS }, (_, i) => `load-${run}-${i}`));
  return { rooms: fillRooms(Array.from({ length: ROOMS }, (_, i) => `load-${run}-${i}`), people) };
}

export default async function ({ rooms }) {
  const room = new Room(rooms[exec.vu.idInTest - 1]);
  try {
    await room.enter();
    await room.write(Date.now() + DURATION_S * 1000);
    await room.listenToTheEnd();
    await room.leave();
  } finally {
    room.count();
  }
}

class Room {
  constructor({ name, members }) {
    this._name = name;
    this._members = members;
    this._clients = [];
    this._written = {}; // text -> its time and its recipients
  }

  async enter() {
    this._clients = await Promise.all(this._members.map((member, i) => this._enter(member, i)));
  }

  async _enter({ token }, i) {
    let client;
    try {
      client = await connect(BASE_URL, '/chat', { token }, { patienceMs: PATIENCE_S * 1000 });
    } catch (error) {
      refusals.add(1);
      throw error;
    }
    client.onClose = () => lost.add(1);
    client.on('message', ({ text }) => this._heard(i, text));
    await this._call(client, 'join');
    return client;
  }

  async _call(client, event) {
    const began = Date.now();
    const answer = await client.call(event, { room: this._name });
    ackMs.add(Date.now() - began, { name: event });
    if (!answer.ok) {
      refusals.add(1);
      fail(`${event} was refused: ${answer.error}`);
    }
  }

  async write(until) {
    await Promise.all(this._members.map((member, i) => this._write(member, i, until)));
  }

  async _write({ token }, i, until) {
    for (let n = 0; ; n++) {
      await pause(thinkTime(THINK_S));
      if (Date.now() >= until) {
        return;
      }
      const text = `Message ${n} of ${i} in ${this._name}`;
      const message = { began: Date.now(), heard: new Set(), isStored: false };
      this._written[text] = message;
      const url = `${BASE_URL}/rooms/${this._name}/messages`;
      const response = await http.asyncRequest('POST', url, JSON.stringify({ text }), params(ROUTE, token));
      if (response.status === 201) {
        ackMs.add(Date.now() - message.began, { name: 'message' });
        message.isStored = true;
      }
    }
  }

  _heard(i, text) {
    const message = this._written[text];
    if (!message || message.heard.has(i)) {
      unexpected.add(1);
      return;
    }
    message.heard.add(i);
    received.add(1);
    deliveryMs.add(Date.now() - message.began);
  }

  _missing() {
    const stored = Object.values(this._written).filter(({ isStored }) => isStored);
    return stored.reduce((sum, { heard }) => sum + this._members.length - heard.size, 0);
  }

  async listenToTheEnd() {
    const deadline = Date.now() + LAST_S * 1000;
    while (this._missing() > 0 && Date.now() < deadline) {
      await pause(0.05);
    }
  }

  // Everything that the server sent before the acknowledgement has arrived by then, so duplicates are found.
  async leave() {
    await Promise.all(this._clients.map((client) => this._call(client, 'leave')));
    for (const client of this._clients) {
      client.onClose = () => {};
    }
    await Promise.all(this._clients.map((client) => client.leave()));
  }

  count() {
    const stored = Object.values(this._written).filter(({ isStored }) => isStored).length;
    expected.add(stored * this._members.length);
    missing.add(this._missing());
    for (const counter of [received, unexpected, refusals, lost]) {
      counter.add(0); // the summary then includes the counter
    }
  }
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

export const handleSummary = summaryOf('socketio_chat_load');
