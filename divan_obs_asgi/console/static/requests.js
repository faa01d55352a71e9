// Requests: what did that request do?

import { element, hint, link, mark, setGone, table } from './dom.js';
import { clock, duration, size } from './format.js';
import { showDetail } from './request.js';

/** @param {RequestEntry} entry */
const well = ({ outcome, status, error }) => outcome === 'ok' || (status !== null && status < 400 && !error);

/** @type {Tab} */
export const requests = {
	id: 'requests',
	make(panel, { go }) {
		const kept = hint();
		const rows = table(
			'The latest requests, the failed ones and the slowest ones',
			'Request ~|Time|Status|Took #|Size #|Calls #|Kept as|Worker #',
			'No request has ended since the service started.',
			(/** @type {RequestEntry} */ entry) => [
				link('request', entry.id, `${entry.method || entry.kind} ${entry.route || '(no route)'}`),
				clock(entry.at),
				mark(well(entry), `${entry.status ?? '–'} ${entry.outcome}`),
				duration(entry.ms),
				size(entry.bytes),
				String(entry.calls),
				[...entry.classes, ...(entry.debug ? ['debug'] : [])].join(', '),
				String(entry.worker),
			],
			(entry) => go('requests', entry.id),
		);
		const detail = element('section', { class: 'detail', 'aria-label': 'The open request', tabindex: '-1' });
		panel.append(detail, kept, rows.node);
		/** @type {unknown} */
		let shown = null;
		return (view) => {
			const id = view.open.requests ?? '';
			const what = view.detail ?? id + view.detailProblem;
			detail.hidden = !id;
			if (id && what !== shown) {
				shown = what;
				detail.replaceChildren(...showDetail(view, id));
			}
			setGone(kept, view.state.forgotten?.requests, 'requests', view.state.left_out?.requests);
			rows.show(view.state.requests, view.filter);
		};
	},
};
