// One message. The server's first view (templates/message.html) has the same shape.

import { el, html, tone, initial } from './dom.js';
import { clockTime, fullTime, stamp, localise } from './time.js';
import { words } from '../words.js';
import { attachment, component, embed, emojiOf, poll, safe, sticker } from './parts.js';

/**
 * @typedef {any} Message as GET /api/messages tells it
 * @typedef {{inFeed: boolean, cdn: boolean, nameOf: (id: string) => string | undefined, role: (id: string) => {name: string, color: number} | undefined,
 *   roleIsMine: (guild: string, role: string) => boolean, guildName: (id: string) => string | undefined, user: string, newFrom: string | null, newLabel: string,
 *   saved: Set<string>, dated: boolean, isThread: (id: string) => boolean}} Context
 *   dated asks for the date beside the time, where there are no day lines.
 */

const crossposted = 1 << 1;

/** @param {Message} m @param {boolean} together @param {Context} c */
export function message(m, together, c) {
  const at = new Date(m.timestamp);
  const time = el('time', { datetime: m.timestamp, title: fullTime(at) }, c.dated ? stamp(at) : clockTime(at));
  const node = el('article', {
    class: 'message' + (together ? ' together' : '') + (m.mentions_me ? ' mentions-me' : '') + (m.system ? ' system' : '') + (m.jumbo ? ' jumbo' : ''),
    'data-id': m.id, 'data-channel': m.channel, tabindex: '-1', 'aria-label': `${m.author.name}, ${c.dated ? stamp(at) : clockTime(at)}`,
  });
  node.append(together ? el('div', { class: 'gutter' }, time) : m.system ? el('div', { class: 'gutter sign', 'aria-hidden': 'true' }, signs[m.type] ?? '→') : avatar(m, c));
  const body = el('div', { class: 'body' });
  node.append(body);
  if (m.reply) body.append(reply(m, c));
  if (m.system) {
    body.append(el('div', { class: 'line' }, html('content', m.html), ' ', c.inFeed && where(m, c), ' ', time));
    tail(body, m, c);
    return done(node, m, c);
  }
  if (!together) {
    body.append(el('header', {}, el('bdi', { class: 'author' }, m.author.name),
      m.author.webhook ? el('span', { class: 'tag' }, m.flags & crossposted ? words.announcement : words.webhook) : m.author.bot && el('span', { class: 'tag' }, words.bot),
      c.inFeed && where(m, c), time,
      c.saved.has(m.id) && el('span', { class: 'tag kept' }, words.savedTag), m.pinned && el('span', { class: 'tag' }, words.pinnedTag)));
  }
  if (m.html) body.append(html('content', m.html));
  if (m.edited_timestamp) {
    // The note stands behind the last word, not in a line of its own.
    const last = body.querySelector(':scope > .content')?.lastElementChild;
    const edited = new Date(m.edited_timestamp);
    (last?.tagName === 'P' ? last : body).append(el('span', { class: 'edited', title: words.editedAt + ' ' + fullTime(edited) }, ` (${words.edited} `, el('time', { datetime: m.edited_timestamp }, stamp(edited)), ')'));
  }
  for (const f of m.forwards ?? []) body.append(forward(f, c));
  const before = body.childElementCount;
  tail(body, m, c);
  if (before === (together ? 0 : 1) && body.childElementCount === before) body.append(el('p', { class: 'sticker' }, words.noText));
  return done(node, m, c);
}

/** What stands before Discord's own lines, by their type. @type {Record<number, string>} */
const signs = { 6: '⚲', 7: '→', 8: '◆', 9: '◆', 10: '◆', 11: '◆', 12: '◈', 18: '↳', 21: '↳', 46: '▥' };

/** tail adds what stands below the text. @param {HTMLElement} body @param {Message} m @param {Context} c */
function tail(body, m, c) {
  parts(body, m, c);
  if (m.poll) body.append(poll(m.poll));
  if (m.reactions?.length) {
    body.append(el('ul', { class: 'reactions', 'aria-label': words.reactions }, ...m.reactions.map((/** @type {any} */ r) =>
      el('li', { title: r.id ? ':' + r.emoji + ':' : null }, emojiOf(r, c), ' ', el('span', {}, String(r.count))))));
  }
  if (m.thread && c.nameOf(m.thread.id)) {
    body.append(el('a', { class: 'thread', href: '/c/' + m.thread.id, 'data-open': m.thread.id }, '↳ ', el('bdi', {}, c.nameOf(m.thread.id) ?? words.thread),
      m.thread.messages ? ` · ${m.thread.messages}` : ''));
  }
}

/** done fills in what depends on who reads. @param {HTMLElement} node @param {Message} m @param {Context} c */
function done(node, m, c) {
  names(node, m, c);
  localise(node);
  return node;
}

