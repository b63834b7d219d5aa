package web

import "net/http"

// routes is the table of contents. The routes of the API that huma documents are in api.go, in the same order as in the
// document: GET /api/openapi.json.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()

	// Pages.
	mux.HandleFunc("GET /{$}", s.person(s.pageFeed))
	mux.HandleFunc("GET /c/{channel}", s.person(s.pageChannel))
	mux.HandleFunc("GET /search", s.person(s.pageEmpty(view{Kind: "search", Title: "Search"})))
	mux.HandleFunc("GET /saved", s.person(s.pageEmpty(view{Kind: "saved", Title: "Saved"})))
	mux.HandleFunc("GET /settings", s.person(s.pageSettings))
	mux.HandleFunc("GET /offline", s.pageOffline)
	mux.HandleFunc("/", s.nothingHere(mux))

	// Signing in and out.
	mux.Handle("GET /login", s.sessions.LoadAndSave(http.HandlerFunc(s.login)))
	mux.Handle("GET /login/callback", s.sessions.LoadAndSave(http.HandlerFunc(s.loginCallback)))
	mux.Handle("POST /logout", s.sessions.LoadAndSave(http.HandlerFunc(s.logout)))

	// The API.
	s.api(mux)
	s.reference = describe(s.described)
	mux.HandleFunc("GET /api", s.pageAPI)
	mux.HandleFunc("GET /api/live", s.live)
	mux.HandleFunc("/api/", s.apiNotFound(mux))

	// What operators use.
	if s.o.Admin != nil {
		s.adminPages(mux)
	}

	// What Discord and relays send.
	if s.o.Webhooks != nil {
		mux.HandleFunc("POST /webhooks/discord/{source}", s.webhook)
	}

	// What feed readers ask.
	mux.HandleFunc("GET "+feedsPath+"{file}", s.feedOut)

	s.machines(mux)

	// Files.
	mux.HandleFunc("GET /static/{version}/{file...}", s.assets.serve)
	mux.HandleFunc("GET /favicon.ico", s.assets.favicon)
	mux.HandleFunc("GET /icon.svg", s.icon)
	mux.HandleFunc("GET /manifest.webmanifest", s.manifest)
	mux.HandleFunc("GET /worker.js", s.worker)
	mux.HandleFunc("GET /robots.txt", s.assets.robots)
	return mux
}

// machines registers what operators and machines ask of every process.
func (s *Server) machines(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if s.o.Metrics != nil {
		mux.HandleFunc("GET /metrics", s.metrics)
	}
}

// machineRoutes is the table of a process that serves no people.
func (s *Server) machineRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	s.machines(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.wrongMethod(mux, w, r) {
			return
		}
		s.fail(w, r, problemf(http.StatusNotFound, "This process has no web role: it answers GET /healthz, /readyz and /metrics alone. Ask one whose ROLES name web."))
	})
	return mux
}
