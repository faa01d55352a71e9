// When the service is asked: every 2 s while the page is visible and not paused, and less often while it is in trouble.

const EVERY_S = 2;
const LONGEST_S = 60;

export class Poll {
	#timer = 0;
	#asking = false;
	/** Each start and each stop is another one; an answer to an earlier one is dropped. */
	#run = 0;
	#running = false;
	#failed = 0;
	paused = false;

	/** @param {Polled} polled */
	constructor(polled) {
		this.polled = polled;
		document.addEventListener('visibilitychange', () => this.#visible());
	}

	start() {
		this.#run += 1;
		this.#running = true;
		this.#asking = false;
		this.#failed = 0;
		void this.now();
	}

	stop() {
		this.#run += 1;
		this.#running = false;
		clearTimeout(this.#timer);
	}

	/** @param {boolean} paused */
	pause(paused) {
		this.paused = paused;
		clearTimeout(this.#timer);
		if (paused) {
			this.polled.say('Paused');
		} else {
			void this.now();
		}
	}

	#visible() {
		if (document.hidden) {
			clearTimeout(this.#timer);
		} else {
			// A service in trouble asked the page to wait; looking at it does not change that.
			this.#later(this.#failed && EVERY_S);
		}
	}

	async now() {
		if (this.#asking || this.paused || !this.#running || document.hidden) {
			return;
		}
		this.#asking = true;
		clearTimeout(this.#timer);
		const run = this.#run;
		const signal = { failed: this.#failed, current: () => run === this.#run };
		const wait = await this.polled.ask(signal);
		if (!signal.current()) {
			return;
		}
		this.#asking = false;
		this.#failed = signal.failed;
		this.#later(Math.max(wait, Math.min(EVERY_S * 2 ** this.#failed, LONGEST_S)));
	}

	/** @param {number} seconds */
	#later(seconds) {
		if (!this.#running || this.paused || document.hidden) {
			return;
		}
		clearTimeout(this.#timer);
		if (this.#failed) {
			this.polled.say(`Asks again in ${Math.ceil(seconds)} s.`);
		}
		this.#timer = setTimeout(() => void this.now(), seconds * 1000);
	}
}
