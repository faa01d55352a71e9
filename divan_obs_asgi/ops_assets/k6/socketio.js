// A Socket.IO client for k6: protocol 5 over Engine.IO 4 (as JavaScript clients 3 and 4, and python-socketio 5).
//
//   const client = await connect('http://127.0.0.1:8000', '/chat', { token });   // rejects if it is refused
//   client.on('message', (data) => { ... });             // the return value is the acknowledgement, if requested
//   client.emit('typing', { room });
//   const answer = await client.call('join', { room });  // resolves with the acknowledgement
//   await client.leave();
//
// A client has one WebSocket and one namespace. It does not support polling, reconnecting and binary data. Open clients
// keep their iteration alive. Inside handlers use http.asyncRequest: a blocking call would also block the pings.

// k6 up to 1.x has only the experimental module; newer versions deprecate it.
let WebSocket;
try {
  WebSocket = require('k6/websockets').WebSocket;
} catch (_) {
  WebSocket = require('k6/experimental/websockets').WebSocket;
}

const PATIENCE_MS = 30000;
// Packet types of Engine.IO, and of Socket.IO inside its messages.
const [OPEN, CLOSE, PING, PONG, MESSAGE] = ['0', '1', '2', '3', '4'];
const [CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR] = ['0', '1', '2', '3', '4'];
const PACKET = /^([0-6])(?:(\/[^,]*),)?(\d*)([^]*)$/;

export class Refused extends Error {
  constructor(data) {
    super(`The server refused the connection: ${(data && data.message) || JSON.stringify(data)}`);
    this.data = data;
  }
}

// Options: `path` (/socket.io/), and `patienceMs` (30000), the timeout of the connection and of each acknowledgement.
export function connect(baseUrl, namespace = '/', auth = undefined, options = {}) {
  return new Client(baseUrl, namespace, auth, { path: '/socket.io/', patienceMs: PATIENCE_MS, ...options })._connected;
}

class Client {
  constructor(baseUrl, namespace, auth, { path, patienceMs }) {
    this.isOpen = false;
    this.onClose = () => {}; // called once with the reason; not if the connection was never open
    this._prefix = namespace === '/' ? '' : `${namespace},`;
    this._namespace = namespace;
    this._auth = auth;
    this._patienceMs = patienceMs;
    this._handlers = {};
    this._waiting = {};
    this._nextId = 0;
    this._left = waiter(patienceMs, () => `${namespace} was not left`);
    this._connecting = waiter(patienceMs, () => `no connection to ${namespace}`).start();
    // If the connection fails, nothing waits for its end.
    this._left.promise.catch(() => {});
    this._connected = this._connecting.promise.catch((error) => {
      this._end(error.message);
      throw error;
    });
    const url = `${baseUrl.replace(/^http/, 'ws')}${path}?EIO=4&transport=websocket`;
    this._socket = new WebSocket(url, null, { tags: { name: path } });
    this._socket.addEventListener('message', ({ data }) => this._received(data));
    this._socket.addEventListener('error', (event) => this._end(event.error || 'error of the WebSocket'));
    this._socket.addEventListener('close', () => this._end('the WebSocket was closed'));
  }

  on(event, handler) {
    this._handlers[event] = handler;
  }

  emit(event, ...args) {
    this._send(EVENT, '', [event, ...args]);
  }

  // Resolves with the content of the acknowledgement: undefined, one value, or an array of several values.
  call(event, ...args) {
    if (!this.isOpen) {
      return Promise.reject(new Error(`${event} was not sent: the connection is closed`));
    }
    const id = this._nextId++;
    const acknowledged = waiter(this._patienceMs, () => `${event} was not acknowledged`).start();
    this._waiting[id] = acknowledged;
    this._send(EVENT, id, [event, ...args]);
    return acknowledged.promise;
  }

  // Leaves the namespace and closes the WebSocket; resolves when the WebSocket is closed.
  leave() {
    if (!this.isOpen) {
      return Promise.resolve();
    }
    this._left.start();
    this._send(DISCONNECT, '', undefined);
    this._socket.close();
    return this._left.promise;
  }

  _received(data) {
    if (typeof data !== 'string') {
      this._end('binary data is not supported');
      return;
    }
    const type = data[0];
    if (type === OPEN) {
      this._opened(JSON.parse(data.slice(1)));
    } else if (type === PING) {
      this._socket.send(PONG + data.slice(1));
      this._expectPing();
    } else if (type === MESSAGE) {
      this._receivedPacket(data.slice(1));
    } else if (type === CLOSE) {
      this._end('the server closed the connection');
    }
  }

  _opened({ pingInterval, pingTimeout }) {
    this._pingWithinMs = pingInterval + pingTimeout;
    this._expectPing();
    this._send(CONNECT, '', this._auth);
  }

  _expectPing() {
    clearTimeout(this._noPing);
    this._noPing = setTimeout(() => this._end(`no ping in ${this._pingWithinMs} ms`), this._pingWithinMs);
  }

  _receivedPacket(packet) {
    const [, type, namespace, id, json] = PACKET.exec(packet) || [];
    if (type === undefined || (namespace || '/') !== this._namespace) {
      if (type === '5' || type === '6') {
        this._end('binary data is not supported');
      }
      return;
    }
    const data = json ? JSON.parse(json) : undefined;
    if (type === CONNECT) {
      this.isOpen = true;
      this.id = data && data.sid;
      this._connecting.resolve(this);
    } else if (type === CONNECT_ERROR) {
      this._connecting.reject(new Refused(data));
    } else if (type === EVENT) {
      this._happened(id, data);
    } else if (type === ACK && this._waiting[id]) {
      this._waiting[id].resolve(data.length > 1 ? data : data[0]);
      delete this._waiting[id];
    } else if (type === DISCONNECT) {
      this._end('the server ended the connection');
    }
  }

  _happened(id, [event, ...args]) {
    const handler = this._handlers[event];
    const answer = handler && handler(...args);
    if (id !== '') {
      Promise.resolve(answer).then((value) => this._send(ACK, id, value === undefined ? [] : [value]));
    }
  }

  _send(type, id, data) {
    if (this._ended) {
      return;
    }
    this._socket.send(MESSAGE + type + this._prefix + id + (data === undefined ? '' : JSON.stringify(data)));
  }

  _end(reason) {
    if (this._ended) {
      return;
    }
    this._ended = true;
    clearTimeout(this._noPing);
    const wasOpen = this.isOpen;
    this.isOpen = false;
    this._socket.close();
    this._connecting.reject(new Error(`no connection to ${this._namespace}: ${reason}`));
    for (const acknowledged of Object.values(this._waiting)) {
      acknowledged.reject(new Error(`no acknowledgement: ${reason}`));
    }
    this._left.resolve();
    if (wasOpen) {
      this.onClose(reason);
    }
  }
}

// A promise that is settled from outside, and rejected after a timeout.
function waiter(patienceMs, complaint) {
  const made = {};
  let timer;
  made.promise = new Promise((resolve, reject) => {
    made.resolve = (value) => {
      clearTimeout(timer);
      resolve(value);
    };
    made.reject = (error) => {
      clearTimeout(timer);
      reject(error);
    };
  });
  made.start = () => {
    timer = setTimeout(() => made.reject(new Error(`${complaint()} in ${patienceMs} ms`)), patienceMs);
    return made;
  };
  return made;
}
