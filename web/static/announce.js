// What is said to those who listen to the page instead of looking: few things, and those together. Everything else can be found where it stands.

import { byID } from './render/dom.js';
import { brief } from './notify.js';
import { page } from './page.js';
import { onArrival, onConnection } from './sync.js';
import { onOpen } from './views.js';
import { words } from './words_notify.js';

/** How long after something was said the next is said at the earliest, and how long the connection may be away before that is worth a word. */
const apart = 10_000, worthSaying = 5_000;

let last = 0, timer = 0, away = 0, saidAway = false;
/** @type {string[]} */
let here = [];
/** @type {string[]} */
let mentions = [];

/** @param {string} text */
function say(text) {
  last = Date.now();
  byID('said').textContent = text;
}

function flush() {
  timer = 0;
  const parts = [here.length === 1 ? here[0] : here.length ? words.newMessages(here.length) : '', ...(mentions.length > 2 ? [words.mentionsOfYou(mentions.length)] : mentions)];
  here = [];
  mentions = [];
  const text = parts.filter(Boolean).join('. ');
  if (text) say(text);
}

onArrival.push((m) => {
  if (m.author.id === page.me || page.state.ignored.includes(m.author.id) || document.hidden) return;
  if (page.view.kind === 'channel' && page.view.channel === m.channel) here.push(words.says(m.author.name, brief(m)));
  else if (m.mentions_me) mentions.push(words.mentionsYou(m.author.name, page.state.channels[m.channel]?.name));
  else return;
  timer ||= setTimeout(flush, Math.max(500, last + apart - Date.now()));
});

// Where a key has led is said: the focus may not have moved. Of the first view the document's title tells.
let opened = '';
onOpen.push((v) => {
  const c = v.channel ? page.state.channels[v.channel] : null, before = opened;
  here = [];
  opened = [c?.name ?? v.title, c && page.state.guilds[c.guild]?.name].filter(Boolean).join(', ');
  if (before && before !== opened) byID('said').textContent = words.opened(opened, c?.unread ?? 0);
});

// That the connection is away is said when it stays so, and that it is back when that was said.
onConnection.push((status) => {
  clearTimeout(away);
  if (status === 'live') {
    if (saidAway) say(words.liveAgain);
    saidAway = false;
  } else if (status !== 'out' && !saidAway) {
    away = setTimeout(() => {
      saidAway = true;
      say(page.status === 'polling' ? words.polling : words.away);
    }, worthSaying);
  }
});
