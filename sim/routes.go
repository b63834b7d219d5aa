package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// table is every REST call, as in Discord's documentation. The names of the parameters are those of its API description.
var table = []route{
	{"GET /gateway", needNone, (*call).getGateway},
	{"GET /gateway/bot", needUser, (*call).getGatewayBot},
	{"GET /applications/@me", needUser, (*call).getApplication},
	{"PATCH /applications/@me", needUser, (*call).patchApplication},
	{"GET /oauth2/applications/@me", needUser, (*call).getApplication},
	{"GET /oauth2/@me", needAny, (*call).getAuthorization},

	{"GET /users/@me", needAny, (*call).getMe},
	{"GET /users/@me/guilds", needAny, (*call).getMyGuilds},
	{"GET /users/@me/guilds/{guild_id}/member", needAny, (*call).getMyMember},
	{"DELETE /users/@me/guilds/{guild_id}", needUser, (*call).leave},
	{"GET /users/{user_id}", needUser, (*call).getUser},

	{"GET /guilds/{guild_id}", needUser, (*call).getGuild},
	{"PATCH /guilds/{guild_id}", needUser, (*call).patchGuild},
	{"GET /guilds/{guild_id}/channels", needUser, (*call).getChannels},
	{"POST /guilds/{guild_id}/channels", needUser, (*call).postChannel},
	{"PATCH /guilds/{guild_id}/channels", needUser, (*call).patchPositions},
	{"GET /guilds/{guild_id}/threads/active", needUser, (*call).getActiveThreads},
	{"GET /guilds/{guild_id}/members", needUser, (*call).getMembers},
	{"GET /guilds/{guild_id}/members/search", needUser, (*call).findMembers},
	{"GET /guilds/{guild_id}/members/{user_id}", needUser, (*call).getMember},
	{"PATCH /guilds/{guild_id}/members/{user_id}", needUser, (*call).patchMember},
	{"PUT /guilds/{guild_id}/members/{user_id}", needUser, (*call).putMember},
	{"DELETE /guilds/{guild_id}/members/{user_id}", needUser, (*call).kick},
	{"PUT /guilds/{guild_id}/members/{user_id}/roles/{role_id}", needUser, (*call).putMemberRole},
	{"DELETE /guilds/{guild_id}/members/{user_id}/roles/{role_id}", needUser, (*call).deleteMemberRole},
	{"GET /guilds/{guild_id}/bans", needUser, (*call).getBans},
	{"GET /guilds/{guild_id}/bans/{user_id}", needUser, (*call).getBan},
	{"PUT /guilds/{guild_id}/bans/{user_id}", needUser, (*call).ban},
	{"DELETE /guilds/{guild_id}/bans/{user_id}", needUser, (*call).unban},
	{"GET /guilds/{guild_id}/roles", needUser, (*call).getRoles},
	{"POST /guilds/{guild_id}/roles", needUser, (*call).postRole},
	{"PATCH /guilds/{guild_id}/roles", needUser, (*call).patchRolePositions},
	{"GET /guilds/{guild_id}/roles/member-counts", needUser, (*call).getRoleCounts},
	{"GET /guilds/{guild_id}/roles/{role_id}", needUser, (*call).getRole},
	{"PATCH /guilds/{guild_id}/roles/{role_id}", needUser, (*call).patchRole},
	{"DELETE /guilds/{guild_id}/roles/{role_id}", needUser, (*call).deleteRole},
	{"GET /guilds/{guild_id}/messages/search", needUser, (*call).searchMessages},
	{"GET /guilds/{guild_id}/webhooks", needUser, (*call).getGuildWebhooks},

	{"GET /channels/{channel_id}", needUser, (*call).getChannel},
	{"PATCH /channels/{channel_id}", needUser, (*call).patchChannel},
	{"DELETE /channels/{channel_id}", needUser, (*call).deleteChannel},
	{"PUT /channels/{channel_id}/permissions/{overwrite_id}", needUser, (*call).putOverwrite},
	{"DELETE /channels/{channel_id}/permissions/{overwrite_id}", needUser, (*call).deleteOverwrite},
	{"POST /channels/{channel_id}/typing", needUser, (*call).typing},
	{"GET /channels/{channel_id}/messages", needUser, (*call).getMessages},
	{"POST /channels/{channel_id}/messages", needUser, (*call).postMessage},
	{"POST /channels/{channel_id}/messages/bulk-delete", needUser, (*call).bulkDelete},
	{"GET /channels/{channel_id}/messages/{message_id}", needUser, (*call).getMessage},
	{"PATCH /channels/{channel_id}/messages/{message_id}", needUser, (*call).patchMessage},
	{"DELETE /channels/{channel_id}/messages/{message_id}", needUser, (*call).deleteMessage},
	{"POST /channels/{channel_id}/messages/{message_id}/crosspost", needUser, (*call).crosspost},
	{"DELETE /channels/{channel_id}/messages/{message_id}/reactions", needUser, (*call).deleteAllReactions},
	{"GET /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}", needUser, (*call).getReactions},
	{"DELETE /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}", needUser, (*call).deleteEmojiReactions},
	{"PUT /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me", needUser, (*call).putReaction},
	{"DELETE /channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/{user_id}", needUser, (*call).deleteReaction},
	{"GET /channels/{channel_id}/messages/pins", needUser, (*call).getPins},
	{"PUT /channels/{channel_id}/messages/pins/{message_id}", needUser, (*call).putPin},
	{"DELETE /channels/{channel_id}/messages/pins/{message_id}", needUser, (*call).deletePin},
	{"GET /channels/{channel_id}/pins", needUser, (*call).getOldPins},
	{"PUT /channels/{channel_id}/pins/{message_id}", needUser, (*call).putPin},
	{"DELETE /channels/{channel_id}/pins/{message_id}", needUser, (*call).deletePin},
	{"GET /channels/{channel_id}/polls/{message_id}/answers/{answer_id}", needUser, (*call).getVoters},
	{"POST /channels/{channel_id}/polls/{message_id}/expire", needUser, (*call).expirePoll},

	{"POST /channels/{channel_id}/messages/{message_id}/threads", needUser, (*call).postThreadFromMessage},
	{"POST /channels/{channel_id}/threads", needUser, (*call).postThread},
	{"GET /channels/{channel_id}/threads/archived/public", needUser, (*call).getArchivedPublic},
	{"GET /channels/{channel_id}/threads/archived/private", needUser, (*call).getArchivedPrivate},
	{"GET /channels/{channel_id}/users/@me/threads/archived/private", needUser, (*call).getMyArchived},
	{"GET /channels/{channel_id}/thread-members", needUser, (*call).getThreadMembers},
	{"GET /channels/{channel_id}/thread-members/{user_id}", needUser, (*call).getThreadMember},
	{"PUT /channels/{channel_id}/thread-members/{user_id}", needUser, (*call).putThreadMember},
	{"DELETE /channels/{channel_id}/thread-members/{user_id}", needUser, (*call).deleteThreadMember},

	{"GET /channels/{channel_id}/webhooks", needUser, (*call).getChannelWebhooks},
	{"POST /channels/{channel_id}/webhooks", needUser, (*call).postWebhook},
	{"POST /channels/{channel_id}/followers", needUser, (*call).follow},
	{"GET /webhooks/{webhook_id}", needUser, (*call).getWebhook},
	{"PATCH /webhooks/{webhook_id}", needUser, (*call).patchWebhook},
	{"DELETE /webhooks/{webhook_id}", needUser, (*call).deleteWebhook},
	{"GET /webhooks/{webhook_id}/{webhook_token}", needNone, (*call).getWebhook},
	{"PATCH /webhooks/{webhook_id}/{webhook_token}", needNone, (*call).patchWebhook},
	{"DELETE /webhooks/{webhook_id}/{webhook_token}", needNone, (*call).deleteWebhook},
	{"POST /webhooks/{webhook_id}/{webhook_token}", needNone, (*call).executeWebhook},
	{"GET /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", needNone, (*call).getWebhookMessage},
	{"PATCH /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", needNone, (*call).patchWebhookMessage},
	{"DELETE /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", needNone, (*call).deleteWebhookMessage},
}

