// The stream of messages in the middle, drawn from a list of messages. The server's first view (templates/message.html) has
// the same shape.

import { el, html, tone, initial, clockTime, fullTime, dayName, localise } from './dom.js';
import { compare } from '../state.js';

/**
 * @typedef {any} Message as GET /api/messages tells it
 * @typedef {{inFeed: boolean, cdn: boolean, channelName: (id: string) => string | undefined, roleIsMine: (guild: string, role: string) => boolean,
 *   user: string, newFrom: string | null}} Context
 */

const groupFor = 7 * 60_000;

/** @param {Message | undefined} prev @param {Message} m @param {Context} c */
function grouped(prev, m, c) {
  return Boolean(prev && prev.channel === m.channel && prev.author.id === m.author.id && prev.author.name === m.author.name && !m.reply && !m.system &&
    !prev.system && m.id !== c.newFrom && Date.parse(m.timestamp) - Date.parse(prev.timestamp) < groupFor);
}

/**
 * draw brings the stream to show exactly these messages, oldest first. Nodes of messages that have not changed are kept.
 * @param {HTMLElement} stream @param {Message[]} messages @param {Context} c
 */
export function draw(stream, messages, c) {
  const kept = new Map([...stream.querySelectorAll('article[data-id]')].map((n) => [n.getAttribute('data-id'), /** @type {any} */ (n)]));
  /** @type {Node[]} */
  const nodes = [];
  let day = '';
  /** @type {Message | undefined} */
  let prev;
  for (const m of messages) {
    const name = dayName(new Date(m.timestamp));
    if (name !== day) {
      nodes.push(el('h2', { class: 'day' }, el('span', {}, name)));
      day = name;
      prev = undefined;
    }
    if (m.id === c.newFrom) nodes.push(el('div', { class: 'new-line', role: 'separator', 'aria-label': 'New messages' }, el('span', {}, 'New')));
    const together = grouped(prev, m, c);
    const old = kept.get(m.id);
    if (old && old.drawn === m && old.together === together && old.named === c.channelName(m.channel)) nodes.push(old);
    else {
      const node = /** @type {any} */ (message(m, together, c));
      Object.assign(node, { drawn: m, together, named: c.channelName(m.channel) });
      if (old?.hasAttribute('data-selected')) node.setAttribute('data-selected', '');
      if (old && old === document.activeElement) queueMicrotask(() => node.focus({ preventScroll: true }));
      nodes.push(node);
    }
    prev = m;
  }
  // Only what differs is moved, so that focus and selection stay where they are.
  nodes.forEach((n, i) => {
    if (stream.childNodes[i] !== n) stream.insertBefore(n, stream.childNodes[i] ?? null);
  });
  while (stream.childNodes.length > nodes.length) stream.lastChild?.remove();
}

/** @param {Message} m @param {boolean} together @param {Context} c */
export function message(m, together, c) {
  const at = new Date(m.timestamp);
  const time = el('time', { datetime: m.timestamp, title: fullTime(at) }, clockTime(at));
  const node = el('article', {
    class: 'message' + (together ? ' together' : '') + (m.mentions_me ? ' mentions-me' : '') + (m.system ? ' system' : '') + (m.jumbo ? ' jumbo' : ''),
    'data-id': m.id, 'data-channel': m.channel, 'data-unread': m.unread, tabindex: '-1', 'aria-label': `${m.author.name}, ${clockTime(at)}`,
  });
  node.append(together ? el('div', { class: 'gutter' }, time) : avatar(m, c));
  const body = el('div', { class: 'body' });
  node.append(body);
  if (m.reply) body.append(reply(m.reply));
  if (!together) {
    body.append(el('header', {}, el('bdi', { class: 'author' }, m.author.name),
      m.author.webhook ? el('span', { class: 'tag' }, 'Webhook') : m.author.bot && el('span', { class: 'tag' }, 'Bot'),
      c.inFeed && el('a', { class: 'where', href: '/c/' + m.channel, 'data-open': m.channel }, '#', el('bdi', {}, c.channelName(m.channel) ?? 'channel')),
      time));
  }
  if (m.html) body.append(html('content', m.html));
  if (m.edited_timestamp) (body.lastElementChild ?? body).append(el('span', { class: 'edited', title: fullTime(new Date(m.edited_timestamp)) }, ' (edited)'));
  for (const f of m.forwards ?? []) body.append(forward(f, c));
  parts(body, m, c);
  if (m.poll) body.append(poll(m.poll));
  if (m.reactions?.length) {
    body.append(el('ul', { class: 'reactions', 'aria-label': 'Reactions' }, ...m.reactions.map((/** @type {any} */ r) =>
      el('li', {}, r.id ? ':' + r.emoji + ':' : r.emoji, ' ', el('span', {}, String(r.count))))));
  }
  names(node, m, c);
  localise(node);
  return node;
}

