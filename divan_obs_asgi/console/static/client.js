// Requests to the service. The token is in this object only: in no URL, no storage and no cookie.

import { plain } from './dom.js';

const TIMEOUT_MS = 30_000;

export class Client {
	#token = '';
	/** The path in front of /ops/console: that of a proxy, and OBS_OPS_PREFIX. */
	#base = location.pathname.replace(/\/ops\/console\/?$/, '');

	/** @param {string} token */
	use(token) {
		this.#token = token;
	}

	/**
	 * Return the answer whatever its status is; rejects where the service cannot be reached, or does not answer in time.
	 * @param {string} path
	 * @param {{ method?: string, body?: unknown, headers?: Record<string, string> }} [options]
	 * @returns {Promise<Answer>}
	 */
	async send(path, { method = 'GET', body, headers = {} } = {}) {
		/** @type {Record<string, string>} */
		const all = { accept: 'application/json', ...headers };
		if (this.#token) {
			all.authorization = `Bearer ${this.#token}`;
		}
		if (body !== undefined) {
			all['content-type'] = 'application/json';
		}
		const response = await fetch(this.#base + path, {
			method,
			headers: all,
			body: body === undefined ? null : JSON.stringify(body),
			cache: 'no-store',
			credentials: 'omit',
			redirect: 'error',
			referrerPolicy: 'no-referrer',
			signal: AbortSignal.timeout(TIMEOUT_MS),
		});
		// Not JSON is a proxy's page, for example; the status says enough.
		const content = await response.json().catch(() => null);
		return { status: response.status, content, retryAfter: Number(response.headers.get('retry-after')) || 0 };
	}
}

/**
 * What an answer says of its failure.
 * @param {Answer} answer
 */
export function problem({ status, content }) {
	return `${status}${typeof content?.detail === 'string' ? `: ${plain(content.detail)}` : ''}`;
}
