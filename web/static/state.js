// The read state and the rules by which frames change it: pure functions, no page and no network. docs/LIVE.md tells why.
// A state is never changed in place.

/**
 * @typedef {string | null} Id A snowflake in digits; null for none.
 * @typedef {{u: string[], r: string[], e: boolean}} Mentions
 * @typedef {{id: string, guild: string, name: string, type: number, parent: Id, unread: number, mentions: number, first_unread: Id,
 *   read_id: Id, last_id: Id, version: number, muted: boolean, muted_until: string | null, complete_since: string | null, seen: number, asked: boolean, recovered: number, rev: number}} Channel
 *   seen is the highest version that was heard of; rev is the mark that last touched the channel; asked is set while an answer to sync is awaited.
 * @typedef {{id: string, name: string, icon: string, roles: string[], suppress_everyone: boolean, suppress_roles: boolean}} Guild
 * @typedef {{user: string, rev: number, ignored: string[], guilds: Object<string, Guild>, channels: Object<string, Channel>}} State
 * @typedef {{state: State, sync: string[], refetch: boolean, changed: string[]}} Step
 *   sync lists channels to ask for, refetch says that the whole is to be fetched, changed lists channels whose counts may differ.
 */

/**
 * compare orders ids by age: snowflakes grow, and a longer one is larger.
 * @param {Id | undefined} a @param {Id | undefined} b
 */
export function compare(a, b) {
  const x = a ?? '0', y = b ?? '0';
  return x.length - y.length || (x < y ? -1 : x > y ? 1 : 0);
}

/** @param {string} user @returns {State} */
export function empty(user) {
  return { user, rev: 0, ignored: [], guilds: {}, channels: {} };
}

/**
 * fromUnread makes the state that GET /api/unread or a snapshot tells.
 * @param {string} user @param {any} unread @returns {State}
 */
export function fromUnread(user, unread) {
  const s = empty(user);
  s.rev = unread.rev;
  s.ignored = unread.ignored ?? [];
  for (const g of unread.guilds ?? []) {
    s.guilds[g.id] = { id: g.id, name: g.name, icon: g.icon, roles: g.roles ?? [],
      suppress_everyone: !!g.suppress_everyone, suppress_roles: !!g.suppress_roles };
    for (const c of g.channels ?? []) {
      s.channels[c.id] = { ...c, guild: g.id, seen: c.version, asked: false, recovered: 0, rev: unread.rev };
    }
  }
  return s;
}

/** @param {Channel} c @param {number} [now] */
export function muted(c, now = Date.now()) {
  return c.muted && !(c.muted_until && Date.parse(c.muted_until) <= now);
}

/** @param {State} s @param {number} [now] */
export function totals(s, now = Date.now()) {
  let unread = 0, mentions = 0;
  for (const c of Object.values(s.channels)) {
    if (!muted(c, now)) unread += c.unread;
    mentions += c.mentions;
  }
  return { unread, mentions };
}

/**
 * reduce applies one frame.
 * @param {State} s @param {any} f @returns {Step}
 */
export function reduce(s, f) {
  switch (f.op) {
    case 'snapshot': return snapshot(s, f.unread);
    case 'delta': return delta(s, f);
    case 'count': return counts(s, [f]);
    case 'read': return counts(prefer({ ...s, rev: Math.max(s.rev, f.rev ?? 0) }, f), f.channels ?? [], f.rev);
    case 'recovered': return recovered(s, f);
    case 'access': return access(s, f);
    default: return step(s);
  }
}

/** @returns {Step} */
function step(/** @type {State} */ state, /** @type {string[]} */ sync = [], /** @type {string[]} */ changed = [], refetch = false) {
  return { state, sync, refetch, changed };
}

/** @returns {Step} */
function snapshot(/** @type {State} */ s, /** @type {any} */ unread) {
  const next = fromUnread(s.user, unread);
  for (const [id, c] of Object.entries(next.channels)) {
    const old = s.channels[id];
    if (old?.recovered) next.channels[id] = { ...c, recovered: old.recovered };
  }
  return step(next, [], Object.keys(next.channels));
}

/**
 * merge takes in a whole that was fetched while frames went on: of each channel the newer version stands.
 * @param {State} s @param {any} unread @returns {Step}
 */
