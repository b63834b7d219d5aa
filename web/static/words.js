// What the page says, in one place. Texts that the server writes are in its templates and in the problems of the API.

import { count } from './render/dom.js';

export const words = {
  // Views
  unread: 'Unread', mentions: 'Mentions', keywords: 'Keywords', everything: 'Everything', saved: 'Saved', search: 'Search', view: 'View', channel: 'Channel',
  /** @param {string} view @param {string} guild */
  inServer: (view, guild) => `${view} in ${guild}`,
  new: 'New', newSinceYouLeft: 'New since you left',

  // The state of things
  status: { live: 'Live', connecting: 'Connecting…', polling: 'Not live; looking every 15 seconds', out: 'Signed out' },
  allCaughtUp: 'All caught up',
  /** @param {number} n */ unreadMentions: (n) => (n ? count(n, 'unread mention') : 'No unread mentions'),
  savedAre: 'Messages that you keep for later', keywordsAre: 'What holds one of your keywords',
  /** @param {number} n */ unreadCount: (n) => `${n.toLocaleString()} unread`,
  /** @param {number} n */ mentionsOf: (n) => count(n, 'mention'),
  /** @param {number} n */ unreadMessages: (n) => count(n, 'unread message'),
  /** @param {number} n */ inChannels: (n) => 'in ' + count(n, 'channel'),
  /** @param {string} name */ inChannel: (name) => 'in ' + name,
  aChannel: 'a channel', threads: 'Threads', posts: 'Posts',
  empty: {
    unread: 'You have read everything.', mentions: 'Nobody has mentioned you.', keywords: 'None of your keywords has been said.', all: 'Nothing here yet.',
    view: 'Nothing in this view.', channel: 'Nothing has been written here since Tidings knows this channel.', search: 'Nothing found.',
    saved: 'Nothing is saved. “Save for later” in the menu of a message keeps it here.',
  },
  noKeywordsYet: 'You have no keywords yet: words and phrases that you want to hear of, wherever they are said.', chooseKeywords: 'Choose some in the settings',
  nobodyCalledSo: 'No channel by that name.', everythingIsRead: 'Everything is read.',
  hereIsRead: 'Everything here is read.', nothingFurtherDown: 'Nothing unread further down.', nothingFurtherUp: 'Nothing unread further up.',
  unreadBefore: 'There are unread messages before these. ', beginAtFirst: 'Begin at the first',
  /** @param {string} since @param {number} [left] seconds; 0 when that cannot be told */
  mayBeMissing: (since, left) => `Healing${!left ? '' : left < 60 ? ', less than a minute' : `, about ${count(Math.round(left / 60), 'minute')}`}: some messages may be missing here since ${since}.`,
  /** @param {string} since */ wholeSince: (since) => ` Complete since ${since}.`,
  cannotBeRead: 'A message here cannot be read yet; it is tried again.',
  pastIsFetched: 'Older messages of this channel are still being fetched.',
  /** @param {number} n */ recovered: (n) => `${count(n, 'message')} recovered from a gap; ${n === 1 ? 'it' : 'they'} may lie above what you have read.`,
  /** @param {number} n */ recoveredShort: (n) => `${count(n, 'message')} recovered from a gap`,
  healingMark: 'Not complete yet: older messages are still being fetched', healingLabel: 'Still being fetched',
  /** @param {string} n */ newBelow: (n) => `${n} new ↓`,
  toLatest: 'To the latest ↓', olderMessages: 'Older messages', more: 'More', loading: 'Loading…',
  channelLost: 'You can no longer read that channel.', channelGone: 'This channel is gone, or no longer yours to read.',
  signedOut: 'You are signed out.', signInAgain: 'Sign in again',
  pageFault: 'Something went wrong in this page. Reload it if it goes on.',
  cannotReach: 'The service cannot be reached. Check your connection.', tryAgain: 'Something went wrong. Try again in a moment.',
  keepsTrying: 'This page keeps trying.', fetchAgain: 'Try now',
  chooseFirst: 'Choose a message with j and k first.', openChannelFirst: 'Open a channel first.',

  // Reading
  markRead: 'Mark read', markServerRead: 'Mark server read', markAllRead: 'Mark all read', markViewRead: 'Mark read',
  markChannelHint: 'Mark this channel as read (m)', markServerHint: 'Mark this server as read', markAllHint: 'Mark everything as read (Shift+M)',
  /** @param {string} name */ readUpTo: (name) => `Read up to here in ${name}.`,
  /** @param {string} name */ isRead: (name) => `${name} is read.`,
  theServer: 'The server', undo: 'Undo', takenBack: 'Taken back.', nothingToUndo: 'There is nothing to take back.',
  /** @param {number} days */ olderIsRead: (days) => `What is older than ${count(days, 'day')} is read.`,
  /** @param {number} days */ markOlder: (days) => `Mark as read what is older than ${count(days, 'day')}`,
  /** @param {string} name */ unreadFrom: (name) => `Unread from here in ${name}.`,
  markEverything: 'Everything', undoLast: 'Undo the last mark',
  /** @param {number} days */ olderThan: (days) => `Older than ${count(days, 'day')}`,

  // Menus
  message: 'Message', openInChannel: 'Open in its channel', openInDiscord: 'Open in Discord', copyLink: 'Copy link', saveForLater: 'Save for later', unsave: 'Do not keep any longer',
  readToHere: 'Mark read up to here', unreadFromHere: 'Mark unread from here', openThread: 'Open its thread beside', viewOfAuthor: 'Make a view of this person',
  linkCopied: 'The link is copied.',
  /** @param {string} link */ cannotCopy: (link) => 'Your browser does not let pages copy. The link: ' + link,
  savedNow: 'Saved for later.', unsavedNow: 'No longer saved.',
  /** @param {string} who */ ignore: (who) => 'Ignore ' + who,
  /** @param {string} who */ countAgain: (who) => 'Count ' + who,
  /** @param {string} who */ ignoredNow: (who) => `Messages of ${who} count for nothing now.`,
  /** @param {string} who */ countsAgain: (who) => `${who} counts again.`,
  /** @param {string} name @param {number} [minutes] */
  mutedNow: (name, minutes) => `${name} is muted${minutes ? ' for ' + (minutes < 1440 ? count(minutes / 60, 'hour') : count(minutes / 1440, 'day')) : ''}.`,
  markAsRead: 'Mark as read', endMute: 'End the mute', muteHour: 'Mute for an hour', muteDay: 'Mute for a day', mute: 'Mute',
  moreOfChannel: 'Mute, notifications and more',
  openBeside: 'Open beside', showUnread: 'Show its unread messages', showAll: 'Show all its messages', markServer: 'Mark the server as read', endServerMute: 'End the server’s mute',

  // The palette
  nothingByName: 'Nothing by that name', server: 'Server',

  // Beside the stream
  pins: 'Pinned', nothingPinned: 'Nothing is pinned here.', about: 'About this channel', noThreads: 'There is no thread here.', noPosts: 'There is no post here yet.',
  /** @param {number} n */ pinnedElsewhere: (n) => `${count(n, 'pinned message')} older than what is kept here: `,
  seeInDiscord: 'see Discord', nothingFound: 'Nothing found here.', messagesTitle: 'Messages', findHelp: 'Words, from:, has:, before:',
  /** @param {string} name */ findIn: (name) => 'Find in ' + name,
  noTopic: 'No topic', topic: 'Topic', completeness: 'Completeness', completeSince: 'Complete since', completeUnknown: 'Not known to be complete',
  gaps: 'Being fetched', gapSince: 'noticed', itsPast: 'its past', recoveredLabel: 'Found late', inServerLabel: 'Server', inLabel: 'In', activeThreads: 'Threads',
  notCovered: 'Not covered here', notCoveredWhy: 'You see these on Discord, and the bot of this service does not. What is said there is not here.',
  notCoveredServers: 'Servers without the bot', notCoveredChannels: 'Channels that the bot may not read', notCoveredCure: 'Whoever manages a server can invite the bot, or let it see a channel.',
  everythingCovered: 'Every channel that you can read is covered.', uncheckedServers: 'Of some servers it is not known at this moment.',
  serversNeverAsked: 'In which servers you are is not known; sign in again to have Discord say so.',
  /** @param {number} n */ notCoveredCount: (n) => `${count(n, 'place')} not covered`,
  /** @param {number} gaps @param {number} minutes */
  healing: (gaps, minutes) => `Healing ${count(gaps, 'gap')}${minutes ? ', about ' + count(minutes, 'minute') : ''}`,
  /** @param {number} n @param {number} minutes */
  fetchingPasts: (n, minutes) => `Fetching the past of ${count(n, 'channel')}${minutes ? ', about ' + count(minutes, 'minute') : ''}`,

  // Saved views
  newView: 'New view', editView: 'Change the view', deleteView: 'Delete the view', viewSaved: 'The view is saved.',
  /** @param {string} name */ viewDeleted: (name) => `The view “${name}” is deleted.`,
  shareView: 'Copy a link to share this view', viewLinkCopied: 'The link is copied. Whoever opens it gets the same view of what they may read.',
  feedAddress: 'Make a secret address for feed readers', feedReplace: 'Replace the secret address', feedEnd: 'End the secret address', feedEnded: 'The address no longer works.',
  feedTold: 'Whoever knows the address may read the view as you see it. It is shown this once.',
  showView: 'Show it', cannotShare: 'A view that was shared with you',
  nameNeeded: 'Give the view a name.', noPlaces: 'Everywhere', noAuthors: 'Anybody',
  has: /** @type {Record<string, string>} */ ({ link: 'a link', file: 'a file', image: 'an image', video: 'a video', sound: 'a sound', embed: 'an embed', poll: 'a poll', sticker: 'a sticker', forward: 'a forward' }),
  somethingUnseen: 'Something that you cannot see now',
  /** @param {string} id */ person: (id) => 'Person ' + id,
  /** @param {string} what */ remove: (what) => 'Remove ' + what,

  noKeywords: 'There is none yet.', noViews: 'There is none yet. Make one with + in the inbox, or with v.', delete: 'Delete', hasFeed: 'with a secret address for feed readers',
  /** @param {string} word */ keywordGone: (word) => `“${word}” is no longer one of your keywords.`,

  // Messages
  bot: 'Bot', webhook: 'Webhook', announcement: 'Announcement', savedTag: 'Saved', pinnedTag: 'Pinned', edited: 'edited', editedAt: 'Edited', optedOut: 'The author does not want their words kept.',
  noText: 'Nothing that can be shown', reactions: 'Reactions', thread: 'Thread', forwarded: 'Forwarded', from: ' from ',
  replyToDeleted: 'Reply to a message that was deleted', replyToEarlier: 'Reply to an earlier message', showAnswered: 'Show what this answers', quotedMessage: ' › message',
  spoiler: 'Spoiler', listen: 'Listen', picture: 'Picture', media: 'Media', file: 'File', menu: 'Menu', button: 'Button', discordOnly: 'Works in Discord only', video: 'Video',
  /** @param {string} length */ voice: (length) => `Voice message, ${length}`,
  /** @param {string} name */ sticker: (name) => 'Sticker: ' + name,
  stickerOf: 'Sticker: ',
  /** @param {number} n */ votes: (n) => count(n, 'vote'),
  pollEnded: 'ended',
  /** @param {string} when */ pollEnds: (when) => 'ends ' + when,
  severalAnswers: 'several answers',
  linkExpired: 'The link has expired, and Discord gives no new one now.',
};
