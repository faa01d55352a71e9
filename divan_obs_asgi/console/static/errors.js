// Errors: what fails?

import { button, element, hint, link, mark, setGone, table } from './dom.js';
import { clock, number } from './format.js';
import { facts, traceback } from './request.js';

/** @type {Tab} */
export const errors = {
	id: 'errors',
	make(panel, { go }) {
		const kept = hint();
		const rows = table(
			'Errors, by type and place',
			'Error ~|Where ~|Count #|Last seen|First seen|New',
			'No error since the service started.',
			(/** @type {ErrorGroup} */ one) => [
				link('error', one.id, one.type),
				one.at,
				number(one.count),
				clock(one.last),
				clock(one.first),
				one.new ? mark(false, 'new since start') : '',
			],
			(one) => go('errors', one.id),
		);
		const detail = element('section', { class: 'detail', 'aria-label': 'The open error', tabindex: '-1' });
		panel.append(detail, kept, rows.node);
		/** @type {ErrorGroup | string | undefined} */
		let shown;
		return ({ open, state, filter }) => {
			const id = open.errors ?? '';
			const group = state.errors?.find((one) => one.id === id);
			detail.hidden = !id;
			if (id && shown !== (group ?? id)) {
				shown = group ?? id;
				const close = button('Close', () => go('errors'), { class: 'close' });
				detail.replaceChildren(close, ...(group ? describe(group) : [`No error ${id} is kept. It has not happened since the start, or it is forgotten.`]));
			}
			setGone(kept, state.forgotten?.errors, 'errors', state.left_out?.errors);
			rows.show(state.errors, filter);
		};
	},
};

/** @param {string} kind @param {string[]} ids */
const links = (kind, ids) => element('ul', { class: 'inline' }, ...ids.map((id) => element('li', {}, link(kind, id))));

/** @param {ErrorGroup} group */
function describe(group) {
	return [
		element('h2', {}, `${group.type} at ${group.at}`),
		facts([
			['Message', group.message],
			['Count', number(group.count)],
			['First seen', clock(group.first)],
			['Last seen', clock(group.last)],
			['Routes', links('route', group.routes)],
			['Latest requests', links('request', group.requests)],
			['Fingerprint', group.id],
		]),
		element('h3', {}, 'Traceback, the last call at the end'),
		traceback(group),
	];
}
