// What the page says of notifications and of its connection, in English, in one place.

import { count } from './render/dom.js';

/** @type {[import('./notices.js').Level, string][]} */
const levels = [['all', 'Every message'], ['mentions', 'What mentions me'], ['nothing', 'Nothing']];

export const words = {
  levels,
  // Notifications
  where: (/** @type {string} */ channel, /** @type {string} */ guild) => `#${channel} · ${guild}`,
  titled: (/** @type {string} */ author, /** @type {string} */ where) => `${author} · ${where}`,
  mentioned: 'You were mentioned', newMessage: 'A new message', noText: 'A message without text', hidden: '▒▒▒',
  // The menu of a place
  notifications: 'Notifications…', notificationsOf: (/** @type {string} */ name) => 'Notifications of ' + name,
  asElsewhere: (/** @type {string} */ level) => `As elsewhere (${level.toLowerCase()})`,
  chosen: (/** @type {string} */ name, /** @type {string} */ level) => `Notifications of ${name}: ${level.toLowerCase()}.`,
  noneHere: ' This browser shows none; see Settings.', undo: 'Undo',
  // The settings
  noLevels: 'None: the choice above holds everywhere.', noBrowsers: 'No browser yet.', unseen: 'Something you cannot see now',
  tellMeIn: (/** @type {string} */ name) => 'Tell me of, in ' + name, remove: 'Remove', removeLevel: (/** @type {string} */ name) => 'As everywhere else: ' + name,
  tellNoMore: (/** @type {string} */ browser) => 'Tell no more: ' + browser, lastTold: (/** @type {string} */ since) => 'last told ' + since, nothingYet: 'nothing to tell yet',
  thisOne: ' · this one', allOf: (/** @type {string} */ guild) => 'All of ' + guild, category: (/** @type {string} */ name) => name + ' (category)',
  inZone: (/** @type {string} */ zone) => 'in ' + zone.replace(/_/g, ' '), inGuild: (/** @type {string} */ name, /** @type {string} */ guild) => `${name} in ${guild}`,
  notAllowed: 'Your browser does not let this page notify you. Allow it beside the address, then choose again.',
  notPossible: 'This browser cannot be told while Tidings is closed. On an iPhone or iPad, add Tidings to the home screen first.',
  toldClosed: 'You are told, also while Tidings is closed.', toldOpen: 'You are told while Tidings is open.',
  noPushHere: 'The service cannot send notifications at the moment.',
  noPushService: 'Your browser’s push service cannot be reached, or it does not let this page be told.',
  // A new version
  updated: 'Tidings has been updated.', reload: 'Reload', notLoaded: 'That part of the page could not be loaded. Check your connection, and try again.',
  // What is said aloud
  newMessages: (/** @type {number} */ n) => count(n, 'new message'), mentionsOfYou: (/** @type {number} */ n) => count(n, 'mention') + ' of you',
  says: (/** @type {string} */ author, /** @type {string} */ text) => `${author}: ${text || 'a message without text'}`,
  opened: (/** @type {string} */ title, /** @type {number} */ unread) => title + (unread ? ', ' + count(unread, 'unread message') : ''),
  mentionsYou: (/** @type {string} */ author, /** @type {string | undefined} */ channel) => `${author} mentions you in ${channel ?? 'a channel'}`,
  liveAgain: 'The page is live again.', polling: 'The page is not live; it looks for news every 15 seconds.', away: 'The connection is away; the page comes back by itself.',
};
