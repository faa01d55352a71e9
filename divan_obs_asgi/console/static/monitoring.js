// Monitoring: does it work itself?

import { mark, table } from './dom.js';

/** @type {Tab} */
export const monitoring = {
	id: 'monitoring',
	make(panel) {
		const rows = table(
			'The parts of the monitoring, the failing ones first',
			'Part|State|Value ~|What to do ~',
			'Nothing is known of the monitoring.',
			(/** @type {Check} */ { title, ok, value, cure }) => [
				title,
				mark(ok, ok === null ? 'not known' : ok ? 'works' : 'needs you'),
				value,
				cure,
			],
		);
		panel.append(rows.node);
		return ({ state, filter }) => {
			const rank = (/** @type {Check} */ { ok }) => (ok === false ? 0 : ok === null ? 1 : 2);
			rows.show([...(state.monitoring ?? [])].sort((one, other) => rank(one) - rank(other)), filter);
		};
	},
};
