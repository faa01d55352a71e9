// Clients: who is connected? Counts only; no name, room or session id.

import { element, mark, setText, table } from './dom.js';
import { duration, number } from './format.js';

/** @type {Tab} */
export const clients = {
	id: 'clients',
	make(panel) {
		const sockets = element('p', { class: 'summary' });
		const namespaces = table(
			'Namespaces of Socket.IO',
			'Namespace|Clients #|Events/s #',
			'No namespace of Socket.IO is known.',
			(/** @type {Sockets['namespaces'][0]} */ one) => [one.id, number(one.clients), number(one.events_per_s)],
		);
		const handlers = table(
			'Handlers, the slowest first',
			'Handler ~|Events #|p95 #|Errors',
			'No handler has had an event.',
			(/** @type {Sockets['handlers'][0]} */ one) => [one.id, number(one.count), duration(one.p95_ms), mark(!one.errors, number(one.errors))],
		);
		const refused = table(
			'Refused connections, by reason',
			'Reason|Count #',
			'No connection was refused.',
			(/** @type {Sockets['refused'][0]} */ one) => [one.id, number(one.count)],
		);
		panel.append(sockets, namespaces.node, handlers.node, refused.node);
		return ({ state, filter }) => {
			const now = state.sockets ?? {};
			setText(sockets, `Open WebSockets: ${number(now.websockets)}.`);
			namespaces.show(now.namespaces, filter);
			const slowest = [...(now.handlers ?? [])].sort((one, other) => (other.p95_ms ?? 0) - (one.p95_ms ?? 0));
			handlers.show(slowest, filter);
			refused.show(now.refused, filter);
		};
	},
};
