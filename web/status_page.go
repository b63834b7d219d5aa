package web

import (
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"tidings/store"
)

// Overview is what only operators see of how the service is: of all its processes, by what they have told of themselves lately.
type Overview struct {
	Process   ProcessView      `json:"process"`
	Processes []ProcessView    `json:"processes" doc:"The one that answers first"`
	Alone     bool             `json:"alone" doc:"Redis is away: sources, plots and sockets are those of the process that answers"`
	Parts     []PartView       `json:"parts"`
	Shards    []ShardView      `json:"shards" doc:"Whichever process runs them"`
	Sources   []SourceView     `json:"sources" doc:"Of what the processes have taken in since each has started"`
	Plots     []Plot           `json:"plots"`
	Jobs      []store.JobCount `json:"jobs"`
	JobsStuck int              `json:"jobs_stuck"`
	Sockets   int              `json:"sockets" doc:"Live sockets"`
}

// ProcessView is one process of the service.
type ProcessView struct {
	Name       string    `json:"name"`
	Roles      []string  `json:"roles"`
	Started    time.Time `json:"started"`
	Goroutines int       `json:"goroutines"`
	MemoryMB   int       `json:"memory_mb"`
	Sockets    int       `json:"sockets"`
}

// PartView is something that the service needs.
type PartView struct {
	Name   string `json:"name"`
	State  string `json:"state" enum:"good,warn,bad"`
	Detail string `json:"detail"`
}

// ShardView is one connection to Discord's gateway.
type ShardView struct {
	Shard       int        `json:"shard"`
	State       string     `json:"state"`
	LastEvent   *time.Time `json:"last_event"`
	RoundTripMS int        `json:"round_trip_ms" doc:"Of the last heartbeat"`
	Resumes     int64      `json:"resumes"`
	Identifies  int64      `json:"identifies"`
	Lost        int64      `json:"lost" doc:"Sequences that Discord left out"`
	Queued      int        `json:"queued"`
	LastError   string     `json:"last_error,omitempty"`
	Process     string     `json:"process,omitempty" doc:"Which other process runs it; what it has queued and its last error are known there only"`
}

// SourceView is where events came from.
type SourceView struct {
	Name   string  `json:"name"`
	Events int64   `json:"events"`
	Share  float64 `json:"share"`
}

// Plot is how a figure went over the last hours.
type Plot struct {
	Title  string    `json:"title"`
	Unit   string    `json:"unit"`
	Step   int       `json:"step_seconds"`
	Points []float64 `json:"points" doc:"The oldest first; -1 where nothing is known"`
}

const (
	plotWidth  = 360
	plotHeight = 64
)

// Last is the newest known value, in words.
func (p Plot) Last() string {
	for i := len(p.Points) - 1; i >= 0; i-- {
		if p.Points[i] >= 0 {
			return figure(p.Points[i]) + " " + p.Unit
		}
	}
	return "nothing yet"
}

// Top is the greatest value, in words.
func (p Plot) Top() string { return figure(p.top()) + " " + p.Unit }

// Span is how long the plot reaches back, in words.
func (p Plot) Span() string {
	d := time.Duration(p.Step*max(len(p.Points)-1, 0)) * time.Second
	switch {
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()+.5))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()+.5))
	}
	return "a moment"
}

func (p Plot) top() float64 {
	top := 0.0
	for _, v := range p.Points {
		top = max(top, v)
	}
	return top
}

func figure(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// Line is the plot's path. What is not known is left out.
func (p Plot) Line() string { return p.path(false) }

// Area is what lies below the line.
func (p Plot) Area() string { return p.path(true) }

func (p Plot) path(closed bool) string {
	var b strings.Builder
	n, top := len(p.Points), p.top()
	x := func(i int) float64 { return plotWidth * float64(i) / float64(max(n-1, 1)) }
	begun := -1
	end := func(i int) {
		if begun >= 0 && closed {
			fmt.Fprintf(&b, "L%.1f %d L%.1f %d Z ", x(i), plotHeight, x(begun), plotHeight)
		}
		begun = -1
	}
	for i, v := range p.Points {
		if v < 0 {
			end(i - 1)
			continue
		}
		y := float64(plotHeight)
		if top > 0 {
			y -= (plotHeight - 3) * v / top
		}
		op := "L"
		if begun < 0 {
			begun, op = i, "M"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f ", op, x(i), y)
	}
	end(n - 1)
	return strings.TrimSpace(b.String())
}

type statusPage struct {
	adminFrame
	Status
}

// pageStatus is /status. It is written on the server and refreshes itself, so that it works without scripts.
func (s *Server) pageStatus(w http.ResponseWriter, r *http.Request, p who) {
	if err := s.mustOperate(p); err != nil {
		s.fail(w, r, err)
		return
	}
	var st Status
	if s.o.Status != nil {
		var err error
		if st, err = s.o.Status(r.Context()); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	st.Version, st.Now = s.o.Version, time.Now().UTC()
	st.Overview = &Overview{}
	if s.o.Admin.Overview != nil {
		*st.Overview = s.o.Admin.Overview(r.Context())
	}
	s.show(w, r, http.StatusOK, "status.html", statusPage{s.frame(p, "Status", 10), st})
}

// adminFuncs are what the templates of operators' pages say things with.
var adminFuncs = template.FuncMap{
	"when":    when,
	"ago":     func(t time.Time) string { return ago(time.Since(t)) },
	"percent": func(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) },
	"seconds": func(n int) string { return ago(time.Duration(n) * time.Second) },
	"short":   func(d time.Duration) string { return d.Round(time.Millisecond).String() },
	"lasting": func(s float64) string { return ago(time.Duration(s * float64(time.Second))) },
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// ago is a duration in words, roughly.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in " + ago(-d)
	case d < time.Second:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
