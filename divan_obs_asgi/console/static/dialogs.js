// Questions, and the help.

import { button, element } from './dom.js';
import { facts } from './request.js';

/** @param {HTMLDialogElement} dialog @param {() => void} closed */
function open(dialog, closed) {
	dialog.addEventListener('close', () => {
		dialog.remove();
		closed();
	});
	document.body.append(dialog);
	dialog.showModal();
}

/**
 * Ask a question, and return whether the user says yes.
 * @param {string} question
 * @param {string} yes the label of the button that agrees
 * @returns {Promise<boolean>}
 */
export function ask(question, yes) {
	return new Promise((resolve) => {
		const dialog = element('dialog', { 'aria-label': 'Please confirm' }, element('p', {}, question));
		const agree = button(`Yes: ${yes}`, () => dialog.close('yes'), { class: 'danger' });
		// The safe one first: it has the focus.
		dialog.append(element('p', { class: 'buttons' }, button('No', () => dialog.close('no')), ' ', agree));
		open(dialog, () => resolve(dialog.returnValue === 'yes'));
	});
}

/** @type {[string, string][]} */
const KEYS = [
	['/', 'Filter the rows of this tab'],
	['j, k', 'Next row, previous row'],
	['Enter', 'Open the row'],
	['Escape', 'Close what is open'],
	['p', 'Pause, and go on'],
	['?', 'This help'],
];

/**
 * Show the keys. One of them can be in the way of a screen reader or of dictation, so they can be switched off.
 * @param {{ enabled: boolean }} keys
 */
export function showHelp(keys) {
	const on = element('input', { type: 'checkbox' });
	on.checked = keys.enabled;
	on.addEventListener('change', () => {
		keys.enabled = on.checked;
	});
	const close = element('p', { class: 'buttons' }, button('Close', () => dialog.close()));
	const dialog = element('dialog', { 'aria-label': 'Keys' }, facts(KEYS), element('label', {}, on, ' Keys are on'), close);
	open(dialog, () => {});
}