/** @param {Message} m @param {Context} c */
function avatar(m, c) {
  const a = m.author;
  if (c.cdn && a.avatar && !a.webhook) {
    return el('img', { class: 'avatar', alt: '', loading: 'lazy', src: `https://cdn.discordapp.com/avatars/${encodeURIComponent(a.id)}/${encodeURIComponent(a.avatar)}.webp?size=80` });
  }
  return el('div', { class: 'avatar ' + tone(a.id), 'aria-hidden': 'true' }, initial(a.name));
}

/** @param {any} r */
function reply(r) {
  if (r.deleted) return el('p', { class: 'reply' }, 'Reply to a message that was deleted');
  if (!r.author) return el('p', { class: 'reply' }, 'Reply to an earlier message');
  return el('p', { class: 'reply' }, el('bdi', {}, r.author.name), ' ', el('span', { dir: 'auto' }, r.excerpt));
}

/** @param {any} f @param {Context} c */
function forward(f, c) {
  const node = el('div', { class: 'forward' }, el('p', { class: 'label' }, 'Forwarded'));
  if (f.html) node.append(html('content', f.html));
  parts(node, f, c);
  return node;
}

/** parts adds what hangs on a message or on a forward. @param {HTMLElement} body @param {any} m @param {Context} c */
function parts(body, m, c) {
  for (const a of m.attachments ?? []) body.append(attachment(a, c));
  for (const s of m.stickers ?? []) body.append(el('p', { class: 'sticker' }, 'Sticker: ', el('bdi', {}, s.name)));
  for (const e of m.embeds ?? []) body.append(embed(e, c));
  for (const k of m.components ?? []) body.append(component(k));
}

const outside = { target: '_blank', rel: 'noopener noreferrer nofollow ugc' };

/** onCDN tells whether the page's policy lets it load an address. @param {string} url */
function onCDN(url) {
  return /^https:\/\/(cdn\.discordapp\.com|media\.discordapp\.net|images-ext-[12]\.discordapp\.net)\//.test(url);
}

/** @param {any} a @param {Context} c */
function attachment(a, c) {
  const size = a.size >= 1 << 20 ? (a.size / (1 << 20)).toFixed(1) + ' MB' : a.size >= 1024 ? (a.size >> 10) + ' KB' : a.size + ' bytes';
  const label = [a.width && a.height ? `${a.width}×${a.height}` : '', size].filter(Boolean).join(' · ');
  if (c.cdn && !a.spoiler && a.type?.startsWith('image/') && onCDN(a.url)) {
    return el('a', { class: 'picture', href: a.url, ...outside }, el('img', { src: a.url, alt: a.description || a.name, loading: 'lazy', width: a.width, height: a.height }));
  }
  const name = el(a.url ? 'a' : 'span', a.url ? { href: a.url, ...outside } : {}, el('bdi', {}, a.name));
  return el('div', { class: 'file' }, el('span', { class: 'kind', 'aria-hidden': 'true' }, kindOf(a.type)), el('div', {}, name, el('small', {}, (a.spoiler ? 'Spoiler · ' : '') + label)));
}

