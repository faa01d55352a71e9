// The ops console: the token, the tabs, the links, the keys, and the state that all of them show.

import { about } from './about.js';
import { actions } from './actions.js';
import { Client, problem } from './client.js';
import { clients } from './clients.js';
import { showHelp } from './dialogs.js';
import { button, element, setText, when } from './dom.js';
import { errors } from './errors.js';
import { clock } from './format.js';
import { makeHeader } from './header.js';
import { health } from './health.js';
import { loop } from './loop.js';
import { merge } from './merge.js';
import { monitoring } from './monitoring.js';
import { Poll } from './poll.js';
import { requests } from './requests.js';
import { routes } from './routes.js';

const TABS = [requests, errors, routes, health, loop, clients, monitoring, about, actions];
/** The tab that a link like #error=… leads to. */
const TAB_OF_LINK = new Map([['request', 'requests'], ['trace', 'requests'], ['error', 'errors'], ['route', 'routes']]);

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const token = /** @type {HTMLInputElement} */ (byId('token'));

const client = new Client();
const keys = { enabled: true };
/** Processes that have answered, with their start: an answer of another worker is not a restart. */
const seen = new Set();
/** @type {State | null} */
let state = null;
let current = 'requests';
let wanted = '';

/** @type {View} */
const view = {
	state: { cursor: '', full: true, restarted: false, now: 0 },
	filter: '',
	open: {},
	detail: null,
	detailProblem: '',
	go(tab, id = '') {
		const kind = [...TAB_OF_LINK].find(([, one]) => one === tab)?.[0] ?? 'tab';
		location.hash = id ? `${kind}=${encodeURIComponent(id.toWellFormed())}` : `tab=${tab}`;
	},
	async act(action, body, headers = {}) {
		const prefix = state?.service?.prefix ?? '';
		const path = prefix && action.path.startsWith(`${prefix}/`) ? action.path.slice(prefix.length) : action.path;
		const answer = await client.send(path, { method: action.method, body, headers });
		void poll.now();
		return answer;
	},
};

const showHeader = makeHeader(byId('header'));
const filter = element('input', { type: 'search', 'aria-label': 'Filter', placeholder: 'Filter (/)', autocomplete: 'off', spellcheck: 'false' });
const pause = button('Pause', () => setPaused(!poll.paused), { 'aria-pressed': 'false' });
byId('tools').append(filter, pause, button('Keys', () => showHelp(keys)), button('Lock', () => lock('')));

const panels = TABS.map((tab) => {
	const panel = element('section', { role: 'tabpanel', id: `panel-${tab.id}`, 'aria-labelledby': `tab-${tab.id}`, tabindex: '0' });
	const label = button(tab.id.replace(/^./, (letter) => letter.toUpperCase()), () => view.go(tab.id), { role: 'tab', id: `tab-${tab.id}`, 'aria-controls': panel.id });
	byId('tabs').append(label);
	byId('panels').append(panel);
	return { tab, panel, label, show: tab.make(panel, view) };
});

function render() {
	if (!state) {
		return;
	}
	view.state = state;
	attempt(() => showHeader(view.state));
	for (const { tab, panel, label, show } of panels) {
		const selected = tab.id === current;
		panel.hidden = !selected;
		label.setAttribute('aria-selected', String(selected));
		label.tabIndex = selected ? 0 : -1;
		if (selected) {
			attempt(() => show(view));
		}
	}
}

/**
 * Let a part that fails say so, and the others go on.
 * @param {() => void} part
 */
function attempt(part) {
	try {
		part();
	} catch (error) {
		setText(byId('status'), `A part of this page failed: ${error}. What it shows may be old.`);
	}
}

/** @param {string} text */
function notice(text) {
	const made = element('p', {}, when(Date.now() / 1000), `${text} `);
	made.append(button('Dismiss', () => made.remove()));
	byId('notices').replaceChildren(made);
}

const poll = new Poll({
	say: (text) => setText(byId('status'), `${trouble ? `${trouble} ` : ''}${text}`),
	async ask(signal) {
		const since = state ? `?since=${encodeURIComponent(state.cursor)}` : '';
		const answer = await client.send(`/ops/console/state${since}`).catch(() => null);
		if (!signal.current()) {
			return 0;
		}
		if (answer?.status === 200 && answer.content) {
			signal.failed = 0;
			trouble = '';
			attempt(() => take(answer.content));
			return 0;
		}
		signal.failed += 1;
		trouble = answer ? `The service answers ${problem(answer)}.` : `The service cannot be reached since ${clock(reached)}; what you see is from then.`;
		if (!state || answer?.status === 401 || answer?.status === 403) {
			lock(answer ? refused(answer) : 'The service cannot be reached.');
		}
		return answer?.retryAfter ?? 0;
	},
});
let trouble = '';
let reached = 0;

/** @param {Answer} answer */
function refused(answer) {
	return answer.status === 401
		? 'This token is wrong.'
		: answer.status === 429
			? `Too many wrong tokens from your address: this is the limit. Wait ${answer.retryAfter} s. The right token passes all the same.`
			: `The service refuses, ${problem(answer)}`;
}
let tried = false;

