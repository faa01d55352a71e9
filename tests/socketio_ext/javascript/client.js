// A Socket.IO client of a test: commands come in as JSON lines, each is answered by one with the same id.
"use strict";
const readline = require("node:readline");
const { Manager } = require("socket.io-client");

const PATIENCE_MS = 30_000;
const late = []; // Answers to `late_question`, which the server has given up waiting for once a call returns.
const managers = new Map(); // By the name that the test gives a client: its manager, and a socket for each namespace.

// JSON has no bytes: {"$bytes": "<base64>"} stands for them, on the way in and on the way out.
const bytes = (value) =>
  Array.isArray(value) ? value.map(bytes) : value && value.$bytes !== undefined ? Buffer.from(value.$bytes, "base64") : value;
const told = (value) =>
  Array.isArray(value) ? value.map(told) : Buffer.isBuffer(value) ? { $bytes: value.toString("base64") } : value;

/** Resolve when `there()` returns something, asked again at each of the emitter's events. */
function until(what, there, emitter, ...events) {
  return new Promise((resolve, reject) => {
    const done = (settle, value) => {
      clearTimeout(timer);
      events.forEach((event) => emitter.off(event, look));
      settle(value);
    };
    const look = () => there() && done(resolve, there());
    const timer = setTimeout(() => done(reject, new Error(`waited in vain for ${what}`)), PATIENCE_MS);
    events.forEach((event) => emitter.on(event, look));
    look();
  });
}

function managerOf({ client, url, transports, headers, query, protocol, once }) {
  if (!managers.has(client)) {
    const options = { transports, reconnectionDelay: 50, reconnectionDelayMax: 100, timeout: PATIENCE_MS, forceNew: true };
    // A client that is to be refused asks once, so that a test can count.
    if (once) options.reconnection = false;
    const manager = new Manager(url, { ...options, query, extraHeaders: headers, autoConnect: false });
    if (protocol) manager.opts.path = `/socket.io/?EIO=${protocol}`;
    managers.set(client, { manager, sockets: new Map() });
  }
  return managers.get(client);
}

const socketOf = ({ client, namespace }) => managers.get(client).sockets.get(namespace);
const engineOf = ({ client }) => managers.get(client).manager.engine;

/** The address at which the client polls, or would poll if it did not use WebSocket. */
function pollingUrlOf(wish) {
  const url = new URL(engineOf(wish).transport.uri());
  url.protocol = "http:";
  url.searchParams.set("transport", "polling");
  return url;
}

