// One state out of the last one and an answer of the service.

// What the page keeps at most of the lists that grow; the service forgets, too, but does not say which entries.
const MOST = { requests: 1500, errors: 400, changes: 900 };
const LISTS = /** @type {const} */ (['routes', 'probes', 'monitoring', 'actions']);

/**
 * What tells an entry from the others of its list.
 * @param {{ id?: string, name?: string, place?: string, pid?: number, group?: string, worker?: number }} entry
 */
export const keyOf = ({ id, name, place, pid, group = '', worker }) => `${id ?? name ?? place ?? pid}|${group}|${worker ?? ''}`;

/**
 * Merge entries by key; an entry that says the same as before is the same object as before.
 * @param {readonly Entry[]} before
 * @param {readonly Entry[]} entries
 * @param {boolean} complete
 */
function merged(before, entries, complete) {
	const found = new Map(before.map((entry) => [keyOf(entry), entry]));
	const after = complete ? new Map() : new Map(found);
	for (const entry of entries) {
		const key = keyOf(entry);
		const old = found.get(key);
		after.set(key, old && JSON.stringify(old) === JSON.stringify(entry) ? old : entry);
	}
	return [...after.values()];
}

/** @param {any[]} entries @param {number} most */
function latest(entries, most) {
	const time = (/** @type {{ at: number, last?: number }} */ { at, last }) => last ?? at;
	return entries.sort((one, other) => time(other) - time(one)).slice(0, most);
}

/**
 * Return the state after an answer; one that is not full may leave out entries that the page has.
 * @param {State | null} before
 * @param {State} answer
 * @returns {State}
 */
export function merge(before, answer) {
	/** @type {any} */
	const after = { ...answer };
	for (const name of LISTS) {
		after[name] = merged(before?.[name] ?? [], answer[name] ?? [], answer.full);
	}
	for (const [name, most] of Object.entries(MOST)) {
		const grown = /** @type {keyof typeof MOST} */ (name);
		after[name] = latest(merged(before?.[grown] ?? [], answer[grown] ?? [], answer.full), most);
	}
	if (answer.loop) {
		after.loop.stalls = latest(merged(before?.loop?.stalls ?? [], answer.loop.stalls ?? [], true), Infinity);
	}
	return after;
}
