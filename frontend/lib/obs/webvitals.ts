// Measure LCP, INP, CLS, FCP and TTFB, and send them once the page is hidden. Nothing names a person: a vital is its
// name, value, rating, kind of navigation and the route, which is a template. No id, query, selector or URL leaves the
// page.

import { onCLS, onFCP, onINP, onLCP, onTTFB } from 'web-vitals';
import type { Metric } from 'web-vitals';

/** What the service takes (docs/vitals.md). */
export interface Vital {
  name: Metric['name'];
  value: number;
  rating: Metric['rating'];
  navigation: Metric['navigationType'];
  route: string;
}

/** Return the template of a page's route, such as `/rooms/[id]`; undefined where it is not known. */
export type RouteOf = (url: URL) => string | undefined;

export interface Options {
  /** Off by default: then nothing is observed and nothing is sent. */
  enabled?: boolean;
  route: RouteOf;
  /** Where vitals are sent; by default the route handler beside this file, on the page's own origin. */
  endpoint?: string;
}

export type Send = (body: string) => void;

const ENDPOINT = '/api/ops/ingest';
const UNMATCHED = '__unmatched__';
// The bounds of the service; one vital beyond them has the whole body refused.
const MAX_VITALS = 20;
const MAX_BODY = 16 * 1024;
const MAX_MS = 120_000;
const MAX_CLS = 100;
// A page may live for days. What is sent at once must fit into the 64 KB that the Fetch Standard gives to keepalive.
const MAX_PENDING = 100;
// Neither a query nor a fragment, and no whole URL, whatever `route` returns.
const TEMPLATE = /^\/[^\s?#]{0,127}$/;

/** Keep the last value of each metric id, and send each id once. */
export class Vitals {
  readonly #pending = new Map<string, Vital>();
  readonly #sent = new Set<string>();
  readonly #route: RouteOf;
  readonly #send: Send;

  constructor(route: RouteOf, send: Send) {
    this.#route = route;
    this.#send = send;
  }

  /** Keep a metric, which was measured on the page of `url` if it does not name another one. */
  add(metric: Metric, url: string): void {
    const { id, name, value, rating, navigationType: navigation } = metric;
    // web-vitals reports a TTFB of 0 for a soft navigation: nothing was fetched.
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

  /** Send what is kept. */
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

/** Measure this page and those that its scripts navigate to. */
export function startWebVitals({ enabled = false, route, endpoint = ENDPOINT }: Options): void {
  if (!enabled) {
    return;
  }
  const vitals = new Vitals(route, (body) => send(endpoint, body));
  // A browser that does not report soft navigations measures all of them as the page that was loaded.
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
  // On the window and not while capturing, where web-vitals listens: it has reported its last values by then. Not at
  // pagehide, which comes before the visibility changes (HTML Standard, "unload a document").
  addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') {
      vitals.flush();
    }
  });
}

/** Return what finds the route of a page among templates as Next.js writes them: `/rooms/[id]`, `/docs/[...path]`. */
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

// A string is sent as text/plain, which needs no preflight of another origin.
function send(endpoint: string, body: string): void {
  try {
    if (navigator.sendBeacon?.(endpoint, body)) {
      return;
    }
    fetch(endpoint, { method: 'POST', body, keepalive: true, credentials: 'omit', mode: 'no-cors' }).catch(() => {});
  } catch {
    // The page is more important than its measurements.
  }
}