const commands = {
  async connect(wish) {
    const { manager, sockets } = managerOf(wish);
    const socket = sockets.get(wish.namespace) || manager.socket(wish.namespace, { auth: wish.auth });
    if (!sockets.has(wish.namespace)) {
      sockets.set(wish.namespace, socket);
      socket.received = [];
      socket.connects = 0;
      socket.on("connect", () => socket.connects++);
      socket.onAny((event, ...args) => {
        const answer = typeof args.at(-1) === "function" ? args.pop() : null;
        socket.received.push([event, ...args]);
        if (answer && event === "late_question") late.push(() => answer(...args));
        else if (answer) answer(...args);
        socket.emitReserved("kept");
      });
    }
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
      socket.connect();
      // As a proxy does that ends the WebSocket of the upgrade after the probe.
      if (wish.cutUpgrade) manager.engine.once("upgrading", (transport) => transport.close());
    });
    if (wish.cutUpgrade) {
      await until("the failed upgrade", () => manager.engine.upgrading, manager.engine, "upgradeError");
      // engine.io-client 6.6 leaves it so, and would neither send nor close any more.
      manager.engine.upgrading = false;
    } else if (wish.transports.length > 1)
      await until("the upgrade", () => manager.engine.transport.name === wish.transports.at(-1), manager.engine, "upgrade");
  },
  /** Send a packet of Engine.IO, as it is written. */
  async write(wish) {
    const { transport } = engineOf(wish);
    if (transport.name === "websocket") transport.ws.send(wish.packet);
    else transport.doWrite(wish.packet, () => {});
  },
  /** Send a request by the transport of a polling client, which offers this for its own requests. */
  async request(wish) {
    await new Promise((resolve) => {
      const request = engineOf(wish).transport.request({ method: wish.method });
      request.on("success", resolve);
      request.on("error", resolve);
    });
  },
  /** Post with the session of the client what its transport would not post: a body in chunks, or when it uses WebSocket. */
  async post_beside(wish) {
    const body = wish.chunked ? new Blob([wish.body]).stream() : wish.body;
    return (await fetch(pollingUrlOf(wish), { method: "POST", body, duplex: "half" })).status;
  },
  /**
   * Poll with the session of the client while it polls itself. Have the client answer pings late.
   * The second poll begins with the first answer, when that of the client has been waiting for a while.
   */
  async poll_beside(wish) {
    const engine = engineOf(wish);
    const url = pollingUrlOf(wish);
    const write = engine.transport.doWrite.bind(engine.transport);
    const closed = new Promise((resolve) => engine.once("close", resolve));
    const answered = new Promise((resolve) => {
      engine.transport.doWrite = (...args) => setTimeout(() => resolve(write(...args)), wish.late_ms);
    });
    if (await Promise.race([answered, closed])) return null;
    const answer = await (await fetch(url)).text();
    await closed;
    return answer;
  },
  /** Emit many times in one go, so that a polling client sends them in one body. */
  async burst(wish) {
    for (let number = 0; number < wish.count; number++) socketOf(wish).emit(wish.event, number);
  },
  /** Poll with another session, as a client does whose requests reach another process. */
  async lose(wish) {
    const engine = engineOf(wish);
    engine.transport.query.sid = wish.sid;
    engine.write("");
  },
  /** Return when what was sent has arrived, or the connection has ended. */
  async settle(wish) {
    const known = managers.get(wish.client);
    const engine = known && known.manager.engine;
    if (!engine || engine.readyState !== "open") return;
    await new Promise((resolve) => {
      engine.once("close", resolve);
      if (engine.transport.name === "websocket") engine.transport.ws.ping ? engine.transport.ws.ping(resolve) : resolve();
      else engine.once("heartbeat", resolve);
    });
  },
  async emit(wish) {
    socketOf(wish).emit(wish.event, ...bytes(wish.args));
  },
  async call(wish) {
    const answer = await socketOf(wish).timeout(PATIENCE_MS).emitWithAck(wish.event, ...bytes(wish.args));
    late.splice(0).forEach((say) => say());
    return answer;
  },
  async received(wish) {
    const socket = socketOf(wish);
    const fitting = () => socket.received.filter(([event]) => event === wish.event).map(([, ...args]) => args);
    await until(`${wish.count} times ${wish.event}`, () => fitting().length >= wish.count, socket, "kept");
    return fitting();
  },
  async ids(wish) {
    return { sid: socketOf(wish).id, engine: engineOf(wish).id, transport: engineOf(wish).transport.name };
  },
  async drop(wish) {
    engineOf(wish).close();
  },
  async connected(wish) {
    const socket = socketOf(wish);
    await until(`${wish.count} connects`, () => socket.connected && socket.connects >= wish.count, socket, "connect");
  },
  async disconnected(wish) {
    await until("a disconnect", () => !socketOf(wish).connected, socketOf(wish), "disconnect");
  },
  async disconnect(wish) {
    socketOf(wish).disconnect();
  },
  async close(wish) {
    const known = managers.get(wish.client);
    managers.delete(wish.client);
    if (!known) return;
    known.manager.reconnection(false);
    known.sockets.forEach((socket) => socket.disconnect());
    known.manager._close();
  },
};

async function obey(line) {
  const wish = JSON.parse(line);
  let answer;
  try {
    answer = { ok: told(await commands[wish.do](wish)) ?? null };
  } catch (error) {
    answer = { error: error.message, data: error.data ?? null };
  }
  process.stdout.write(`${JSON.stringify({ id: wish.id, ...answer })}\n`);
}

readline
  .createInterface({ input: process.stdin })
  .on("line", obey)
  .on("close", () => process.exit(0));
