// The counts of all channels, fetched. It needs no page: the worker that tabs share fetches them too.

/** Problem is an answer that says what went wrong, for people to read. */
export class Problem extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Unread fetches GET /api/unread, and takes nothing over the line twice that has not changed. */
export class Unread {
  /** @param {typeof globalThis.fetch} [get] */
  constructor(get = (...args) => globalThis.fetch(...args)) {
    this.get = get;
    this.tag = '';
    /** @type {any} */
    this.body = null;
  }

  /** @returns {Promise<{unread: any, fresh: boolean}>} fresh says that it is another one than the last */
  async fetch() {
    let answer;
    try {
      answer = await this.get('/api/unread', { cache: 'no-store', credentials: 'same-origin', headers: { Accept: 'application/json', ...(this.tag ? { 'If-None-Match': this.tag } : {}) } });
    } catch {
      throw new Problem(0, 'The service cannot be reached. Check your connection.');
    }
    if (answer.status === 304) return { unread: this.body, fresh: false };
    if (!answer.ok) {
      const problem = await answer.json().catch(() => null);
      throw new Problem(answer.status, problem?.detail ?? 'Something went wrong. Try again in a moment.');
    }
    this.body = await answer.json();
    this.tag = answer.headers.get('ETag') ?? '';
    return { unread: this.body, fresh: true };
  }
}
