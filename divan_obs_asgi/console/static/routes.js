// Routes: which are slow or broken?

import { element, link, mark, table } from './dom.js';
import { duration, number, share } from './format.js';
import { sparkline } from './sparkline.js';

/** @type {[string, (one: RouteEntry) => number | null | undefined][]} */
const ORDERS = [
	['Most requests first', ({ m1 }) => m1?.rate],
	['Slowest first (p95)', ({ m1, m5 }) => m1?.p95 ?? m5?.p95],
	['Most errors first', ({ m1, m5 }) => m1?.error_share ?? m5?.error_share],
];

/** @type {Tab} */
export const routes = {
	id: 'routes',
	make(panel, view) {
		const options = ORDERS.map(([title], at) => element('option', { value: String(at) }, title));
		const order = element('select', { 'aria-label': 'Order of the routes' }, ...options);
		order.addEventListener('change', () => show(view));
		const only = element('p');
		const rows = table(
			'Routes, over one minute and over five',
			'Route ~|Requests/s #|p50 #|p95 #|p99 #|Errors|5 min: requests/s #|5 min: p95 #|5 min: errors #|Hour',
			'No such route has had a request.',
			(/** @type {RouteEntry} */ one) => [
				link('route', one.route, one.id),
				number(one.m1?.rate),
				duration(one.m1?.p50),
				duration(one.m1?.p95),
				duration(one.m1?.p99),
				typeof one.m1?.error_share === 'number' ? mark(!one.m1.error_share, share(one.m1.error_share)) : '–',
				number(one.m5?.rate),
				duration(one.m5?.p95),
				share(one.m5?.error_share),
				sparkline(one.line, 'Requests per second in the last hour'),
			],
			(one) => view.go('routes', one.route),
		);
		panel.append(only, order, rows.node);

		/** @param {View} now */
		function show({ open, state, filter }) {
			const route = open.routes;
			const value = ORDERS[Number(order.value)]?.[1];
			const some = (state.routes ?? []).filter((one) => !route || one.route === route || one.id === route);
			some.sort((one, other) => (value?.(other) ?? 0) - (value?.(one) ?? 0) || one.id.localeCompare(other.id));
			rows.show(some, filter);
			only.hidden = !route;
			only.replaceChildren(element('span', {}, `Only ${route}. `), element('a', { href: '#tab=routes' }, 'All routes'));
		}
		return show;
	},
};