export function merge(s, unread) {
  const next = fromUnread(s.user, unread);
  if (next.rev < s.rev) {
    next.ignored = s.ignored;
    for (const [id, g] of Object.entries(next.guilds)) {
      const old = s.guilds[id];
      if (old) next.guilds[id] = { ...g, suppress_everyone: old.suppress_everyone, suppress_roles: old.suppress_roles };
    }
    for (const [id, c] of Object.entries(next.channels)) {
      const old = s.channels[id];
      if (old) next.channels[id] = { ...c, muted: old.muted, muted_until: old.muted_until };
    }
  }
  next.rev = Math.max(next.rev, s.rev);
  /** @type {string[]} */
  const sync = [];
  for (const [id, c] of Object.entries(next.channels)) {
    const old = s.channels[id];
    if (!old) continue;
    const seen = Math.max(old.seen, c.seen);
    if (c.version < old.version || (unread.rev < s.rev && c.version === old.version)) {
      // The counts of the fetched whole are of an older moment; ask for those of this one.
      next.channels[id] = { ...c, unread: old.unread, mentions: old.mentions, first_unread: old.first_unread, read_id: old.read_id,
        last_id: old.last_id, version: old.version, seen, asked: true, recovered: old.recovered, rev: Math.max(old.rev, c.rev) };
      sync.push(id);
    } else {
      const hole = seen > c.version;
      next.channels[id] = { ...c, seen, asked: hole, recovered: old.recovered, rev: Math.max(old.rev, c.rev) };
      if (hole) sync.push(id);
    }
  }
  return step(next, sync, Object.keys(next.channels));
}

/**
 * adopt takes in the state that another tab's connection has kept up to date: of each channel what is newer stands, and where one side has the
 * newer messages and the other the newer mark, the server is asked. Channels that only one side knows are the server's to tell of, too.
 * @param {State} s @param {State} other @returns {Step}
 */
export function adopt(s, other) {
  const mine = s.rev > other.rev, base = mine ? s : other;
  /** @type {string[]} */
  const sync = [];
  /** @type {Object<string, Channel>} */
  const channels = {};
  let refetch = false;
  for (const id of new Set([...Object.keys(s.channels), ...Object.keys(other.channels)])) {
    const a = s.channels[id], b = other.channels[id];
    if (!a || !b) {
      channels[id] = a ?? b;
      refetch = true;
      continue;
    }
    const newer = a.version > b.version || (a.version === b.version && mine) ? a : b;
    const seen = Math.max(a.seen, b.seen), prefers = base.channels[id];
    const unsure = a.version !== b.version && (newer === a) !== mine && s.rev !== other.rev;
    const ask = seen > newer.version || unsure;
    channels[id] = { ...newer, seen, asked: ask, rev: Math.max(a.rev, b.rev), recovered: Math.max(a.recovered, b.recovered), muted: prefers.muted, muted_until: prefers.muted_until };
    if (ask) sync.push(id);
  }
  return step({ ...s, rev: base.rev, ignored: base.ignored, guilds: { ...(mine ? other : s).guilds, ...base.guilds }, channels }, sync, Object.keys(channels), refetch);
}

/** @returns {State} */
function put(/** @type {State} */ s, /** @type {Channel} */ c) {
  return { ...s, channels: { ...s.channels, [c.id]: c } };
}

/** hidden tells whose messages count for nothing: the person's own and those of whom they ignore. @returns {boolean} */
function hidden(/** @type {State} */ s, /** @type {string} */ author) {
  return author === s.user || s.ignored.includes(author);
}

/** prefer takes whom the person ignores and what they mute and suppress, where a frame says so. @returns {State} */
function prefer(/** @type {State} */ s, /** @type {any} */ f) {
  if (!f.ignored || f.rev < s.rev) return s;
  const channels = Object.fromEntries(Object.entries(s.channels).map(([id, c]) =>
    [id, { ...c, muted: id in (f.muted ?? {}), muted_until: f.muted?.[id] ?? null }]));
  const guilds = Object.fromEntries(Object.entries(s.guilds).map(([id, g]) =>
    [id, { ...g, suppress_everyone: !!f.suppressed?.[id]?.suppress_everyone, suppress_roles: !!f.suppressed?.[id]?.suppress_roles }]));
  return { ...s, ignored: f.ignored, guilds, channels };
}

/** @returns {boolean} */
export function mentionsMe(/** @type {State} */ s, /** @type {string} */ guild, /** @type {Mentions | undefined | null} */ m) {
  if (!m) return false;
  const g = s.guilds[guild];
  if (m.e && !g?.suppress_everyone || m.u?.includes(s.user)) return true;
  const roles = g?.suppress_roles ? [] : g?.roles ?? [];
  return (m.r ?? []).some((r) => roles.includes(r));
}

