// What test_k6_socketio.py has k6 do with the client of ops_assets/k6/socketio.js, against a server of the test.

import { check } from 'k6';

const { connect, Refused } = require(`${__ENV.SCRIPTS}/socketio.js`);
const URL = __ENV.BASE_URL;

export const options = { thresholds: { checks: ['rate==1'] } };

export default async function () {
  const client = await connect(URL, '/chat', { token: 'good' });
  const heard = [];
  let told;
  const isTold = new Promise((resolve) => {
    told = resolve;
  });
  let reason = '';
  client.onClose = (why) => {
    reason = why;
  };
  client.on('message', (...args) => {
    heard.push(args);
    return 'got it';
  });
  client.on('acknowledged', told);
  check(client, { 'is connected': ({ isOpen, id }) => isOpen && typeof id === 'string' });

  check(await client.call('echo', { text: 'Hello, \u2028 {"a":[1]}, "42/chat,"' }), {
    'one value': (answer) => answer.text === 'Hello, \u2028 {"a":[1]}, "42/chat,"',
  });
  check(await client.call('several', 1, 'two'), { 'several values': (answer) => JSON.stringify(answer) === '["two",1]' });
  check(await client.call('nothing'), { 'no value': (answer) => answer === undefined || answer === null });

  // The server sends `message`, waits for its acknowledgement, and says what that was.
  client.emit('say', 'Hello', 2);
  check(await isTold, { 'its answer is acknowledged': (answer) => answer === 'got it' });
  check(heard, { 'events arrive': () => JSON.stringify(heard) === '[["Hello",2]]' });

  // Answered once the server has got three answers to its pings.
  check(await client.call('after_pings', 3), { 'pings are answered': (answer) => answer === 'pinged' });

  let error;
  try {
    await connect(URL, '/chat', { token: 'bad' });
  } catch (refusal) {
    error = refusal;
  }
  check(error, {
    'is refused': () => error instanceof Refused && error.message.includes('Only the good.') && error.data.data === 7,
  });

  const second = await connect(URL, '/', undefined);
  check(await second.call('where'), { 'the default namespace': (answer) => answer === '/' });
  const lost = second.call('drop_me').catch((complaint) => complaint);
  check(await lost, { 'a call of a lost connection fails': ({ message }) => message.startsWith('no acknowledgement') });
  check(second, { 'the server may end it': ({ isOpen }) => !isOpen });
  await second.leave();

  try {
    await connect('http://127.0.0.1:9', '/chat');
  } catch (complaint) {
    error = complaint;
  }
  check(error, { 'nobody listens': ({ message }) => message.startsWith('no connection to /chat') });

  await client.leave();
  check(client, { 'has left': ({ isOpen }) => !isOpen });
  check(reason, { 'says why': () => reason !== '' });
  await client.call('echo').catch(({ message }) => check(message, { 'is closed': () => message.includes('closed') }));
}
