// About: what runs?

import { element, mark, plain, table } from './dom.js';
import { ago, clock, duration, number } from './format.js';
import { facts } from './request.js';

/** @param {string} outcome */
const well = (outcome) => /^(ok|done|success)/.test(outcome) || (outcome === 'running' ? null : false);

/** @type {Tab} */
export const about = {
	id: 'about',
	make(panel) {
		const what = element('div');
		const workers = table(
			'Workers',
			'Process|State|Started',
			'Not known.',
			(/** @type {Workers['list'][0]} */ { pid, alive, started }) => [String(pid), mark(alive, alive ? 'running' : 'ended'), clock(started)],
		);
		const jobs = table(
			'Jobs',
			'Job|Runs #|Last run|Outcome|Took #',
			'No job is declared.',
			(/** @type {About['jobs'][0]} */ { id, runs, last, outcome, ms }) => [
				id,
				number(runs),
				clock(last),
				outcome ? mark(well(outcome), outcome) : 'never ran',
				duration(ms),
			],
		);
		const flags = table(
			'Flags that differ from their defaults',
			'Flag|Value ~|Default ~',
			'All flags have their defaults.',
			(/** @type {About['flags'][0]} */ flag) => [flag.name, plain(flag.value), plain(flag.default)],
		);
		const middlewares = table(
			'Middlewares, the outermost first',
			'Middleware|State ~',
			'No middleware is known.',
			(/** @type {About['middlewares'][0]} */ { name, why_not: why }) => [name, why ? mark(null, `off: ${why}`) : mark(true, 'on')],
		);
		panel.append(what, workers.node, jobs.node, flags.node, middlewares.node);
		return ({ state: { service, now, workers: processes, about: known }, filter }) => {
			if (service) {
				what.replaceChildren(
					facts([
						['Service', service.name],
						['Environment', service.env],
						['Version', service.version],
						['Commit', service.commit],
						['divan-obs-asgi', service.library],
						['Started', `${clock(service.started)}, ${ago(service.started, now)}`],
					]),
				);
			}
			workers.show(processes?.list, filter);
			jobs.show(known?.jobs, filter);
			flags.show(known?.flags, filter);
			middlewares.show(known?.middlewares, filter);
		};
	},
};
