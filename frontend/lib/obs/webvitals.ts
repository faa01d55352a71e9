// Measures LCP, INP, CLS, FCP and TTFB, and sends them when the page is hidden. The data does not identify a person: a
// vital has a name, a value, a rating, the kind of navigation and the route, which is a template. No id, query,
// selector or URL is sent.

import { onCLS, onFCP, onINP, onLCP, onTTFB } from 'web-vitals';
import type { Metric } from 'web-vitals';

/** A vital as the service accepts it (docs/vitals.md). */
export interface Vital {
  name: Metric['name'];
  value: number;
  rating: Metric['rating'];
  navigation: Metric['navigationType'];
  route: string;
}

/** Return the template of a page's route, such as `/rooms/[id]`, or undefined if it is unknown. */
export type RouteOf = (url: URL) => string | undefined;

export interface Options {
  /** Default: false, nothing is observed or sent. */
  enabled?: boolean;
  route: RouteOf;
  /** The URL to which vitals are sent. Default: the route handler on the page's own origin. */
  endpoint?: string;
}

export type Send = (body: string) => void;

const ENDPOINT = '/api/ops/ingest';
const UNMATCHED = '__unmatched__';
// The limits of the service. It rejects the whole body if one vital exceeds them.
const MAX_VITALS = 20;
const MAX_BODY = 16 * 1024;
const MAX_MS = 120_000;
const MAX_CLS = 100;
// A page may be open for days. All pending vitals must fit into the 64 KB that the Fetch Standard allows for keepalive.
const MAX_PENDING = 100;
// Rejects queries, fragments and whole URLs that `route` may return.
const TEMPLATE = /^\/[^\s?#]{0,127}$/;

/** Keeps the last value of each metric id, and sends each id once. */
export class Vitals {
  readonly #pending = new Map<string, Vital>();
  readonly #sent = new Set<string>();
  readonly #route: RouteOf;
  readonly #send: Send;

  constructor(route: RouteOf, send: Send) {
    this.#route = route;
    this.#send = send;
  }

  /** Keep the value of a metric, measured on the page `url` unless the metric has its own URL. */
  add(metric: Metric, url: string): void {
    const { id, name, value, rating, navigationType: navigation } = metric;
    // web-vitals reports a TTFB of 0 for a soft navigation, because nothing was fetched.
    const isEmpty = name === 'TTFB' && navigation === 'soft-navigation';
    if (isEmpty || this.#sent.has(id) || !(value >= 0 && value <= (name === 'CLS' ? MAX_CLS : MAX_MS))) {
      return;
    }
    this.#pending.set(id, { name, value, rating, navigation, route: this.#template(metric.navigationURL ?? url) });
    const [oldest] = this.#pending.keys();
    if (this.#pending.size > MAX_PENDING && oldest !== undefined) {
      this.#pending.delete(oldest);
    }
  }

  /** Send all kept values. */
  flush(): void {
    const vitals = [...this.#pending.values()];
    for (const id of this.#pending.keys()) {
      this.#sent.add(id);
    }
    this.#pending.clear();
    for (let first = 0; first < vitals.length; first += MAX_VITALS) {
      const body = JSON.stringify({ vitals: vitals.slice(first, first + MAX_VITALS) });
      if (body.length <= MAX_BODY) {
        this.#send(body);
      }
    }
  }

  #template(url: string): string {
    try {
      const route = this.#route(new URL(url));
      return route !== undefined && TEMPLATE.test(route) ? route : UNMATCHED;
    } catch {
      return UNMATCHED;
    }
  }
}

/** Measure this page, and the pages to which its scripts navigate. */
export function startWebVitals({ enabled = false, route, endpoint = ENDPOINT }: Options): void {
  if (!enabled) {
    return;
  }
  const vitals = new Vitals(route, (body) => send(endpoint, body));
  // Without support for soft navigations, the browser attributes everything to the page that was loaded.
  const loaded = location.href;
  const add = (metric: Metric): void => {
    vitals.add(metric, metric.navigationType === 'back-forward-cache' ? location.href : loaded);
  };
  const options = { reportSoftNavs: true };
  onCLS(add, options);
  onFCP(add, options);
  onINP(add, options);
  onLCP(add, options);
  onTTFB(add, options);
  // In the bubbling phase on the window: web-vitals listens in the capture phase and has reported its last values by
  // then. Not at pagehide, which comes before the visibility changes (HTML Standard, "unload a document").
  addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') {
      vitals.flush();
    }
  });
}

/** Return a function that finds the route of a page in a list of Next.js templates, such as `/docs/[...path]`. */
export function routeAmong(templates: readonly string[]): RouteOf {
  const patterns = templates.map((template) => [template, pattern(template)] as const);
  return ({ pathname }) => {
    const path = pathname.replace(/(.)\/+$/, '$1');
    return templates.includes(path) ? path : patterns.find(([, matches]) => matches.test(path))?.[0];
  };
}

function pattern(template: string): RegExp {
  const segments = template.split('/').filter((segment) => segment !== '');
  const parts = segments.map((segment) => {
    if (segment.startsWith('[[...')) {
      return '(?:/.+)?';
    }
    if (segment.startsWith('[...')) {
      return '/.+';
    }
    return segment.startsWith('[') ? '/[^/]+' : `/${segment.replace(/[.*+?^${}()|\\[\]]/g, '\\$&')}`;
  });
  return new RegExp(`^${parts.join('') || '/'}/?$`);
}

// A string is sent as text/plain, which needs no preflight for another origin.
function send(endpoint: string, body: string): void {
  try {
    if (navigator.sendBeacon?.(endpoint, body)) {
      return;
    }
    fetch(endpoint, { method: 'POST', body, keepalive: true, credentials: 'omit', mode: 'no-cors' }).catch(() => {});
  } catch {
    // A failure to send must not affect the page.
  }
}
