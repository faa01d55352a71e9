// The header: which service this is, whether it is well, and the six numbers.

import { element, mark, setText } from './dom.js';
import { ago, duration, number, share } from './format.js';
import { sparkline } from './sparkline.js';

/** @type {[string, string, (value: number | null | undefined) => string][]} */
const NUMBERS = [
	['requests_per_s', 'Requests/s', number],
	['error_share', 'Errors', share],
	['p95_ms', 'p95', duration],
	['in_flight', 'In flight', number],
	['loop_lag_ms', 'Loop lag', duration],
	['clients', 'Clients', number],
];

/** @param {State} state */
function workersText({ workers }) {
	if (!workers) {
		return '';
	}
	const { known, list, answering, skipped_files: skipped } = workers;
	if (!known) {
		return `This worker (${answering}) of unknown many: requests of others are not shown.`;
	}
	const alive = list.filter((one) => one.alive).length;
	const files = skipped ? ` ${skipped} files could not be read and are left out.` : '';
	return `${alive} of ${list.length} workers running, ${answering} answers.${files}`;
}

/**
 * Build the header, and return what brings it up to date.
 * @param {HTMLElement} header
 */
export function makeHeader(header) {
	const name = element('h1');
	const about = element('p', { class: 'about' });
	const ready = element('p', { class: 'ready' });
	const workers = element('p', { class: 'workers' });
	const numbers = element('ul', { class: 'numbers', 'aria-label': 'Now, and the last hour' });
	const cells = NUMBERS.map(([id, title, shown]) => {
		const value = element('strong');
		const line = element('span', { class: 'hour' });
		numbers.append(element('li', {}, element('span', {}, title), value, line));
		return { id, title, shown, value, line, last: '' };
	});
	header.append(element('div', { class: 'who' }, name, ready, about, workers), numbers);
	let wasReady = '';
	return (/** @type {State} */ state) => {
		const { service, now } = state;
		if (service) {
			setText(name, service.name || 'Service');
			document.title = `${name.textContent} – console`;
			setText(about, [service.env, service.version, service.commit, `started ${ago(service.started, now)}`].filter(Boolean).join(' · '));
			const state = service.draining ? 'draining' : service.ready ? 'ready' : 'not ready';
			if (state !== wasReady) {
				wasReady = state;
				ready.replaceChildren(mark(state === 'ready', state));
			}
		}
		setText(workers, workersText(state));
		for (const cell of cells) {
			const quantity = state.numbers?.[cell.id];
			setText(cell.value, cell.shown(quantity?.now));
			const line = JSON.stringify(quantity?.line);
			if (line !== cell.last) {
				cell.last = line;
				cell.line.replaceChildren(sparkline(quantity?.line, `${cell.title} in the last hour`));
			}
		}
	};
}
