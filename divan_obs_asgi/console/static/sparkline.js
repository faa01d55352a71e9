// A line of one hour, without axes.

import { svg } from './dom.js';

const WIDTH = 120;
const HEIGHT = 24;

/**
 * Return an SVG with the line of some values, from 0 to their greatest; a value that is not known is a gap.
 * @param {readonly (number | null)[] | undefined} values
 * @param {string} label
 */
export function sparkline(values, label) {
	const line = values ?? [];
	const greatest = Math.max(...line.map((value) => value ?? 0), 0) || 1;
	/** @type {string[][]} */
	const runs = [[]];
	line.forEach((value, at) => {
		if (typeof value !== 'number' || !Number.isFinite(value)) {
			runs.push([]);
			return;
		}
		const x = line.length > 1 ? (at / (line.length - 1)) * WIDTH : WIDTH;
		const y = HEIGHT - 1 - (Math.max(value, 0) / greatest) * (HEIGHT - 2);
		runs[runs.length - 1]?.push(`${x.toFixed(1)},${y.toFixed(1)}`);
	});
	const lines = runs.filter((run) => run.length).map((run) => {
		// One point alone would not be visible.
		return svg('polyline', { points: (run.length > 1 ? run : [...run, ...run]).join(' ') });
	});
	const attributes = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'line', role: 'img', 'aria-label': label };
	return svg('svg', attributes, ...lines);
}
