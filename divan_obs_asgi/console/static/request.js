// One request: its waterfall, its log lines, its error.

import { button, copyable, element, hint, link, mark, plain, svg } from './dom.js';
import { clock, duration, size } from './format.js';

/** @typedef {Call & { bars: Call[] }} Row */

/**
 * Fold the calls that repeat: the same statement many times is one row.
 * @param {Call[]} calls
 */
function folded(calls) {
	/** @type {Map<string, Row>} */
	const rows = new Map();
	for (const call of calls) {
		const key = JSON.stringify([call.kind, call.name, call.text]);
		const row = rows.get(key) ?? { ...call, n: 0, ms: 0, bars: [] };
		row.n += Math.max(1, call.n || 1);
		row.ms += call.ms;
		row.ok &&= call.ok;
		row.bars.push(call);
		rows.set(key, row);
	}
	return [...rows.values()];
}

/** @param {Row} row @param {number} total */
function bar({ kind, bars }, total) {
	const percent = (/** @type {number} */ ms) => Math.min(100, Math.max(0, (ms / total) * 100));
	const made = bars.map(({ start_ms: start, ms, ok }) => {
		// A call of some microseconds is still seen, one at the end, too.
		const x = Math.min(percent(start), 99.4);
		const width = Math.min(Math.max(percent(ms), 0.6), 100 - x).toFixed(2);
		return svg('rect', { x: x.toFixed(2), y: 3, width, height: 10, class: `call ${ok ? kind.replace(/\W/g, '') : 'bad'}` });
	});
	const track = svg('rect', { x: 0, y: 7.5, width: 100, height: 1, class: 'track' });
	return svg('svg', { viewBox: '0 0 100 16', preserveAspectRatio: 'none', class: 'bar', 'aria-hidden': 'true' }, track, ...made);
}

/** @param {RequestDetail} detail */
function waterfall({ request: { ms, first_byte_ms: first }, calls = [], dropped }) {
	const total = Math.max(ms, ...calls.map((call) => call.start_ms + call.ms), 0.001);
	const whole = { kind: '', name: 'The request', text: '', start_ms: 0, ms, ok: true, n: 1 };
	const byte = typeof first === 'number' ? [{ ...whole, name: 'Until the first byte', ms: first }] : [];
	const list = element('ol', { class: 'waterfall', 'aria-label': 'Where the time went' });
	for (const row of folded([whole, ...byte, ...calls])) {
		const title = element('span', {}, element('span', { class: 'kind' }, row.kind.toUpperCase()), ` ${row.name || row.text}`);
		if (row.n > 1) {
			title.append(' ', element('strong', { class: 'repeats' }, `${row.n} ×`));
		}
		if (!row.ok) {
			title.append(' ', mark(false, 'failed'));
		}
		const item = element('li', {}, title, element('span', { class: 'took' }, duration(row.ms)), bar(row, total));
		if (row.text && row.text !== row.name) {
			item.append(element('code', { class: 'statement' }, row.text));
		}
		list.append(item);
	}
	const none = calls.length ? '' : 'No SQL, Redis or HTTP call of this request was seen.';
	return [list, hint(dropped?.calls ? `${dropped.calls} further calls are not kept.` : none)];
}

/** @param {RequestDetail} detail */
function logLines({ lines = [], dropped }) {
	const list = element('ol', { class: 'lines', 'aria-label': 'Log lines' });
	for (const { at, level, logger, msg, fields } of lines) {
		const head = element('span', { class: 'when' }, `${clock(at)} ${level} ${logger}`);
		const item = element('li', { class: /ERROR|CRITICAL/.test(level) ? 'bad' : '' }, head, element('span', {}, msg));
		if (fields && Object.keys(fields).length) {
			item.append(element('code', {}, JSON.stringify(fields)));
		}
		list.append(item);
	}
	const none = lines.length ? '' : 'No log lines. DEBUG lines are kept of a request that fails.';
	return [list, hint(dropped?.lines ? `${dropped.lines} further lines are not kept.` : none)];
}

/** @param {ErrorGroup} group */
export function traceback(group) {
	const lines = [...group.traceback, `${group.type}: ${group.message}`];
	return element('pre', { tabindex: '0', role: 'group', 'aria-label': 'Traceback' }, lines.join('\n'));
}

/**
 * Names and values; one without a value is left out.
 * @param {[string, Node | string][]} pairs
 */
export function facts(pairs) {
	const known = pairs.filter(([, value]) => value !== '');
	return element('dl', {}, ...known.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}

/**
 * A link to the trace in another program, if that is an address of the web.
 * @param {View} view
 * @param {string} trace
 */
function traceLink(view, trace) {
	const template = view.state.service?.trace_url ?? '';
	if (!trace || !/^https?:\/\//.test(template)) {
		return '';
	}
	const href = template.replaceAll('{trace_id}', encodeURIComponent(trace));
	return element('a', { href, rel: 'noreferrer', target: '_blank' }, 'Open the trace (new window)');
}

/**
 * Return what is shown of the open request.
 * @param {View} view
 * @param {string} id
 */
export function showDetail(view, id) {
	const close = button('Close', () => view.go('requests'), { class: 'close' });
	const detail = view.detail;
	if (!detail) {
		return [close, element('h2', {}, `Request ${id}`), element('p', { role: 'status' }, view.detailProblem || 'Loading …')];
	}
	const { request, error, curl = '' } = detail;
	const copied = (/** @type {string} */ text, /** @type {string} */ what) => (text ? copyable(text, what) : '');
	/** @type {[string, Node | string][]} */
	const pairs = [
		['Ended', `${clock(request.at)}, ${request.outcome}, status ${request.status ?? '–'}`],
		['Took', `${duration(request.ms)}, first byte after ${duration(request.first_byte_ms)}`],
		['Sent', size(request.bytes)],
		['Worker', String(request.worker)],
		['Request id', copied(request.request_id, 'the request id')],
		['Trace id', copied(request.trace_id, 'the trace id')],
		['Trace', traceLink(view, request.trace_id)],
		['Try it', copied(curl, 'the command')],
	];
	for (const [name, ms] of Object.entries(request.waited ?? {})) {
		pairs.push([`Waited for ${name}`, duration(ms)]);
	}
	for (const [name, value] of Object.entries(request.fields ?? {})) {
		pairs.push([name, plain(value)]);
	}
	const about = error ? element('p', {}, link('error', error.id, `${error.type} at ${error.at}`), `, ${error.count} ×`) : '';
	return [
		close,
		element('h2', {}, `${request.method || request.kind} ${request.route || '(no route)'}`),
		facts(pairs),
		element('h3', {}, 'Where the time went'),
		...waterfall(detail),
		...(error ? [element('h3', {}, 'The error'), about, traceback(error)] : []),
		element('h3', {}, 'Log lines'),
		...logLines(detail),
	];
}
