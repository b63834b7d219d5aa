// The client of the live socket: it keeps one connection, hands on frames in order, and says when it is away. What frames
// mean is state.js's matter.

/**
 * @typedef {{onFrame: (frame: any) => void, onStatus: (status: 'live' | 'connecting' | 'polling' | 'out', detail?: string) => void, poll: () => Promise<void>}} Handlers
 * @typedef {{url: string, user?: string, socket?: typeof WebSocket, random?: () => number}} Options
 *   user is whose frames are wanted: when the connection turns out to be somebody else's, this one is out.
 */

const firstDelay = 500, mostDelay = 30_000, pollEvery = 15_000, failuresBeforePolling = 3;
/** How long a connection may take to say hello: some proxies let it open and nothing through. */
const patience = 15_000;

export class Live {
  /** @param {Options} options @param {Handlers} handlers */
  constructor(options, handlers) {
    this.options = options;
    this.handlers = handlers;
    this.cursor = '';
    this.first = '';
    this.failures = 0;
    this.heartbeat = 30_000;
    /** @type {WebSocket | null} */
    this.ws = null;
    /** @type {any} */
    this.watching = null;
    this.looked = false;
    this.timers = { retry: 0, ping: 0, silence: 0, poll: 0, cursor: 0 };
    this.stopped = false;
  }

  start() {
    if (this.stopped || this.ws) return;
    clearTimeout(this.timers.retry);
    if (this.failures < failuresBeforePolling) this.handlers.onStatus('connecting');
    const Socket = this.options.socket ?? WebSocket;
    const url = this.options.url + (this.cursor ? '?cursor=' + encodeURIComponent(this.cursor) : '');
    const ws = new Socket(url, ['tidings.v1']);
    this.ws = ws;
    this.hear(ws, patience);
    ws.onmessage = (e) => {
      if (this.ws !== ws || typeof e.data !== 'string') return;
      for (const line of e.data.split('\n')) if (line && this.ws === ws) this.frame(JSON.parse(line));
      if (this.ws === ws) this.hear(ws);
    };
    ws.onclose = (e) => { if (this.ws === ws) this.closed(e.code, e.reason); };
    ws.onerror = () => {};
  }

  stop() {
    this.stopped = true;
    this.reset();
    const ws = this.ws;
    this.ws = null;
    ws?.close(1000);
  }

  /** wake is called when the page comes back: a connection that slept may be dead without knowing it. */
  wake() {
    if (this.stopped) return;
    if (!this.ws) {
      this.start();
      return;
    }
    this.send({ op: 'ping' });
    this.hear(this.ws, 5_000);
  }

  /** @param {any} frame @returns {boolean} whether it was sent */
  send(frame) {
    if (this.ws?.readyState !== 1) return false;
    this.ws.send(JSON.stringify(frame));
    return true;
  }

  /** watch asks for the messages themselves, of some channels or of all; null for none. @param {string[] | 'all' | null} what */
  watch(what) {
    const before = this.watching, had = new Set(Array.isArray(before) ? before : []), wants = new Set(Array.isArray(what) ? what : []);
    this.watching = what;
    // What stays watched is never let go in between: its messages would come to nobody. Only all of a sudden to few that cannot be.
    if (before === 'all' && what !== 'all') this.send(watchFrame('unwatch', 'all'));
    const more = what === 'all' ? what : [...wants].filter((c) => !had.has(c)), less = [...had].filter((c) => !wants.has(c));
    if (more.length && before !== what) this.send(watchFrame('watch', more));
    if (less.length) this.send(watchFrame('unwatch', less));
  }

  /** here says whether the person is looking at the page, so that they are not told of it on their other devices. @param {boolean} on */
  here(on) {
    if (on === this.looked) return;
    this.looked = on;
    this.send({ op: 'here', on });
  }

  /** @param {string[]} channels */
  sync(channels) {
    if (channels.length) this.send({ op: 'sync', channels });
  }

  /** @param {any} f */
  frame(f) {
    if (f.op === 'hello' && this.options.user && f.user !== this.options.user) {
      const ws = this.ws;
      this.closed(4001, 'somebody else is signed in');
      ws?.close(1000);
      return;
    }
    // A cursor stands for what came before it; that of a fresh connection counts once its snapshot is here.
    if (f.op === 'hello' && !f.resumed) {
      this.cursor = '';
      this.first = f.cursor;
    } else if (f.op === 'snapshot') this.cursor = this.first;
    else if (f.cursor) this.cursor = f.cursor;
    // Nothing is resumed from a cursor that is older than a mark or a change of what may be read.
    if (f.op === 'read' || f.op === 'access') {
      clearTimeout(this.timers.cursor);
      this.timers.cursor = setTimeout(() => this.send({ op: 'ping' }), 1000);
    }
    if (f.op === 'hello') {
      this.failures = 0;
      this.heartbeat = f.heartbeat_ms || this.heartbeat;
      clearTimeout(this.timers.poll);
      clearInterval(this.timers.ping);
      this.timers.ping = setInterval(() => this.send({ op: 'ping' }), this.heartbeat);
      if (this.watching) this.send(watchFrame('watch', this.watching));
      if (this.looked) this.send({ op: 'here', on: true });
      this.handlers.onStatus('live');
    }
    this.handlers.onFrame(f);
  }

  /** hear notes that the other side lives; after long silence the connection is given up. */
  hear(/** @type {WebSocket} */ ws, /** @type {number} */ silence = this.heartbeat * 2.5) {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => {
      if (this.ws !== ws) return;
      ws.onclose = null;
      ws.close(4000);
      this.closed(1006, 'silence');
    }, silence);
  }

  /** @param {number} code @param {string} reason */
  closed(code, reason) {
    this.ws = null;
    this.reset();
    if (this.stopped) return;
    if (code === 4001 || code === 4003) {
      this.stopped = true;
      this.handlers.onStatus('out', reason);
      return;
    }
    this.failures++;
    if (this.failures >= failuresBeforePolling) {
      this.handlers.onStatus('polling');
      const random = this.options.random ?? Math.random;
      const poll = () => {
        this.handlers.poll().catch(() => {});
        this.timers.poll = setTimeout(poll, pollEvery * (0.75 + random() / 2));
      };
      poll();
    } else {
      this.handlers.onStatus('connecting');
    }
    this.timers.retry = setTimeout(() => this.start(), delay(this.failures, reason, this.options.random ?? Math.random));
  }

  reset() {
    clearTimeout(this.timers.retry);
    clearTimeout(this.timers.cursor);
    clearTimeout(this.timers.silence);
    clearInterval(this.timers.ping);
    clearTimeout(this.timers.poll);
  }
}

/** @param {string} op @param {string[] | 'all'} what */
function watchFrame(op, what) {
  return what === 'all' ? { op, all: true } : { op, channels: what };
}

/**
 * delay is how long to wait before trying again: what the server said, else doubling; always spread by chance, so that
 * clients do not all come back at once.
 * @param {number} failures @param {string} reason @param {() => number} random
 */
export function delay(failures, reason, random) {
  const said = /retry_ms=(\d{1,7})/.exec(reason);
  if (said) return Number(said[1]) * (0.5 + random() / 2);
  const most = Math.min(mostDelay, firstDelay * 2 ** Math.min(failures - 1, 10));
  return most * (0.5 + random() / 2);
}
