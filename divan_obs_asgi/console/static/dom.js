// Elements, made by createElement and textContent only: a text from the service is never read as HTML.

import { clock } from './format.js';
import { keyOf } from './merge.js';

const LONGEST_TEXT = 4000;
// Controls, marks that change the direction of what follows, characters without width, and lone surrogates.
const HIDDEN =
	/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** @type {Plain} */
export const plain = (value, longest = LONGEST_TEXT) => {
	const text = typeof value === 'string' ? value : value === null || value === undefined ? '' : JSON.stringify(value) ?? '';
	const end = text.length > longest ? ` … (${text.length - longest} more characters)` : '';
	return (
		text.slice(0, longest).replace(HIDDEN, (character) => {
			return `⟨U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`;
		}) + end
	);
};

/** @type {MakeElement} */
export const element = (name, attributes = {}, ...children) => {
	const made = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		made.setAttribute(key, value);
	}
	for (const child of children) {
		made.append(child instanceof Node ? child : plain(child));
	}
	return made;
};

/** @param {number | undefined} at Unix seconds */
export const when = (at) => element('span', { class: 'when' }, `${clock(at)} `);

/** @param {string} [text] */
export const hint = (text = '') => element('p', { class: 'hint' }, text);

/** @type {MakeSvg} */
export const svg = (name, attributes = {}, ...children) => {
	const made = document.createElementNS('http://www.w3.org/2000/svg', name);
	for (const [key, value] of Object.entries(attributes)) {
		made.setAttribute(key, String(value));
	}
	made.append(...children);
	return made;
};

/** @type {SetText} */
export const setText = (target, text) => {
	const shown = plain(text);
	if (target.textContent !== shown) {
		target.textContent = shown;
	}
};

/** @type {MakeButton} */
export const button = (label, act, attributes = {}) => {
	const made = element('button', { type: 'button', ...attributes }, label);
	made.addEventListener('click', act);
	return made;
};

/** @type {SetGone} */
export const setGone = (target, count, what, left = 0) => {
	const old = count ? `${count} older ${what} are gone: only so many are kept. ` : '';
	setText(target, old + (left ? `${left} ${what} did not fit.` : ''));
};

/** @type {WeakMap<Element, Map<string, { node: HTMLElement, item: object }>>} */
const keptOf = new WeakMap();

/** @type {Keyed} */
export const keyed = (parent, items, make) => {
	const before = keptOf.get(parent);
	const wanted = new Map(items.map((item) => [keyOf(item), item]));
	before?.forEach(({ node }, key) => wanted.has(key) || node.remove());
	let next = parent.firstChild;
	const after = new Map();
	for (const [key, item] of wanted) {
		let kept = before?.get(key);
		if (kept?.item !== item) {
			const node = make(item);
			const hadFocus = kept?.node.contains(document.activeElement);
			next = next === kept?.node ? node : next;
			kept?.node.replaceWith(node);
			kept = { node, item };
			if (hadFocus) {
				node.querySelector('a')?.focus();
			}
		}
		after.set(key, kept);
		if (kept?.node === next) {
			next = next?.nextSibling ?? null;
		} else if (kept) {
			parent.insertBefore(kept.node, next);
		}
	}
	keptOf.set(parent, after);
};

/** @type {MakeTable} */
export const table = (caption, heads, none, cells, open) => {
	const columns = heads.split('|').map((head) => {
		const [title = '', sign] = head.split(/ (?=[#~]$)/);
		return { title, kind: sign ? (sign === '#' ? 'number' : 'wide') : '' };
	});
	const body = element('tbody', { role: 'rowgroup' });
	const titles = columns.map(({ title, kind }) => element('th', { role: 'columnheader', scope: 'col', class: kind }, title));
	const head = element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...titles));
	const nothing = hint();
	const whole = element('table', { role: 'table' }, element('caption', {}, caption), head, body);

	/** @param {any} item */
	function row(item) {
		const made = element('tr', { role: 'row' });
		cells(item).forEach((cell, at) => {
			const { title = '', kind = '' } = columns[at] ?? {};
			const role = at ? 'cell' : 'rowheader';
			made.append(element(at ? 'td' : 'th', { role, 'data-label': title, class: kind }, cell));
		});
		if (open) {
			made.className = 'opens';
			made.addEventListener('click', ({ target }) => {
				if (!(target instanceof Element && target.closest('a, button')) && !getSelection()?.toString()) {
					open(item);
				}
			});
		}
		return made;
	}

	return {
		node: element('div', {}, whole, nothing),
		show(items = [], filter) {
			const some = filtered(items, filter);
			setText(nothing, some.length ? '' : items.length ? 'Nothing fits the filter.' : none);
			whole.hidden = !some.length;
			keyed(body, some, row);
		},
	};
};

/** @type {Filtered} */
export const filtered = (items, filter) => {
	const wanted = filter.trim().toLowerCase();
	return wanted ? items.filter((item) => Object.values(item).flat().join('\n').toLowerCase().includes(wanted)) : items;
};

/** @type {MakeMark} */
export const mark = (ok, word) => {
	const [kind, sign] = ok === true ? ['good', '✓'] : ok === false ? ['bad', '✗'] : ['unknown', '?'];
	return element('span', { class: `mark ${kind}` }, element('span', { 'aria-hidden': 'true' }, sign), ` ${word}`);
};

/** @type {MakeCopyable} */
export const copyable = (text, what) => {
	const said = element('span', { role: 'status' });
	const copy = button('Copy', async () => {
		try {
			await navigator.clipboard.writeText(text);
			said.textContent = ' Copied';
		} catch {
			said.textContent = ' The browser does not allow it; select the text instead.';
		}
	}, { 'aria-label': `Copy ${what}` });
	return element('span', {}, element('code', {}, text), ' ', copy, said);
};

/** @type {MakeLink} */
export const link = (kind, id, label = id) => {
	// A lone surrogate cannot be part of a link.
	return element('a', { href: `#${kind}=${encodeURIComponent(id.toWellFormed())}` }, label);
};