/** @returns {Step} */
function delta(/** @type {State} */ s, /** @type {any} */ f) {
  const c = s.channels[f.c];
  if (!c) return step(s, [], [], true); // a channel that is not known here: the whole has changed
  if (f.v <= c.version) return step(s);
  const seen = Math.max(c.seen, f.v);
  if (f.v !== c.version + 1 || f.k === 'reset') {
    const next = put(s, { ...c, seen, asked: true });
    return step(next, c.asked ? [] : [c.id]);
  }
  /** @type {Channel} */
  const n = { ...c, version: f.v, seen };
  let ask = false;
  const gone = f.k === 'delete' && f.ids ? f.ids : [[f.id, f.a, f.m]];
  if (f.k === 'create' && f.n === 1) {
    if (compare(f.id, n.last_id) > 0) n.last_id = f.id;
    if (compare(f.id, c.read_id) > 0 && !hidden(s, f.a)) {
      n.unread++;
      if (n.first_unread === null || compare(f.id, n.first_unread) < 0) n.first_unread = f.id;
      if (mentionsMe(s, c.guild, f.m)) n.mentions++;
    }
  } else if (f.k === 'delete' && (f.n < 0 || f.ids)) {
    for (const [id, author, m] of gone) {
      if (id === c.last_id || id === c.first_unread) ask = true; // only the server knows the neighbour
      if (compare(id, c.read_id) <= 0 || hidden(s, author)) continue;
      n.unread--;
      if (mentionsMe(s, c.guild, m)) n.mentions--;
    }
  } else if (f.k === 'update' && f.m0 && !hidden(s, f.a) && compare(f.id, c.read_id) > 0) {
    n.mentions += Number(mentionsMe(s, c.guild, f.m)) - Number(mentionsMe(s, c.guild, f.m0));
  }
  if (n.unread < 0 || n.mentions < 0) {
    ask = true;
    n.unread = Math.max(0, n.unread);
    n.mentions = Math.max(0, n.mentions);
  }
  if (n.unread === 0) n.first_unread = null;
  const sync = ask && !c.asked ? [c.id] : [];
  n.asked = c.asked || ask;
  return step(put(s, n), sync, [c.id]);
}

/** counts takes the server's counts of channels, which are of version v and, when a mark brought them, of its rev. @returns {Step} */
function counts(/** @type {State} */ s, /** @type {any[]} */ list, /** @type {number} */ rev = 0) {
  /** @type {string[]} */
  const sync = [];
  /** @type {string[]} */
  const changed = [];
  const channels = { ...s.channels };
  for (const f of list) {
    const c = channels[f.c];
    if (!c || (rev > 0 && rev < c.rev)) continue;
    if (f.v < c.version) {
      channels[f.c] = { ...c, asked: true, rev: Math.max(c.rev, rev) };
      sync.push(f.c);
      continue;
    }
    const hole = c.seen > f.v;
    channels[f.c] = { ...c, unread: f.unread, mentions: f.mentions, first_unread: f.first_unread ?? null, read_id: f.read_id,
      last_id: f.last_id === undefined ? c.last_id : f.last_id, version: f.v, seen: Math.max(c.seen, f.v), asked: hole,
      rev: Math.max(c.rev, rev), recovered: f.unread === 0 ? 0 : c.recovered };
    if (hole) sync.push(f.c);
    changed.push(f.c);
  }
  return step({ ...s, channels }, sync, changed);
}

/** @returns {Step} */
function recovered(/** @type {State} */ s, /** @type {any} */ f) {
  const c = s.channels[f.c];
  if (!c) return step(s);
  return step(put(s, { ...c, recovered: c.recovered + f.n }), [], [c.id]);
}

/** access hides what was lost at once; what was gained, and counts by new roles, are fetched. @returns {Step} */
function access(/** @type {State} */ s, /** @type {any} */ f) {
  const lost = new Set(f.lost ?? []);
  const channels = Object.fromEntries(Object.entries(s.channels).filter(([id]) => !lost.has(id)));
  const guilds = { ...s.guilds };
  for (const [g, roles] of Object.entries(f.roles ?? {})) {
    if (guilds[g]) guilds[g] = { ...guilds[g], roles: /** @type {string[]} */ (roles) };
  }
  return step({ ...s, guilds, channels }, [], [...lost], true);
}

/** dropped forgets what was asked on a connection that has ended; the answers will not come. @param {State} s @returns {State} */
export function dropped(s) {
  return { ...s, channels: Object.fromEntries(Object.entries(s.channels).map(([id, c]) => [id, c.asked ? { ...c, asked: false } : c])) };
}

/**
 * holes lists the channels that are behind what was heard of.
 * @param {State} s
 */
export function holes(s) {
  return Object.values(s.channels).filter((c) => c.seen > c.version && !c.asked).map((c) => c.id);
}
