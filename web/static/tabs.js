// What the tabs of one browser share: one connection, and the read state that it keeps up to date, so that a tab that opens later has
// it at once. It runs in the worker of shared.js; it knows no ports and no page.

import { Live } from './live.js';
import { Problem, Unread } from './unread.js';
import { dropped, empty, fromUnread, merge, reduce } from './state.js';

/**
 * @typedef {{post: (message: any) => void, watch: string[] | 'all' | null, here: boolean}} Tab
 * @typedef {{url: string, user: string, unread?: {fetch: () => Promise<{unread: any, fresh: boolean}>}, live?: (handlers: import('./live.js').Handlers) => Live}} Options
 *   What a tab says: {join}, {leave}, {watch: …}, {sync: […]}, {send: frame}, {here: bool}, {wake}. What it is told: {joined}, {state}, {frame},
 *   {status}, {unread}.
 */

export class Tabs {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    this.unread = options.unread ?? new Unread();
    /** @type {Map<string, Tab>} */
    this.tabs = new Map();
    /** @type {Set<string>} channels whose counts were asked for */
    this.asked = new Set();
    this.watching = '';
    this.live = this.begin();
  }

  /** begin forgets what was known, and makes a connection that has not been opened yet. @returns {Live} */
  begin() {
    /** @type {import('./live.js').Handlers} */
    const handlers = { onFrame: (f) => this.frame(f), onStatus: (s, detail) => this.say(s, detail), poll: () => this.poll() };
    this.state = empty(this.options.user);
    this.known = false;
    this.started = false;
    this.watching = '';
    this.asked.clear();
    /** @type {'live' | 'connecting' | 'polling' | 'out'} */
    this.status = 'connecting';
    return this.options.live?.(handlers) ?? new Live({ url: this.options.url, user: this.options.user }, handlers);
  }

  /** join takes a tab in, and tells it what is known. @param {string} id @param {(message: any) => void} post */
  join(id, post) {
    // Whoever opens a page is signed in, whatever became of the connection before.
    if (this.status === 'out') this.live = this.begin();
    this.tabs.set(id, { post, watch: null, here: false });
    post({ joined: true, status: this.status, state: this.known ? this.state : null });
    if (!this.started) {
      this.started = true;
      this.live.start();
    }
  }

  /** @param {string} id */
  leave(id) {
    if (!this.tabs.delete(id)) return;
    if (this.tabs.size > 0) {
      this.watch();
      this.here();
      return;
    }
    this.live.stop();
    this.live = this.begin();
  }

  /** hear takes what a tab says. @param {string} id @param {any} m */
  hear(id, m) {
    const tab = this.tabs.get(id);
    if (!tab) return;
    if ('watch' in m) {
      tab.watch = m.watch;
      this.watch();
    } else if ('here' in m) {
      tab.here = m.here;
      this.here();
    } else if (m.sync) this.sync(m.sync);
    else if (m.send) this.live.send(m.send);
    else if (m.wake) this.live.wake();
    else if (m.leave) this.leave(id);
  }

  /** watch watches what any of the tabs does. */
  watch() {
    const all = [...this.tabs.values()].map((t) => t.watch);
    const ids = [...new Set(all.flatMap((w) => (w && w !== 'all' ? w : [])))].sort();
    const what = all.includes('all') ? 'all' : ids.length ? ids : null;
    const key = JSON.stringify(what);
    if (key === this.watching) return;
    this.watching = key;
    this.live.watch(what);
  }

  here() {
    this.live.here([...this.tabs.values()].some((t) => t.here));
  }

  /** sync asks for counts, once for all tabs. @param {string[]} channels */
  sync(channels) {
    const fresh = channels.filter((c) => !this.asked.has(c));
    for (const c of fresh) this.asked.add(c);
    this.live.sync(fresh);
  }

  /** @param {any} f */
  frame(f) {
    if (f.op === 'hello') {
      this.asked.clear();
      this.state = dropped(this.state);
    } else if (f.op === 'count') this.asked.delete(f.c);
    else if (f.op === 'error') this.asked.clear();
    for (const t of this.tabs.values()) t.post({ frame: f });
    if (f.op === 'snapshot') {
      this.state = fromUnread(this.options.user, f.unread);
      this.known = true;
    } else if (this.known) this.take(reduce(this.state, f));
  }

  /** take keeps a step of the state; what the tabs ask for besides is their own. @param {import('./state.js').Step} step */
  take(step) {
    this.state = step.state;
    this.sync(step.sync);
    if (step.refetch) this.unread.fetch().then(({ unread }) => this.take(merge(this.state, unread))).catch(() => {});
  }

  /** @param {'live' | 'connecting' | 'polling' | 'out'} status @param {string} [detail] */
  say(status, detail) {
    this.status = status;
    for (const t of this.tabs.values()) t.post({ status, detail });
    if (status !== 'out') return;
    this.tabs.clear();
    this.known = false;
  }

  /** poll asks over HTTP, once for all tabs. */
  async poll() {
    try {
      const { unread, fresh } = await this.unread.fetch();
      if (!fresh) return;
      this.state = this.known ? merge(this.state, unread).state : fromUnread(this.options.user, unread);
      this.known = true;
      for (const t of this.tabs.values()) t.post({ unread });
    } catch (e) {
      if (!(e instanceof Problem) || e.status !== 401) return;
      this.live.stop();
      this.say('out');
    }
  }
}
