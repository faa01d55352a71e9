// Numbers and times as text.

const UNKNOWN = '–';

/** @param {number | null | undefined} value @param {(value: number) => string} shown */
function known(value, shown) {
	return typeof value === 'number' && Number.isFinite(value) ? shown(value) : UNKNOWN;
}

/** @param {number} value */
function short(value) {
	const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
	return value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** @param {number | null | undefined} value */
export const number = (value) => known(value, short);

/** @param {number | null | undefined} value */
export const duration = (value) =>
	known(value, (ms) => (ms >= 60_000 ? `${short(ms / 60_000)} min` : ms >= 1000 ? `${short(ms / 1000)} s` : `${short(ms)} ms`));

/** @param {number | null | undefined} value */
export const share = (value) => known(value, (part) => `${short(part * 100)} %`);

/** @param {number | null | undefined} value */
export const size = (value) =>
	known(value, (bytes) => (bytes >= 1e6 ? `${short(bytes / 1e6)} MB` : bytes >= 1000 ? `${short(bytes / 1000)} kB` : `${bytes} B`));

/** @param {number | null | undefined} value Unix seconds */
export const clock = (value) =>
	known(value, (at) => {
		const date = new Date(at * 1000);
		const time = date.toLocaleTimeString('en-GB');
		return Date.now() - date.getTime() < 86_400_000 ? time : `${date.toLocaleDateString('en-CA')} ${time}`;
	});

/**
 * How long ago something was, in words.
 * @param {number | null | undefined} value Unix seconds
 * @param {number} now Unix seconds
 */
export const ago = (value, now) =>
	known(value, (at) => {
		const seconds = Math.max(0, now - at);
		const [one, unit] = seconds < 90 ? [1, 's'] : seconds < 5400 ? [60, 'min'] : seconds < 129_600 ? [3600, 'h'] : [86_400, 'days'];
		return `${Math.round(seconds / one)} ${unit} ago`;
	});
