// The shapes of GET /ops/console/state and /ops/console/requests/{id}, for the type checker; it is not served.

/** A part that could not be made is missing, and its tab says so. */
interface State {
  cursor: string;
  full: boolean;
  restarted: boolean;
  now: number;
  service?: Service;
  workers?: Workers;
  numbers?: Record<string, Quantity>;
  requests?: RequestEntry[];
  errors?: ErrorGroup[];
  routes?: RouteEntry[];
  probes?: Probe[];
  loop?: Partial<Loop>;
  sockets?: Partial<Sockets>;
  monitoring?: Check[];
  about?: Partial<About>;
  changes?: Change[];
  actions?: Action[];
  forgotten?: Record<string, number>;
  left_out?: Record<string, number>;
}

interface Service {
  name: string;
  env: string;
  version: string;
  commit: string;
  library: string;
  started: number;
  ready: boolean;
  draining: boolean;
  prefix: string;
  trace_url: string;
}

interface Workers {
  known: boolean;
  answering: number;
  list: { pid: number; started: number; alive: boolean }[];
  skipped_files: number;
}

interface Quantity {
  now?: number | null;
  line?: (number | null)[];
}

/** What is merged has an id, which is unique together with the worker and the group. */
interface Entry {
  id: string;
  worker?: number;
  group?: string;
}

interface RequestEntry extends Entry {
  at: number;
  kind: string;
  method: string;
  route: string;
  status: number | null;
  outcome: string;
  ms: number;
  bytes: number | null;
  worker: number;
  trace_id: string;
  request_id: string;
  error: string;
  classes: string[];
  calls: number;
  debug: boolean;
}

interface ErrorGroup extends Entry {
  type: string;
  at: string;
  count: number;
  first: number;
  last: number;
  new: boolean;
  routes: string[];
  requests: string[];
  traceback: string[];
  message: string;
}

interface Rates {
  rate?: number | null;
  p50?: number | null;
  p95?: number | null;
  p99?: number | null;
  error_share?: number | null;
}

interface RouteEntry extends Entry {
  route: string;
  method: string;
  m1?: Rates;
  m5?: Rates;
  line?: (number | null)[];
}

interface Probe extends Entry {
  critical: boolean;
  ok: boolean | null;
  reason: string | null;
  latency_ms: number | null;
  asked: number | null;
  since: number | null;
  history: { at: number; ok: boolean; reason: string | null; ms: number | null }[];
}

interface Stall extends Entry {
  at: number;
  ms: number;
  place: string;
  stack: string[];
}

interface Loop {
  lag_ms: { p50?: number | null; p99?: number | null };
  stalls: Stall[];
  tasks: { place: string; count: number }[];
}

interface Sockets {
  namespaces: (Entry & { clients: number; events_per_s: number | null })[];
  handlers: (Entry & { count: number; p95_ms: number | null; errors: number })[];
  refused: (Entry & { count: number })[];
  websockets: number | null;
}

interface Check extends Entry {
  ok: boolean | null;
  title: string;
  value: string;
  cure: string;
}

interface About {
  flags: { name: string; value: unknown; default: unknown }[];
  middlewares: { name: string; why_not: string | null }[];
  jobs: (Entry & { runs: number; last: number | null; outcome: string | null; ms: number | null })[];
}

interface Change extends Entry {
  at: number;
  kind: string;
  text: string;
  ok: boolean | null;
}

interface Action extends Entry {
  method: string;
  path: string;
  allowed: boolean;
  why_not: string;
  title: string;
}

interface Call {
  kind: string;
  name: string;
  text: string;
  start_ms: number;
  ms: number;
  ok: boolean;
  n: number;
}

interface Line {
  at: number;
  level: string;
  logger: string;
  msg: string;
  fields?: Record<string, unknown>;
}

interface RequestDetail {
  request: RequestEntry & {
    first_byte_ms?: number | null;
    fields?: Record<string, unknown>;
    waited?: Record<string, number>;
  };
  calls?: Call[];
  lines?: Line[];
  error?: ErrorGroup | null;
  curl?: string;
  dropped?: { calls?: number; lines?: number };
}

/** What the page has now: the merged state, and what the user has chosen. */
interface View {
  state: State;
  filter: string;
  /** The id of the open request, fingerprint of the open error, or route that is looked at. */
  open: Record<string, string>;
  detail: RequestDetail | null;
  detailProblem: string;
  go(tab: string, id?: string): void;
  act(action: Action, body: unknown, headers?: Record<string, string>): Promise<Answer>;
}

interface Answer {
  status: number;
  content: any;
  retryAfter: number;
}

/** One tab: `make` builds its panel once, and `show` brings it up to date. */
interface Tab {
  /** Its title is the id with a capital letter. */
  id: string;
  make(panel: HTMLElement, view: View): (view: View) => void;
}

/** What a form of an action sends, and what it asks before. */
interface Form {
  fields: HTMLElement[];
  body: () => unknown;
  questions: () => string[];
  headers?: () => Record<string, string>;
}

/** What the poll asks, and what the page says of it. */
interface Polled {
  /** Ask once; return the seconds to wait at least. */
  ask(signal: { /** How often it has failed in a row. */ failed: number; /** Whether the answer still counts. */ current(): boolean }): Promise<number>;
  say(text: string): void;
}

// The functions of dom.js.

/** Return a text as it can be shown: cut, and what has no shape of its own as its number. */
type Plain = (value: unknown, longest?: number) => string;
/** Make an element. A string among its children is shown as text. */
type MakeElement = <Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes?: Record<string, string>,
  ...children: (Node | string)[]
) => HTMLElementTagNameMap[Name];
/** Make an element of SVG. */
type MakeSvg = (name: string, attributes?: Record<string, string | number>, ...children: Node[]) => SVGElement;
/** Set the text of an element, if it has another one. */
type SetText = (target: Element, text: unknown) => void;
/** Say that older entries are gone, if there were any. */
type SetGone = (target: Element, count: number | undefined, what: string, leftOut?: number) => void;
type MakeButton = (label: string, act: () => void, attributes?: Record<string, string>) => HTMLButtonElement;
/** Bring the children of an element in line with a list. A child whose item is the same object stays as it is. */
type Keyed = <Item extends object>(parent: Element, items: readonly Item[], make: (item: Item) => HTMLElement) => void;
/**
 * Make a table whose rows become cards on a narrow screen; the roles keep it a table for screen readers there, too.
 *
 * `heads` are the titles of the columns between |; one that ends in # has numbers, one that ends in ~ has long texts.
 * `none` is what is said of an empty list.
 */
type MakeTable = <Item extends object>(
  caption: string,
  heads: string,
  none: string,
  cells: (item: Item) => (Node | string)[],
  open?: (item: Item) => void,
) => { node: HTMLElement; show(items: readonly Item[] | undefined, filter: string): void };
/** Return the items that contain a text. */
type Filtered = <Item extends object>(items: readonly Item[], filter: string) => readonly Item[];
/** A mark for something that is well or not: a sign and a word, so that the colour is never alone. */
type MakeMark = (ok: boolean | null | undefined, word: string) => HTMLElement;
/** A text with a button that copies it; `what` names the text. */
type MakeCopyable = (text: string, what: string) => HTMLElement;
/** A link to something on this page. */
type MakeLink = (kind: string, id: string, label?: string) => HTMLAnchorElement;
