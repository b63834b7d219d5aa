// A tab's way to the live socket: through the worker that all tabs share, or, where there is none, by a socket of its own.

import { Live } from './live.js';
import { noticeJumps } from './wake.js';

/**
 * @typedef {import('./live.js').Handlers & {onState: (state: import('./state.js').State) => void, onUnread: (unread: any) => void}} Handlers
 * @typedef {{user: string, url: string, worker?: (() => SharedWorker) | null, live?: () => Live, locks?: LockManager | null}} Options
 */

/** How long the worker may take to answer a tab. */
const patience = 10_000;

export class Link {
  /** @param {Options} options @param {Handlers} handlers */
  constructor(options, handlers) {
    this.options = options;
    this.handlers = handlers;
    /** @type {MessagePort | null} */
    this.port = null;
    /** @type {Live | null} */
    this.own = null;
    this.joined = false;
    this.stopped = false;
    /** @type {string[] | 'all' | null} */
    this.watching = null;
    this.looked = false;
    this.giveUp = 0;
    this.id = '';
    /** @type {() => void} */
    this.letGo = () => {};
  }

  async start() {
    if (this.stopped || this.port || this.own) return;
    if (!this.options.worker) return this.alone();
    try {
      const worker = this.options.worker();
      worker.addEventListener('error', () => { if (!this.joined) this.alone(); });
      this.port = worker.port;
      this.port.onmessage = (e) => this.hear(e.data);
      this.giveUp = setTimeout(() => this.alone(), patience);
      await this.hold();
      this.port?.postMessage({ join: this.id });
    } catch {
      this.alone();
    }
  }

  /** hold takes the lock by which the worker knows that this tab lives. */
  async hold() {
    this.id = Math.random().toString(36).slice(2) + Date.now().toString(36);
    const { locks } = this.options;
    if (!locks) return;
    await new Promise((held) => {
      locks.request('tidings-tab-' + this.id, () => new Promise((done) => {
        this.letGo = () => done(undefined);
        held(undefined);
      })).catch(held);
    });
  }

  /** alone goes on without the worker. */
  alone() {
    clearTimeout(this.giveUp);
    this.part();
    if (this.stopped || this.own) return;
    this.own = this.options.live?.() ?? new Live({ url: this.options.url, user: this.options.user }, this.handlers);
    if (this.watching) this.own.watch(this.watching);
    this.own.here(this.looked);
    this.own.start();
    noticeJumps(() => this.own?.wake());
  }

  /** part leaves the worker. */
  part() {
    this.port?.postMessage({ leave: true });
    this.port?.close();
    this.port = null;
    this.joined = false;
    this.letGo();
  }

  /** @param {any} m */
  hear(m) {
    if (!this.port) return;
    if (m.joined) {
      clearTimeout(this.giveUp);
      this.joined = true;
      this.port.postMessage({ watch: this.watching });
      this.port.postMessage({ here: this.looked });
      if (m.state) this.handlers.onState(m.state);
    }
    if (m.frame) this.handlers.onFrame(m.frame);
    if (m.unread) this.handlers.onUnread(m.unread);
    if (!m.status) return;
    if (m.status === 'out') this.stop();
    this.handlers.onStatus(m.status, m.detail);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.giveUp);
    this.part();
    this.own?.stop();
  }

  /** pause gives up the place in the worker when the page is put away, and resume takes it again. */
  pause() {
    if (this.port) this.part();
  }

  resume() {
    if (!this.stopped && !this.port && !this.own) this.start();
  }

  wake() {
    this.own?.wake();
    this.port?.postMessage({ wake: true });
  }

  /** @param {any} frame */
  send(frame) {
    this.own?.send(frame);
    this.port?.postMessage({ send: frame });
  }

  /** @param {string[] | 'all' | null} what */
  watch(what) {
    this.watching = what;
    this.own?.watch(what);
    if (this.joined) this.port?.postMessage({ watch: what });
  }

  /** @param {string[]} channels */
  sync(channels) {
    this.own?.sync(channels);
    if (channels.length) this.port?.postMessage({ sync: channels });
  }

  /** @param {boolean} on */
  here(on) {
    this.looked = on;
    this.own?.here(on);
    if (this.joined) this.port?.postMessage({ here: on });
  }
}