/** @param {State} answer */
function take(answer) {
	reached = Date.now() / 1000;
	const first = !state;
	const process = `${answer.workers?.answering} ${answer.service?.started}`;
	if (!first && answer.restarted && !seen.has(process)) {
		const known = answer.workers?.known !== false;
		notice(`The service has restarted${known ? '. What it kept before is gone.' : `, or another of its workers answers (${process.split(' ')[0]}).`}`);
	}
	seen.add(process);
	if (!first && answer.forgotten?.bytes && !state?.forgotten?.bytes) {
		notice('The memory of the console is full (OBS_CONSOLE_BYTES): the oldest entries go.');
	}
	state = merge(state, answer);
	if (first) {
		byId('closed').hidden = true;
		byId('open').hidden = false;
		token.value = '';
		follow();
	}
	setText(byId('status'), `Live, ${clock(reached)}`);
	if (wanted) {
		follow();
	}
	render();
}

/**
 * Forget everything, and ask for the token.
 * @param {string} why
 */
function lock(why) {
	poll.stop();
	client.use('');
	state = null;
	view.detail = null;
	trouble = '';
	setPaused(false);
	token.value = '';
	byId('notices').replaceChildren();
	byId('open').hidden = true;
	byId('closed').hidden = false;
	setText(byId('refusal'), why);
	token.focus();
}

byId('door').addEventListener('submit', (event) => {
	event.preventDefault();
	const typed = token.value.trim();
	if (!/^[\x21-\x7e]+$/.test(typed)) {
		setText(byId('refusal'), 'A token has letters, digits and signs of ASCII only.');
		return;
	}
	tried = true;
	setText(byId('refusal'), 'Asking …');
	client.use(typed);
	poll.start();
});

/** @param {boolean} paused */
function setPaused(paused) {
	setText(pause, paused ? 'Go on' : 'Pause');
	pause.setAttribute('aria-pressed', String(paused));
	poll.pause(paused);
}

/** Show what the link in the address names. */
function follow() {
	let [, kind = '', id = ''] = /^#(\w+)=(.*)/.exec(location.hash) ?? [];
	try {
		id = decodeURIComponent(id);
	} catch {
		// A % that somebody typed.
	}
	const tab = TAB_OF_LINK.get(kind);
	wanted = '';
	view.open = {};
	if (tab && id) {
		current = tab;
		view.open = { [tab]: id };
		if (tab === 'requests') {
			openRequest(kind, id);
		}
	} else if (kind === 'tab' && TABS.some((one) => one.id === id)) {
		current = id;
	}
	render();
}

/** @param {string} kind @param {string} id the console's own, a request id or a trace id */
async function openRequest(kind, id) {
	const found = state?.requests?.find((one) => (kind === 'trace' ? one.trace_id === id : one.id === id || one.request_id === id));
	view.detail = null;
	view.detailProblem = '';
	if (!found && !(kind === 'request' && /^[A-Za-z0-9]{1,40}-[A-Za-z0-9]{1,40}$/.test(id))) {
		view.detailProblem = `No such request is kept (${kind}). It may still come, or be forgotten, or be of another worker.`;
		wanted = id;
		return;
	}
	const own = found?.id ?? id;
	view.open = { requests: own };
	try {
		const answer = await client.send(`/ops/console/requests/${encodeURIComponent(own)}`);
		if (view.open.requests !== own) {
			return;
		}
		if (answer.status === 200 && answer.content?.request) {
			view.detail = answer.content;
		} else {
			view.detailProblem = answer.status === 404 ? 'This request is forgotten.' : `The service refuses, ${problem(answer)}`;
		}
	} catch {
		view.detailProblem = 'The service cannot be reached.';
	}
	render();
	if (current === 'requests') {
		/** @type {HTMLElement | null} */ (document.querySelector('#panel-requests .detail'))?.focus();
	}
}

addEventListener('hashchange', () => state && follow());
filter.addEventListener('input', () => {
	view.filter = filter.value;
	render();
});

byId('tabs').addEventListener('keydown', (event) => {
	const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
	const at = panels.findIndex(({ label }) => label === document.activeElement);
	const next = step && panels.at((at + step) % panels.length)?.label;
	if (next) {
		event.preventDefault();
		next.focus();
		next.click();
	}
});

/** @param {number} step */
function move(step) {
	const links = /** @type {HTMLElement[]} */ ([...document.querySelectorAll(`#panel-${current} .opens th a`)]);
	const at = links.findIndex((one) => one.closest('tr')?.contains(document.activeElement));
	links[Math.min(Math.max(at + step, 0), links.length - 1)]?.focus();
}

/** @type {Record<string, () => void>} */
const KEYS = {
	'/': () => filter.focus(),
	j: () => move(1),
	k: () => move(-1),
	p: () => setPaused(!poll.paused),
	'?': () => showHelp(keys),
	Escape: () => view.open[current] && view.go(current),
};

addEventListener('keydown', (event) => {
	if (!state || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) {
		return;
	}
	const target = /** @type {HTMLElement} */ (event.target);
	if (target.matches('input, select')) {
		if (event.key === 'Escape') {
			target.blur();
		}
		return;
	}
	const act = keys.enabled && Object.hasOwn(KEYS, event.key) ? KEYS[event.key] : undefined;
	if (act) {
		event.preventDefault();
		act();
	}
});

token.focus();
// Where OBS_METRICS_PUBLIC opens it, no token is needed.
const { status, content } = await client.send('/ops/console/state').catch(() => ({ status: 0, content: null }));
if (!tried && status === 200 && content) {
	take(content);
	poll.start();
} else if (!tried && status === 403) {
	setText(byId('refusal'), `The service refuses: ${content?.detail}`);
}
