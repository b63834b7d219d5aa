package sim

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// keptMessages is how many messages of a channel outlive the process.
const keptMessages = 2000

// state is the world as a file keeps it. Gateway sessions are not in it: a restarted Discord has forgotten them.
type state struct {
	Format   int          `json:"format"`
	LastID   ID           `json:"last_id"`
	App      *application `json:"app"`
	Users    []*User      `json:"users"`
	Guilds   []*Guild     `json:"guilds"`
	Channels []*Channel   `json:"channels"`
	Grants   []*grant     `json:"grants"`
}

const stateFormat = 1

// loadState takes the world from the file. Without a file there is none; a file that cannot be read is set aside.
func (s *Sim) loadState() bool {
	if s.o.StatePath == "" {
		return false
	}
	st, err := readState(s.o.StatePath)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		s.log.Warn("kept world cannot be read and is set aside", "path", s.o.StatePath, "err", err)
		os.Rename(s.o.StatePath, s.o.StatePath+".unreadable")
		return false
	}
	s.lastID, s.app = st.LastID, st.App
	for _, u := range st.Users {
		s.users[u.ID], s.byToken[u.Token] = u, u
	}
	for _, g := range st.Guilds {
		s.guilds[g.ID] = g
		members := g.Members
		g.Members = map[ID]*Member{}
		for _, m := range members {
			g.addMember(m)
		}
		if g.Bans == nil {
			g.Bans = map[ID]string{}
		}
		g.Unavailable = false
	}
	for _, ch := range st.Channels {
		s.addChannel(ch)
		for _, w := range ch.Webhooks {
			s.webhooks[w.ID] = w
		}
	}
	for _, g := range st.Grants {
		s.grants.put(g)
	}
	return true
}

func readState(path string) (*state, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, err
	}
	var st state
	if err := json.NewDecoder(z).Decode(&st); err != nil {
		return nil, err
	}
	if st.Format != stateFormat || st.App == nil {
		return nil, errors.New("written by another version")
	}
	return &st, nil
}

// saveState writes the world to the file when it has changed. The old file stays until the new one is whole.
func (s *Sim) saveState() error {
	if s.o.StatePath == "" {
		return nil
	}
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	s.dirty = false
	st := state{Format: stateFormat, LastID: s.lastID, App: s.app}
	for _, u := range s.users {
		st.Users = append(st.Users, u)
	}
	for _, g := range s.guilds {
		st.Guilds = append(st.Guilds, g)
	}
	for _, ch := range s.channels {
		cut := *ch
		cut.Messages = ch.Messages[max(0, len(ch.Messages)-keptMessages):]
		st.Channels = append(st.Channels, &cut)
	}
	for _, g := range s.grants.byRefresh {
		st.Grants = append(st.Grants, g)
	}
	b, err := json.Marshal(st)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.o.StatePath), 0o700); err != nil {
		return err
	}
	tmp := s.o.StatePath + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	_, err = z.Write(b)
	for _, e := range []error{z.Close(), f.Sync(), f.Close()} {
		err = errors.Join(err, e)
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, s.o.StatePath)
}