/** @param {string} type */
function kindOf(type) {
  const kind = (type || '').split('/')[0];
  return kind === 'image' ? 'IMG' : kind === 'video' ? 'VID' : kind === 'audio' ? 'AUD' : 'FILE';
}

/** @param {any} e @param {Context} c */
function embed(e, c) {
  const node = el('div', { class: 'embed' });
  if (e.color) node.style.setProperty('--embed', '#' + e.color.toString(16).padStart(6, '0'));
  const by = e.author || e.provider;
  if (by) node.append(el('p', { class: 'by' }, e.author_url ? el('a', { href: e.author_url, ...outside }, by) : by));
  if (e.title) {
    // A link inside a title would nest in the title's own.
    const title = html('', e.title);
    node.append(el('p', { class: 'title' }, e.url && !title.querySelector('a') ? el('a', { href: e.url, ...outside }, ...title.childNodes) : title));
  }
  if (e.description) node.append(html('content', e.description));
  if (e.fields?.length) {
    node.append(el('dl', {}, ...e.fields.map((/** @type {any} */ f) => el('div', { class: f.inline ? 'short' : null }, html2('dt', f.name), html2('dd', f.value)))));
  }
  const picture = e.image ?? e.thumbnail;
  if (picture) {
    if (c.cdn && onCDN(picture.url)) node.append(el('img', { src: picture.url, alt: '', loading: 'lazy', width: picture.width, height: picture.height }));
    else if (!e.title && !e.description) node.append(el('p', {}, el('a', { href: picture.url, ...outside }, 'Picture')));
  }
  if (e.footer) node.append(el('p', { class: 'footer' }, e.footer));
  return node;
}

/** @param {string} tag @param {string} safe */
function html2(tag, safe) {
  const node = el(tag, { dir: 'auto' });
  node.innerHTML = safe;
  return node;
}

/** @param {any} k */
function component(k) {
  switch (k.kind) {
    case 'text': return html('content', k.html);
    case 'link': return el('p', { class: 'component' }, el('a', { href: k.url, ...outside }, k.text || k.url));
    case 'media': case 'file': return el('p', { class: 'component' }, el('a', { href: k.url, ...outside }, k.text || (k.kind === 'media' ? 'Media' : 'File')));
    default: return el('p', { class: 'component' }, el('span', { class: 'tag', title: 'Works in Discord only' }, k.text || k.kind));
  }
}

/** @param {any} p */
function poll(p) {
  const most = Math.max(1, ...p.answers.map((/** @type {any} */ a) => a.votes));
  return el('div', { class: 'poll' }, el('p', { class: 'title' }, p.question),
    ...p.answers.map((/** @type {any} */ a) => el('div', { class: 'answer' }, el('span', {}, a.text), el('meter', { min: 0, max: most, value: a.votes }), el('span', {}, String(a.votes)))),
    el('small', {}, p.finalized ? 'Ended' : p.multiple ? 'Several answers' : 'One answer'));
}

/** names fills in the names of channels that the reader may know, and marks mentions of the reader. @param {HTMLElement} node @param {Message} m @param {Context} c */
function names(node, m, c) {
  for (const n of node.querySelectorAll('.mention[data-channel]')) {
    const id = n.getAttribute('data-channel') ?? '', name = c.channelName(id);
    if (name) n.replaceChildren(el('a', { href: '/c/' + id, 'data-open': id }, '#' + name));
  }
  for (const n of node.querySelectorAll('.mention[data-user]')) n.classList.toggle('me', n.getAttribute('data-user') === c.user);
  for (const n of node.querySelectorAll('.mention[data-role]')) n.classList.toggle('me', c.roleIsMine(m.guild, n.getAttribute('data-role') ?? ''));
}

/**
 * insert puts a message into a list, oldest first, or replaces it there.
 * @param {Message[]} list @param {Message} m
 */
export function insert(list, m) {
  let i = list.length;
  while (i > 0 && compare(list[i - 1].id, m.id) > 0) i--;
  if (i > 0 && list[i - 1].id === m.id) return list.with(i - 1, { ...m });
  return list.toSpliced(i, 0, m);
}
