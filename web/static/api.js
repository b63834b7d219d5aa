// The HTTP API, as far as the page uses it.

/** Problem is an answer that says what went wrong, for people to read. */
export class Problem extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** @param {string} path @param {any} [body] @param {AbortSignal} [signal] @returns {Promise<any>} */
async function call(path, body, signal) {
  /** @type {RequestInit} */
  const init = { headers: { Accept: 'application/json' }, credentials: 'same-origin', signal };
  if (body !== undefined) {
    init.method = 'POST';
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e;
    throw new Problem(0, 'The service cannot be reached. Check your connection.');
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => null);
    throw new Problem(answer.status, problem?.detail ?? 'Something went wrong. Try again in a moment.');
  }
  return answer.json();
}

/** @param {Record<string, string | number | undefined>} q */
function query(q) {
  const p = new URLSearchParams();
  for (const [k, v] of Object.entries(q)) if (v !== undefined && v !== '') p.set(k, String(v));
  return p.toString();
}

export const api = {
  unread: () => call('/api/unread'),
  guilds: () => call('/api/guilds'),
  /** @param {{channel: string, before?: string, after?: string, around?: string, limit?: number}} q @param {AbortSignal} [signal] */
  messages: (q, signal) => call('/api/messages?' + query(q), undefined, signal),
  /** @param {{filter: string, cursor?: string}} q @param {AbortSignal} [signal] */
  feed: (q, signal) => call('/api/feed?' + query(q), undefined, signal),
  /** @param {{channel?: string, guild?: string, all?: boolean, up_to: string, rev?: number}} mark */
  read: (mark) => call('/api/messages/read', mark),
  /** @param {string} channel @param {string} message */
  markUnread: (channel, message) => call('/api/messages/unread', { channel, message }),
  /** @param {number} rev */
  undo: (rev) => call('/api/messages/undo', { rev }),
};
