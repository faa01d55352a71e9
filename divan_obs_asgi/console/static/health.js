// Health: is it us or a dependency?

import { element, hint, filtered, keyed, mark, setGone, setText, table, when } from './dom.js';
import { clock, duration, number } from './format.js';

/** @type {Tab} */
export const health = {
	id: 'health',
	make(panel) {
		const summary = element('p', { class: 'summary' });
		const rows = table(
			'Probes',
			'Probe|State|Group|Took #|Asked|Since|Changes, the latest first ~|Worker #',
			'No probe is registered.',
			(/** @type {Probe} */ probe) => [
				probe.id,
				state(probe.ok, probe.reason),
				`${probe.group ?? ''}${probe.critical ? ', critical' : ''}`,
				duration(probe.latency_ms),
				clock(probe.asked),
				clock(probe.since),
				history(probe),
				String(probe.worker ?? ''),
			],
		);
		const kept = hint();
		const changes = element('ol');
		panel.append(summary, rows.node, element('h2', {}, 'What has changed'), kept, changes);
		return ({ state: { service, numbers, probes, changes: all = [], forgotten }, filter }) => {
			const drain = service?.draining ? 'The service drains' : 'The service does not drain';
			setText(summary, `${drain}; ${number(numbers?.in_flight?.now)} requests are in flight.`);
			rows.show(probes, filter);
			setGone(kept, forgotten?.changes, 'changes');
			keyed(changes, filtered(all, filter), ({ at, ok, kind, text }) =>
				element('li', {}, when(at), mark(ok, kind), ` ${text}`),
			);
		};
	},
};

/** @param {boolean | null} ok @param {string | null} reason */
const state = (ok, reason) => mark(ok, ok === null ? 'not asked yet' : ok ? 'ok' : reason ?? 'failed');

/** @param {Probe} probe */
function history({ history: changes = [] }) {
	const latest = [...changes].sort((one, other) => other.at - one.at).slice(0, 8);
	const items = latest.map(({ ok, reason, at }) => element('li', {}, state(ok, reason), ` ${clock(at)}`));
	return element('ol', {}, ...items);
}
