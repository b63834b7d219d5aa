package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	day = 24 * time.Hour
	// maxFile is what a person without a subscription may attach; maxFiles bounds what is kept in memory.
	maxFile  = 10 << 20
	maxFiles = 128 << 20
)

// file is the content of an attachment.
type file struct {
	contentType string
	data        []byte
}

type attachmentRequest struct {
	ID          ID      `json:"id"`
	Filename    string  `json:"filename"`
	Title       string  `json:"title"`
	Description string  `json:"description"`
	Duration    float64 `json:"duration_secs"`
	Waveform    string  `json:"waveform"`
	Spoiler     bool    `json:"is_spoiler"`
}

// attach gives the message its files: those of the form, with what the JSON says of them. In an edit, attachments
// that the list does not name any more are dropped.
func (c *call) attach(m *Message, ch *Channel, p Perm, about []attachmentRequest) error {
	if len(c.files) > 0 && p&AttachFiles == 0 {
		return errPermissions()
	}
	var kept []Attachment
	for _, a := range m.Attachments {
		if slices.ContainsFunc(about, func(r attachmentRequest) bool { return r.ID == a.ID }) {
			kept = append(kept, a)
		}
	}
	m.Attachments = kept
	if len(kept)+len(c.files) > 10 {
		return badField("attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
	}
	for i, f := range c.files {
		if len(f.data) > maxFile {
			return fail(http.StatusRequestEntityTooLarge, 40005, "Request entity too large")
		}
		id := c.newID()
		a := Attachment{ID: id, Filename: f.name, ContentType: f.contentType, Size: len(f.data)}
		for j, r := range about {
			if fmt.Sprintf("files[%d]", uint64(r.ID)) == f.field || len(about) == len(c.files) && j == i {
				a.Description, a.Title, a.Waveform = r.Description, r.Title, r.Waveform
				if r.Filename != "" {
					a.Filename = r.Filename
				}
				if r.Duration > 0 {
					a.DurationSecs = ptr(r.Duration)
				}
				if r.Spoiler {
					a.Flags |= 1 << 3
				}
			}
		}
		a.URL = fmt.Sprintf("%s/attachments/%d/%d/%s", c.site(), uint64(ch.ID), uint64(id), a.Filename)
		a.ProxyURL = a.URL
		m.Attachments = append(m.Attachments, a)
		c.keep(id, &file{f.contentType, f.data})
	}
	if m.Flags&flagVoiceMessage != 0 && (len(m.Attachments) != 1 || m.Attachments[0].Waveform == "" || m.Content != "") {
		return fail(http.StatusBadRequest, 50161, "Voice messages must have a single audio attachment")
	}
	return nil
}

// keep holds a file's content, and forgets the oldest when it is too much.
func (s *Sim) keep(id ID, f *file) {
	s.files[id] = f
	total := 0
	for _, x := range s.files {
		total += len(x.data)
	}
	for total > maxFiles {
		oldest := id
		for k := range s.files {
			oldest = min(oldest, k)
		}
		total -= len(s.files[oldest].data)
		delete(s.files, oldest)
	}
}

// serveFile serves an attachment while its signature lasts.
func (s *Sim) serveFile(w http.ResponseWriter, r *http.Request) {
	id, _ := parseID(r.PathValue("attachment_id"))
	s.mu.Lock()
	f := s.files[id]
	ex, err := strconv.ParseInt(r.URL.Query().Get("ex"), 16, 64)
	gone := err != nil || s.now().Unix() > ex
	s.mu.Unlock()
	if f == nil || gone {
		http.Error(w, "This content is no longer available.", http.StatusNotFound)
		return
	}
	if f.contentType != "" {
		w.Header().Set("Content-Type", f.contentType)
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	w.Write(f.data)
}
