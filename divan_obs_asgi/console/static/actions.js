// Actions: what can I do? Each asks again before it is done, and the service writes an audit line of it.

import { copyable, element, hint, keyed, plain, setText } from './dom.js';
import { ask } from './dialogs.js';
import { problem } from './client.js';

const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'];

/** @param {string} label @param {HTMLElement} input */
const field = (label, input) => element('label', {}, `${label} `, input);

/** @param {string[]} values @param {Record<string, string>} [attributes] */
const choice = (values, attributes = {}) => element('select', attributes, ...values.map((value) => element('option', {}, value)));

/**
 * A form without fields.
 * @param {...string} asked
 * @returns {Form}
 */
const simple = (...asked) => ({ fields: [], body: () => undefined, questions: () => asked });

/** @type {Record<string, (jobs: string[]) => Form>} */
const OWN = {
	level() {
		const logger = element('input', { required: '', maxlength: '200', autocomplete: 'off', spellcheck: 'false', placeholder: 'app.db' });
		const level = choice(LEVELS);
		const minutes = element('input', { type: 'number', min: '1', max: '1440', value: '10', required: '' });
		return {
			fields: [field('Logger', logger), field('Level', level), field('Minutes', minutes)],
			body: () => ({ logger: logger.value.trim(), level: level.value, ttl_s: Number(minutes.value) * 60 }),
			questions: () => [`Set the logger ${logger.value.trim()} to ${level.value} for ${minutes.value} minutes? It falls back by itself.`],
		};
	},
	drain: () =>
		simple(
			'Drain this worker? It is not ready any more, so a balancer sends its requests elsewhere. Open requests are still served.',
			'Are you sure? A drain cannot be taken back; the worker has to be restarted.',
		),
	job(jobs) {
		const job = choice(jobs, { required: '' });
		return {
			fields: jobs.length ? [field('Job', job)] : [hint('No job is declared.')],
			body: () => ({ job: job.value }),
			questions: () => [`Start the job ${job.value} now?`],
			headers: () => ({ 'idempotency-key': crypto.getRandomValues(new Uint32Array(4)).join('-') }),
		};
	},
	trace_test: () => simple('Export a test span to the collector?'),
	debug_header: () => simple('Make a header that records everything of the one request which carries it? It is valid for 15 minutes.'),
};
const FORMS = new Map(Object.entries(OWN));

/** @type {Tab} */
export const actions = {
	id: 'actions',
	make(panel, view) {
		const none = element('p', { class: 'nothing' });
		const list = element('div', { class: 'actions' });
		panel.append(hint('Each action asks again before it is done, and is a line of the audit log.'), none, list);
		let offered = '';
		return ({ state }) => {
			const jobs = (state.about?.jobs ?? []).map((job) => job.id);
			setText(none, state.actions?.length ? '' : 'No action is offered.');
			if (String(jobs) !== offered) {
				offered = String(jobs);
				keyed(list, [], () => list);
			}
			keyed(list, state.actions ?? [], (one) => form(one, jobs, view));
		};
	},
};

/** @param {Action} action @param {string[]} jobs @param {View} view */
function form(action, jobs, view) {
	const { fields, body, questions, headers } = (FORMS.get(action.id) ?? (() => simple(`${action.title}?`)))(jobs);
	const outcome = element('div', { role: 'status', class: 'outcome' });
	const made = element('form', { class: 'action', 'aria-label': action.title }, element('h2', {}, action.title), ...fields, element('button', {}, action.title));
	if (!action.allowed || (action.id === 'job' && !jobs.length)) {
		made.querySelectorAll('input, select, button').forEach((one) => one.setAttribute('disabled', ''));
		made.append(hint(action.why_not && `Not possible: ${action.why_not}`));
	}
	made.append(outcome);
	made.addEventListener('submit', async (event) => {
		event.preventDefault();
		for (const question of questions()) {
			if (!(await ask(question, action.title))) {
				outcome.replaceChildren('Nothing was done.');
				return;
			}
		}
		outcome.replaceChildren('Working …');
		try {
			outcome.replaceChildren(...answered(await view.act(action, body(), headers?.())));
		} catch (error) {
			outcome.replaceChildren(`The service did not answer (${plain(String(error))}). It may have done it all the same.`);
		}
	});
	return made;
}

/**
 * @param {Answer} answer
 * @returns {(Node | string)[]}
 */
function answered(answer) {
	const { status, content } = answer;
	if (status >= 300) {
		return [`Refused, ${problem(answer)}`];
	}
	if (content?.header && content.value) {
		return ['Send this header with one request: ', copyable(`${content.header}: ${content.value}`, 'the header')];
	}
	return ['Done. ', element('code', {}, JSON.stringify(content ?? status))];
}