// versions are the prefixes under which REST is served. Without a version Discord serves the default one.
var versions = []string{"/api/v10", "/api/v9", "/api"}

func (s *Sim) routes() http.Handler {
	mux := http.NewServeMux()
	rest := s.restRouter()
	for _, prefix := range versions {
		mux.Handle(prefix+"/", rest)
		mux.HandleFunc("POST "+prefix+"/oauth2/token", s.oauthToken)
		mux.HandleFunc("POST "+prefix+"/oauth2/token/revoke", s.oauthRevoke)
		mux.HandleFunc("GET "+prefix+"/oauth2/authorize", s.oauthAuthorize)
		mux.HandleFunc("POST "+prefix+"/oauth2/authorize", s.oauthChoose)
	}
	mux.HandleFunc("GET /oauth2/authorize", s.oauthAuthorize)
	mux.HandleFunc("POST /oauth2/authorize", s.oauthChoose)
	for _, p := range []string{"/gateway", "/gateway/{$}", "/gateway/resume", "/gateway/resume/{$}"} {
		mux.HandleFunc("GET "+p, s.serveGateway)
	}
	mux.HandleFunc("GET /attachments/{channel_id}/{attachment_id}/{name}", s.serveFile)
	mux.HandleFunc("GET /sim/world", s.simWorld)
	mux.HandleFunc("POST /sim/users", s.simUser)
	mux.HandleFunc("POST /sim/guilds", s.simGuild)
	mux.HandleFunc("GET /sim/messages", s.simMessages)
	mux.HandleFunc("GET /sim/permissions", s.simPermissions)
	mux.HandleFunc("GET /sim/log", s.simLog)
	mux.HandleFunc("POST /sim/replay", s.simReplay)
	mux.HandleFunc("GET /sim/replay/{id}", s.simReplayStatus)
	mux.HandleFunc("POST /sim/faults", s.simFault)
	mux.HandleFunc("GET /sim/faults", s.simFaults)
	mux.HandleFunc("DELETE /sim/faults", s.simNoFaults)
	mux.HandleFunc("DELETE /sim/faults/{id}", s.simNoFault)
	mux.HandleFunc("POST /sim/messages", s.simInject)
	mux.HandleFunc("POST /sim/votes", s.simVote)
	mux.HandleFunc("POST /sim/lobbies", s.simLobby)
	mux.HandleFunc("POST /sim/deauthorize", s.simDeauthorize)
	mux.HandleFunc("POST /sim/probe", s.simProbe)
	mux.HandleFunc("GET /{$}", s.simIndex)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// restRouter finds the line of the table for a request. It is not [http.ServeMux] because Discord's paths overlap in
// ways that ServeMux refuses (messages/pins/{id} and messages/{id}/reactions); here a literal segment wins from the left.
func (s *Sim) restRouter() http.Handler {
	type line struct {
		method  string
		want    []string
		handler http.Handler
	}
	bySize := map[int][]line{}
	for _, rt := range table {
		method, path, _ := strings.Cut(rt.pattern, " ")
		want := strings.Split(path, "/")
		bySize[len(want)] = append(bySize[len(want)], line{method, want, s.rest(rt)})
	}
	for _, lines := range bySize {
		slices.SortStableFunc(lines, func(a, b line) int {
			for i := range a.want {
				pa, pb := strings.HasPrefix(a.want[i], "{"), strings.HasPrefix(b.want[i], "{")
				if pa != pb {
					if pb {
						return -1
					}
					return 1
				}
			}
			return 0
		})
	}
	missing := s.rest(route{"* /", needNone, func(*call) (any, error) { return nil, errNotFound() }})
	refused := s.rest(route{"* /", needNone, func(*call) (any, error) { return nil, errNotAllowed() }})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		for _, p := range versions {
			if rest, ok := strings.CutPrefix(path, p+"/"); ok {
				path = "/" + rest
				break
			}
		}
		got := strings.Split(path, "/")
		for i := range got {
			if v, err := url.PathUnescape(got[i]); err == nil {
				got[i] = v
			}
		}
		known := false
		for _, l := range bySize[len(got)] {
			if !matches(l.want, got) {
				continue
			}
			if known = true; l.method != r.Method {
				continue
			}
			for i, p := range l.want {
				if name, ok := strings.CutPrefix(p, "{"); ok {
					r.SetPathValue(strings.TrimSuffix(name, "}"), got[i])
				}
			}
			l.handler.ServeHTTP(w, r)
			return
		}
		if known {
			refused.ServeHTTP(w, r)
			return
		}
		missing.ServeHTTP(w, r)
	})
}

func matches(want, got []string) bool {
	for i := range want {
		if want[i] != got[i] && (got[i] == "" || !strings.HasPrefix(want[i], "{")) {
			return false
		}
	}
	return true
}