/** where says in a feed which channel a message is from. @param {Message} m @param {Context} c */
function where(m, c) {
  const guild = c.guildName(m.guild);
  return el('a', { class: 'where', href: `/c/${m.channel}?at=${m.id}`, 'data-open': m.channel, 'data-at': m.id, title: guild ?? null },
    c.isThread(m.channel) ? '↳ ' : '#', el('bdi', {}, c.nameOf(m.channel) ?? words.aChannel), guild && el('span', { class: 'guild-name' }, ' · ', el('bdi', {}, guild)));
}

/** @param {Message} m @param {Context} c */
function avatar(m, c) {
  const a = m.author;
  if (c.cdn && a.avatar && !a.webhook) {
    return el('img', { class: 'avatar', alt: '', loading: 'lazy', width: 38, height: 38, src: `https://cdn.discordapp.com/avatars/${encodeURIComponent(a.id)}/${encodeURIComponent(a.avatar)}.webp?size=80` });
  }
  return el('div', { class: 'avatar ' + tone(a.id), 'aria-hidden': 'true' }, initial(a.name));
}

/** @param {Message} m @param {Context} c */
function reply(m, c) {
  const r = m.reply;
  if (r.deleted) return el('p', { class: 'reply gone' }, words.replyToDeleted);
  const jump = { class: 'reply', href: `/c/${m.channel}?at=${r.id}`, 'data-open': m.channel, 'data-at': r.id, title: words.showAnswered };
  if (!r.author) return r.id ? el('a', jump, words.replyToEarlier) : el('p', { class: 'reply' }, words.replyToEarlier);
  const quoted = r.html ? safe('span', r.html) : el('span', { dir: 'auto' }, r.excerpt);
  for (const n of /** @type {NodeListOf<HTMLElement>} */ (quoted.querySelectorAll('[data-role], [data-channel]'))) {
    const { role, channel } = n.dataset, name = role ? c.role(role)?.name : c.nameOf(channel ?? '');
    if (name) n.replaceChildren(role ? '@' : '#', el('bdi', {}, name));
  }
  return el('a', jump, el('bdi', {}, r.author.name), ' ', quoted);
}

/** @param {any} f @param {Context} c */
function forward(f, c) {
  const name = f.channel && c.nameOf(f.channel);
  const node = el('div', { class: 'forward' }, el('p', { class: 'label' }, words.forwarded,
    ...(name ? [words.from, el('a', { href: `/c/${f.channel}?at=${f.message}`, 'data-open': f.channel, 'data-at': f.message }, '#', el('bdi', {}, name))] : []),
    f.timestamp && el('span', {}, ' · ', el('time', { datetime: f.timestamp }, stamp(new Date(f.timestamp))))));
  if (f.html) node.append(html('content', f.html));
  parts(node, f, c);
  return node;
}

/** parts adds what hangs on a message or on a forward. @param {HTMLElement} body @param {any} m @param {Context} c */
function parts(body, m, c) {
  for (const a of m.attachments ?? []) body.append(attachment(a, c.cdn));
  for (const s of m.stickers ?? []) body.append(sticker(s, c.cdn));
  for (const e of m.embeds ?? []) if (e.type !== 'poll_result') body.append(embed(e, c.cdn));
  for (const k of m.components ?? []) body.append(component(k, c.cdn));
}

/** names fills in what the reader may know the names of, and marks mentions of the reader. @param {ParentNode} node @param {Message} m @param {Context} c */
export function names(node, m, c) {
  for (const n of node.querySelectorAll('.mention[data-channel]')) {
    const id = n.getAttribute('data-channel') ?? '', name = c.nameOf(id);
    if (name) n.replaceChildren(el('a', { href: '/c/' + id, 'data-open': id }, '#', el('bdi', {}, name)));
  }
  for (const n of /** @type {NodeListOf<HTMLAnchorElement>} */ (node.querySelectorAll('a[href^="https://discord.com/channels/"]'))) {
    // A link to a message that can be read here stays here.
    const [, channel, at] = /^https:\/\/discord\.com\/channels\/\d+\/(\d+)(?:\/(\d+))?$/.exec(n.href) ?? [];
    const name = channel && c.nameOf(channel);
    if (!name) continue;
    const inside = el('a', { class: 'mention', href: `/c/${channel}${at ? '?at=' + at : ''}`, 'data-open': channel, 'data-at': at }, '#', el('bdi', {}, name), at && words.quotedMessage);
    n.replaceWith(inside);
  }
  for (const n of node.querySelectorAll('.mention[data-user]')) n.classList.toggle('me', n.getAttribute('data-user') === c.user);
  for (const n of /** @type {NodeListOf<HTMLElement>} */ (node.querySelectorAll('.mention[data-role]'))) {
    const id = n.dataset.role ?? '', role = c.role(id);
    if (role) n.replaceChildren('@', el('bdi', {}, role.name));
    if (role?.color) n.style.setProperty('--role', '#' + role.color.toString(16).padStart(6, '0'));
    n.classList.toggle('me', c.roleIsMine(m.guild, id));
  }
}
