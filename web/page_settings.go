package web

import (
	"encoding/json"
	"html/template"
	"net/http"

	"tidings"
)

// settings is what the page of settings begins with; it asks the API for the rest.
type settings struct {
	User   tidings.User `json:"-"`
	Me     me           `json:"user"`
	Guilds []GuildView  `json:"guilds"`
	MyData bool         `json:"-"` // there is a page about it
}

func (s *Server) pageSettings(w http.ResponseWriter, r *http.Request, p who) {
	u, err := s.o.Store.User(r.Context(), p.user)
	if err != nil {
		s.pageError(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "settings.html", settings{User: u, Me: me{u.ID, u.Name}, Guilds: guildViews(s.o.Access.Visible(p.user)), MyData: s.o.Admin != nil})
}

// JSON is the state for the page's script, as in [first.JSON].
func (s settings) JSON() (template.JS, error) {
	b, err := json.Marshal(s)
	return template.JS(b), err
}
