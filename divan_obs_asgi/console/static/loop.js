// Loop: does something block it?

import { element, hint, filtered, keyed, setText, table, when } from './dom.js';
import { duration, number } from './format.js';

/** @type {Tab} */
export const loop = {
	id: 'loop',
	make(panel) {
		const lag = element('p', { class: 'summary' });
		const none = hint();
		const stalls = element('ol');
		const tasks = table(
			'Tasks, by the line where they wait',
			'Where ~|Tasks #',
			'No task is known.',
			(/** @type {{ place: string, count: number }} */ { place, count }) => [place, number(count)],
		);
		panel.append(lag, element('h2', {}, 'What has blocked the loop'), none, stalls, tasks.node);
		return ({ state, filter }) => {
			const { lag_ms: lags, stalls: all = [], tasks: waiting } = state.loop ?? {};
			setText(lag, `Lag of the event loop: ${duration(lags?.p50)} at the median, ${duration(lags?.p99)} at p99.`);
			setText(none, all.length ? '' : 'Nothing has blocked the loop for long enough to be seen.');
			keyed(stalls, filtered(all, filter), ({ at, ms, place, stack = [] }) =>
				element(
					'li',
					{},
					when(at),
					`${duration(ms)} at `,
					element('strong', {}, place),
					element('pre', { tabindex: '0', role: 'group', 'aria-label': 'Stack' }, stack.join('\n')),
				),
			);
			tasks.show(waiting, filter);
		};
	},
};
